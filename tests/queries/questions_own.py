"""Questions about what is the caller's own, and about trees of records."""

from __future__ import annotations

from tests.queries.asking import c, f, where
from tests.queries.world import ACCOUNTS, UNITS, USERS, guid

ROOT, LEAF, LOOP, SELF, CHAIN, END = (guid(1000 + n) for n in (0, 55, 60, 62, 70, 179))
MISSING = guid(9999)

OWN = (
    *(
        where(f(function, column), c(column, operator), table=table, dated=True)
        for table, column in (("new_trip", "ownerid"), ("systemuser", "systemuserid"), ("systemuser", "parentsystemuserid"))
        for operator, function in (
            ("eq-userid", "EqualUserId"),
            ("ne-userid", "NotEqualUserId"),
            ("eq-useroruserhierarchy", "EqualUserOrUserHierarchy"),
        )
    ),
    *(
        where(f(function, column), c(column, operator), table=table, dated=True)
        for table, column in (("new_trip", "ownerid"), ("team", "teamid"), ("teammembership", "teamid"))
        for operator, function in (
            ("eq-userteams", "EqualUserTeams"),
            ("eq-useroruserteams", "EqualUserOrUserTeams"),
            ("eq-useroruserhierarchyandteams", "EqualUserOrUserHierarchyAndTeams"),
        )
    ),
    *(
        where(f(function, column), c(column, operator), table=table, dated=True)
        for table, column in (
            ("systemuser", "businessunitid"), ("businessunit", "businessunitid"), ("businessunit", "parentbusinessunitid"),
        )
        for operator, function in (("eq-businessid", "EqualBusinessId"), ("ne-businessid", "NotEqualBusinessId"))
    ),
    where(f("EqualUserLanguage", "new_count"), c("new_count", "eq-userlanguage"), dated=True),
    where(f("EqualUserLanguage", "new_seats"), c("new_seats", "eq-userlanguage"), dated=True),
    where(
        f"{f('EqualUserLanguage', 'new_count')} or new_count eq null",
        c("new_count", "eq-userlanguage"), c("new_count", "null"), kind="or", dated=True,
    ),
)  # fmt: skip

_WALKS = (
    ("under", "Under"), ("eq-or-under", "UnderOrEqual"), ("not-under", "NotUnder"), ("above", "Above"),
    ("eq-or-above", "AboveOrEqual"),
)  # fmt: skip
TREES = (
    *(
        where(f(function, "new_tripid", start), c("new_tripid", operator, start))
        for start in (ROOT, LEAF, LOOP, SELF, CHAIN, END, MISSING)
        for operator, function in _WALKS
    ),
    *(
        where(f(function, "new_accountid", ACCOUNTS[1]), c("new_accountid", operator, ACCOUNTS[1]))
        for operator, function in _WALKS
    ),
    *(
        where(f(function, "ownerid", USERS[2]), c("ownerid", operator, USERS[2]))
        for operator, function in _WALKS
    ),
    *(
        where(
            f(function, "businessunitid", UNITS[1]), c("businessunitid", operator, UNITS[1]),
            table="businessunit",
        )
        for operator, function in _WALKS
    ),
    *(
        where(f(function, "accountid", ACCOUNTS[2]), c("accountid", operator, ACCOUNTS[2]), table="account")
        for operator, function in _WALKS
    ),
    where(
        f"{f('Under', 'new_tripid', ROOT)} and new_seats gt 1", c("new_tripid", "under", ROOT), c("new_seats", "gt", 1),
    ),
)  # fmt: skip

QUESTIONS = (*OWN, *TREES)
