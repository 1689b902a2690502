"""The views that ship: for the job table those of its documentation, for the other tables the usual ones.

A view is a named FetchXML with a layout. Its id is fixed, so that every database has the same one; those of the account
and contact views are the well-known ones. Source: semantics.md §11, webapi.md §11.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5
from xml.sax.saxutils import quoteattr

from adjourn.metadata.model import Table

_NAMESPACE = UUID("6b0f4c1e-0d3a-5b7e-9c55-ad10a0000002")
_WIDTH = 150
_BULK_DELETE = ("operationtype", "eq", "13")
_CASCADES = ("88", "89", "90", "91", "105", "12801")
Test = tuple[str, ...]
"""Column, operator, values."""


@dataclass(frozen=True, slots=True)
class View:
    """One view. columns: shown, in this order. order: a column, with `-` in front for descending."""

    table: str
    name: str
    columns: tuple[str, ...]
    tests: tuple[Test, ...] = ()
    order: str = "name"
    default: bool = False
    known_id: str | None = None

    @property
    def id(self) -> UUID:
        return UUID(self.known_id) if self.known_id else uuid5(_NAMESPACE, f"view:{self.table}:{self.name}")

    def fetchxml(self, table: Table) -> str:
        names = [table.primary_id, *(name for name in self.columns if name != table.primary_id)]
        attributes = "".join(f"<attribute name={quoteattr(name)} />" for name in names)
        tests = "".join(map(_condition, self.tests))
        descending = ' descending="true"' if self.order.startswith("-") else ""
        order = f"<order attribute={quoteattr(self.order.removeprefix('-'))}{descending} />"
        where = f'<filter type="and">{tests}</filter>' if tests else ""
        entity = f"<entity name={quoteattr(self.table)}>{attributes}{order}{where}</entity>"
        return f'<fetch version="1.0" output-format="xml-platform" mapping="logical">{entity}</fetch>'

    def layoutxml(self, table: Table) -> str:
        cells = "".join(f'<cell name={quoteattr(name)} width="{_WIDTH}" />' for name in self.columns)
        key = quoteattr(table.primary_id)
        jump = quoteattr(table.primary_name or table.primary_id)
        return (
            f'<grid name="resultset" object="{table.object_type_code}" jump={jump} select="1" icon="1" preview="1">'
            f'<row name="result" id={key}>{cells}</row></grid>'
        )


def _condition(test: Test) -> str:
    column, operator, *values = test
    head = f"<condition attribute={quoteattr(column)} operator={quoteattr(operator)}"
    if operator != "in":
        return f"{head}{''.join(f' value={quoteattr(value)}' for value in values)} />"
    inner = "".join(f"<value>{value}</value>" for value in values)
    return f"{head}>{inner}</condition>"


_JOB = ("name", "operationtype", "statecode", "statuscode", "ownerid", "regardingobjectid", "createdon", "startedon",
        "completedon")  # fmt: skip
_RECURRING = ("name", "operationtype", "statecode", "statuscode", "ownerid", "recurrencepattern", "recurrencestarttime",
              "postponeuntil", "createdon")  # fmt: skip
_BULK = ("name", "statecode", "statuscode", "ownerid", "postponeuntil", "createdon", "startedon", "completedon")


def _jobs(name: str, *tests: Test, columns: tuple[str, ...] = _JOB, default: bool = False) -> View:
    return View("asyncoperation", name, columns, tests, "-createdon", default)


def _states(
    table: str, plural: str, columns: tuple[str, ...], order: str, active: str | None = None, mine: str | None = None
) -> tuple[View, ...]:
    """Active, mine and inactive records of a table with states."""
    on, off = ("statecode", "eq", "0"), ("statecode", "eq", "1")
    return (
        View(table, f"Active {plural}", columns, (on,), order, True, active),
        View(table, f"My Active {plural}", columns, (("ownerid", "eq-userid"), on), order, False, mine),
        View(table, f"Inactive {plural}", columns, (off,), order),
    )


def _activities(table: str, plural: str, *open_states: str) -> tuple[View, ...]:
    columns = ("subject", "regardingobjectid", "prioritycode", "scheduledend", "statecode", "ownerid", "createdon")
    return (
        View(table, f"All {plural}", columns, (), "-createdon", True),
        View(table, f"Open {plural}", columns, (("statecode", "in", *open_states),), "-createdon"),
        View(table, f"My {plural}", columns, (("ownerid", "eq-userid"),), "-createdon"),
    )


VIEWS: tuple[View, ...] = (
    _jobs("All System Jobs", default=True),
    _jobs("My System Jobs", ("ownerid", "eq-userid")),
    _jobs("Suspended System Jobs", ("statecode", "eq", "1")),
    _jobs("In Progress System Jobs", ("statecode", "eq", "2")),
    _jobs("Completed System Jobs", ("statecode", "eq", "3")),
    _jobs("Failed System Jobs", ("statecode", "eq", "3"), ("statuscode", "eq", "31")),
    _jobs("Recurring System Jobs", ("recurrencepattern", "not-null"), columns=_RECURRING),
    _jobs("Cascade Operations", ("operationtype", "in", *_CASCADES)),
    _jobs("All Bulk Deletion System Jobs", _BULK_DELETE, columns=_BULK),
    _jobs("Pending Bulk Deletion System Jobs", _BULK_DELETE, ("statecode", "in", "0", "1"), columns=_BULK),
    _jobs("In Progress Bulk Deletion System Jobs", _BULK_DELETE, ("statecode", "eq", "2"), columns=_BULK),
    _jobs("Completed Bulk Deletion System Jobs", _BULK_DELETE, ("statecode", "eq", "3"), columns=_BULK),
    _jobs("Recurring Bulk Deletion System Jobs", _BULK_DELETE, ("recurrencepattern", "not-null"), columns=_RECURRING),
    *_states(
        "account",
        "Accounts",
        ("name", "telephone1", "emailaddress1", "primarycontactid", "createdon"),
        "name",
        "00000000-0000-0000-00aa-000010001002",
        "00000000-0000-0000-00aa-000010001001",
    ),
    *_states(
        "contact",
        "Contacts",
        ("fullname", "parentcustomerid", "emailaddress1", "telephone1", "createdon"),
        "fullname",
        "00000000-0000-0000-00aa-000010001004",
        "00000000-0000-0000-00aa-000010001003",
    ),
    *_activities("appointment", "Appointments", "0", "3"),
    *_activities("email", "Email Messages", "0"),
    *_activities("fax", "Faxes", "0"),
    *_activities("letter", "Letters", "0"),
    *_activities("phonecall", "Phone Calls", "0"),
    *_activities("task", "Tasks", "0"),
    View("businessunit", "Active Business Units", ("name", "createdon"), (("isdisabled", "eq", "0"),), default=True),
    View("systemuser", "Enabled Users", ("fullname", "domainname", "internalemailaddress", "businessunitid"),
         (("isdisabled", "eq", "0"),), "fullname", True),
    View("systemuser", "Disabled Users", ("fullname", "domainname", "internalemailaddress", "businessunitid"),
         (("isdisabled", "eq", "1"),), "fullname"),
    View("team", "All Teams", ("name", "teamtype", "businessunitid", "administratorid"), default=True),
)  # fmt: skip
