"""Texts to throw at the parsers: made by a grammar, or valid ones with a few bytes changed. Everything follows from a seed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

ID = "0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a"
_REAL = (
    "name",
    "statecode",
    "createdon",
    "revenue",
    "accountid",
    "_ownerid_value",
    "creditonhold",
    "numberofemployees",
)
COLUMNS = (*_REAL, *_REAL, *_REAL, "nmae", "primarycontactid", "é")
PATHS = (
    "primarycontactid/fullname",
    "createdby/businessunitid/name",
    "primarycontactid",
    "Account_Tasks",
    "account_parent_account",
)
LITERALS = (
    "'x'", "''", "'O''Brien'", "'%[a-c]_'", "null", "true", "1", "-1", "1.5", "1e5", "9" * 40, "1e999999999", f"1e{10**30}",
    f"-1e-{10**30}", "INF", "NaN", ID, f"'{ID}'",
    "2030-01-01", "2030-02-30", "2030-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999+14:00", "@p", "duration'P1D'", "'\U0001f600'",
    "X'00'", "Microsoft.Dynamics.CRM.EntityFilters'Entity'", "'\x01'", "[1,2]", '["a"]', "{}",
)  # fmt: skip
FUNCTIONS = (
    "Today", "LastXDays", "OnOrAfter", "In", "Between", "NotBetween", "EqualUserId", "Above", "InFiscalPeriodAndYear", "LastXHours",
    "ContainValues", "OlderThanXMonths", "Nonsense", "NextXFiscalYears", "EqualUserTeams", "On",
)  # fmt: skip
OPERATORS = ("eq", "ne", "gt", "ge", "lt", "le", "in", "has", "equals", "EQ")
FETCH_OPERATORS = (
    "eq", "ne", "like", "not-like", "in", "not-in", "between", "null", "not-null", "today", "last-x-days", "olderthan-x-minutes",
    "on-or-after", "eq-userid", "eq-useroruserteams", "under", "above", "in-fiscal-period-and-year", "contain-values", "begins-with",
    "nonsense", "gt", "last-x-fiscal-years", "eq-businessid", "this-fiscal-period",
)  # fmt: skip
LINKS = (
    "inner",
    "outer",
    "any",
    "not any",
    "all",
    "not all",
    "exists",
    "in",
    "matchfirstrowusingcrossapply",
    "sideways",
)
SEEDS: dict[str, Sequence[str]] = {
    "odata": (
        "$filter=(name eq 'x' and not (statecode gt 1)) or contains(name,'a')&$orderby=name desc,createdon&$top=3&$select=name,accountid",
        "$apply=filter((statecode ne null))/groupby((statecode,statuscode),aggregate($count as count,revenue with sum as total))",
        "$expand=primarycontactid($select=fullname;$expand=createdby($select=fullname))&$count=true",
        "$filter=Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=7) and name in ('a','b')",
        "$filter=primarycontactid/createdby/fullname eq @p&@p='x'",
        "$filter=Account_Tasks/any(t:t/subject eq 'a' and t/createdon ne null) or Account_Tasks/any()",
        "$filter=createdon ge 2023-03-25T00:00:00Z and revenue le 1.5e3&$select=*",
    ),
    "fetchxml": (
        "<fetch count='5' distinct='true' returntotalrecordcount='true'><entity name='account'><attribute name='name' alias='n'/>"
        "<filter type='or'><condition attribute='name' operator='like' value='a%'/><filter><condition attribute='createdon' "
        "operator='last-x-days' value='3'/></filter></filter><order attribute='name' descending='true'/>"
        "<link-entity name='contact' from='contactid' to='primarycontactid' link-type='outer' alias='c'><all-attributes/></link-entity>"
        "</entity></fetch>",
        "<fetch aggregate='true'><entity name='account'><attribute name='accountid' alias='n' aggregate='count'/>"
        "<attribute name='createdon' alias='m' groupby='true' dategrouping='month'/><order alias='n'/></entity></fetch>",
        "<fetch page='2' count='3' paging-cookie='&lt;cookie page=&quot;1&quot;&gt;&lt;accountid last=&quot;{"
        + ID.upper() + "}&quot; first=&quot;{" + ID.upper() + "}&quot; /&gt;&lt;/cookie&gt;'><entity name='account'>"
        "<attribute name='accountid'/><filter><condition attribute='ownerid' operator='in'><value>" + ID + "</value></condition>"
        "<condition attribute='name' operator='eq' valueof='accountnumber'/></filter></entity></fetch>",
        "<fetch><entity name='asyncoperation'><filter><link-entity name='account' from='accountid' to='regardingobjectid' "
        "link-type='not any'><filter><condition attribute='name' operator='null'/></filter></link-entity></filter>"
        "</entity></fetch>",
    ),
    "json": (
        json.dumps({"name": "x", "revenue": 1.5, "createdon": "2030-01-01T00:00:00Z", "statecode": 0, "creditonhold": True}),
        json.dumps({"primarycontactid@odata.bind": f"/contacts({ID})", "ownerid@odata.bind": f"/teams({ID})", "accountid": ID}),
        json.dumps({"primarycontactid": {"lastname": "a",
        "parentcustomerid_account@odata.bind": f"/accounts({ID})"}, "Account_Tasks": [{"subject": "b"}]}),
        json.dumps({"name": None, "@odata.type": "#Microsoft.Dynamics.CRM.account", "name@OData.Community.Display.V1.FormattedValue": 1}),
    ),
    "batch": (
        "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET /api/data/v9.2/accounts?$top=1 HTTP/1.1\r\n"
        "Accept: application/json\r\n\r\n\r\n"
        "--b\r\nContent-Type: multipart/mixed; boundary=\"c\"\r\n\r\n--c\r\nContent-Type: application/http\r\n"
        "Content-ID: 1\r\n\r\nPOST accounts HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{\"name\":\"x\"}\r\n--c\r\n"
        "Content-Type: application/http\r\nContent-ID: 2\r\n\r\nPATCH $1 HTTP/1.1\r\n\r\n{}\r\n--c--\r\n--b--\r\n",
        "--b\nContent-Type: application/http\n\nDELETE accounts(1)\n\n--b--",
    ),
    "address": (
        f"accounts({ID})/primarycontactid/fullname/$value",
        "accounts(accountnumber='A%2F1',name='O''Brien')/Account_Tasks/$ref?$id=x",
        f"accounts({ID})/Account_Tasks({ID})/$ref",
        "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')/Microsoft.Dynamics.CRM.StringAttributeMetadata",
        f"asyncoperations(asyncoperationid={ID})/data/$value",
        "WhoAmI()",
        "RetrieveMetadataChanges(Query=@p1)?@p1={}",
    ),
}  # fmt: skip
_NASTY = (
    "'", '"', "(", ")", "[", "]", "{", "}", "/", "//", "..", "%", "%00", "%2f", "%ff", "%c0%af",
    "\x00", "\ud800", "\u202e", "é", "\U0001f600",
    "&", "=", ",", ";", ":", "@", "$", "#", "+", "-", " ", "\t", "\r\n", "\n\n", "--b", "<", ">", "<!--", "]]>", "&#0;", "&lt;", "1e999999",
    "null", "not ", "and", "any(", "\\u0000", "\\ud83d", "9" * 30, "x" * 300, "\ufeff", "'" * 7,
)  # fmt: skip


_QUOTED = re.compile(r"'[^']*'")


def mutated(text: str, chance: random.Random, others: Sequence[str]) -> str:
    """A text with a few changes: characters dropped, doubled, replaced, pieces moved, taken from others, or cut."""
    quoted = list(_QUOTED.finditer(text)) if text.startswith("<") else []
    if quoted and chance.random() < 0.6:
        found = chance.choice(quoted)
        other = chance.choice((*COLUMNS, *LITERALS, *FETCH_OPERATORS, *LINKS, *_NASTY, "true", "0", "99999"))
        return f"{text[: found.start()]}'{_escaped(other)}'{text[found.end() :]}"
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        place = chance.randrange(len(text) + 1)
        end = min(len(text), place + chance.choice((0, 1, 1, 2, 5, 20)))
        match chance.randrange(7):
            case 0:
                text = text[:place] + text[end:]
            case 1:
                text = text[:place] + chance.choice(_NASTY) + text[place:]
            case 2:
                text = text[:place] + chance.choice(_NASTY) + text[end:]
            case 3:
                text = text[:place] + text[place:end] * chance.choice((2, 3, 50)) + text[end:]
            case 4:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                text = text[:place] + other[start : start + chance.randrange(40)] + text[end:]
            case 5:
                text = text[:place] if chance.random() < 0.5 else text[place:]
            case _:
                text = (
                    text[:place]
                    + chr(chance.choice((*range(32, 127), 0, 9, 10, 13, 0xA0, 0x2028, 0xFFFF, 0x10FFFF)))
                    + text[end:]
                )
    return text[:20_000]


def made(kind: str, chance: random.Random) -> str:
    """A text by the grammar of its kind: mostly valid, with names and values that are not."""
    return _MAKERS[kind](chance)


def _value(chance: random.Random) -> str:
    return chance.choice(COLUMNS + PATHS) if chance.random() < 0.6 else chance.choice(LITERALS)


def _condition(chance: random.Random, depth: int = 0) -> str:
    pick = chance.random()
    if depth > 4 or pick < 0.4:
        return f"{_value(chance)} {chance.choice(OPERATORS)} {_value(chance)}"
    if pick < 0.5:
        return f"{chance.choice(('contains', 'startswith', 'endswith', 'year', 'length'))}({_value(chance)},{_value(chance)})"
    if pick < 0.6:
        arguments = [f"PropertyName='{chance.choice(COLUMNS)}'"]
        for name in ("PropertyValue", "PropertyValues", "PropertyValue1", "PropertyValue2"):
            if chance.random() < 0.3:
                arguments.append(f"{name}={chance.choice(LITERALS)}")
        return f"Microsoft.Dynamics.CRM.{chance.choice(FUNCTIONS)}({','.join(arguments)})"
    if pick < 0.7:
        return f"not ({_condition(chance, depth + 1)})"
    if pick < 0.78:
        inner = _condition(chance, depth + 2).replace("name", "x/name")
        return f"{chance.choice(PATHS)}/{chance.choice(('any', 'all'))}(x:{inner})"
    if pick < 0.84:
        return f"{_value(chance)} in ({','.join(chance.choice(LITERALS) for _ in range(chance.randrange(4)))})"
    return f"({_condition(chance, depth + 1)} {chance.choice(('and', 'or'))} {_condition(chance, depth + 1)})"


def _names(chance: random.Random) -> str:
    return ",".join(chance.choice((*COLUMNS, *PATHS, "*")) for _ in range(chance.randrange(1, 4)))


def _expand(chance: random.Random, depth: int = 0) -> str:
    inside = [f"$select={_names(chance)}"]
    if chance.random() < 0.4:
        inside.append(f"$filter={_condition(chance, 3)}")
    if depth < 3 and chance.random() < 0.4:
        inside.append(f"$expand={_expand(chance, depth + 1)}")
    if chance.random() < 0.3:
        inside.append(chance.choice(("$top=1", "$orderby=name desc", "$count=true", "$levels=2", "$top=-1")))
    return f"{chance.choice(PATHS)}({';'.join(inside)})"


def _apply(chance: random.Random) -> str:
    total = f"aggregate({chance.choice(('$count as n', 'revenue with sum as s', 'name with max as name', 'x with y as z'))})"
    group = f"groupby(({_names(chance)}){chance.choice(('', ',' + total))})"
    return "/".join(
        chance.choice((f"filter({_condition(chance, 2)})", total, group)) for _ in range(chance.randrange(1, 4))
    )


def _odata(chance: random.Random) -> str:
    options = {
        "$filter": lambda: _condition(chance),
        "$select": lambda: _names(chance),
        "$orderby": lambda: f"{_names(chance)} {chance.choice(('asc', 'desc', 'up', ''))}",
        "$top": lambda: chance.choice(("1", "0", "-1", "x", "9" * 30)),
        "$count": lambda: chance.choice(("true", "false", "yes")),
        "$expand": lambda: _expand(chance),
        "$apply": lambda: _apply(chance),
        "@p": lambda: chance.choice(LITERALS),
    }
    chosen = chance.sample(list(options), chance.randrange(1, 4))
    return "&".join(f"{name}={quote(options[name](), safe=_SAFE)}" for name in chosen)


_SAFE = "()[]{},;:/'@$*=+\" "


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&apos;")


def _element(chance: random.Random, depth: int, *, filtering: bool = False) -> str:
    column = _escaped(chance.choice(COLUMNS))
    match chance.choice((2, 4, 5)) if filtering and chance.random() < 0.95 else chance.randrange(6):
        case 0:
            extra = chance.choice(
                (
                    "",
                    " aggregate='count'",
                    " groupby='true'",
                    " alias='a'",
                    " aggregate='sum' alias='s'",
                    " dategrouping='x'",
                )
            )
            return f"<attribute name='{column}'{extra}/>"
        case 1:
            return f"<order {chance.choice(('attribute', 'alias'))}='{column}' descending='{chance.choice(('true', '1', 'no'))}'/>"
        case 2 if depth < 3:
            inner = "".join(_element(chance, depth + 1) for _ in range(chance.randrange(3)))
            link = f"name='{chance.choice(('contact', 'account', 'x'))}' from='{column}' to='primarycontactid'"
            return f"<link-entity {link} link-type='{chance.choice(LINKS)}' alias='{chance.choice('ab')}'>{inner}</link-entity>"
        case 3:
            return chance.choice(("<all-attributes/>", "<filter/>", "<!-- x -->", "<nonsense/>", "text"))
        case _:
            values = "".join(
                f"<value>{_escaped(chance.choice(LITERALS)).replace(chr(1), '')}</value>"
                for _ in range(chance.randrange(3))
            )
            value = "" if values else f" value='{_escaped(chance.choice(LITERALS)).replace(chr(1), '')}'"
            more = _element(chance, depth + 1, filtering=True) if depth < 3 and chance.random() < 0.5 else ""
            inner = f"<condition attribute='{column}' operator='{chance.choice(FETCH_OPERATORS)}'{value}>{values}</condition>"
            return f"<filter type='{chance.choice(('and', 'or') * 9 + ('xor',))}'>{inner}{more}</filter>"


def _fetchxml(chance: random.Random) -> str:
    extra = chance.choice(
        (
            "",
            " top='3'",
            " aggregate='true'",
            " page='2' count='5'",
            " distinct='true'",
            " count='-1'",
            " latematerialize='true'",
        )
    )
    inside = "".join(_element(chance, 0) for _ in range(chance.randrange(5)))
    return f"<fetch{extra}><entity name='{chance.choice(('account',) * 12 + ('asyncoperation', 'x'))}'>{inside}</entity></fetch>"


def _any_json(chance: random.Random, depth: int = 0) -> object:
    leaves = (
        None,
        True,
        0,
        -1,
        1.5,
        10**18,
        10**30,
        "",
        "x",
        ID,
        f"/contacts({ID})",
        "2030-01-01",
        "\u0000",
        "é" * 50,
        "$1",
        1e300,
    )
    if depth > 3 or chance.random() < 0.6:
        return chance.choice(leaves)
    if chance.random() < 0.5:
        return [_any_json(chance, depth + 1) for _ in range(chance.randrange(3))]
    return {name: _any_json(chance, depth + 1) for name in chance.sample(_PROPERTIES, chance.randrange(4))}


_PROPERTIES = (
    "name", "revenue", "createdon", "statecode", "statuscode", "accountid", "primarycontactid", "primarycontactid@odata.bind", "ownerid",
    "ownerid@odata.bind", "Account_Tasks", "Account_Tasks@odata.bind", "teammembership_association@odata.bind", "@odata.id", "@odata.type",
    "industrycode", "creditonhold", "numberofemployees", "_ownerid_value", "x", "@", "@odata.bind", "versionnumber", "value", "lastname",
)  # fmt: skip


def _json(chance: random.Random) -> str:
    body = {name: _any_json(chance) for name in chance.sample(_PROPERTIES, chance.randrange(6))}
    return json.dumps(body, ensure_ascii=chance.random() < 0.5)


def _batch(chance: random.Random) -> str:
    end = chance.choice(("\r\n", "\n"))
    lines = [chance.choice(("", "preamble", end))]
    for _ in range(chance.randrange(4)):
        lines += [chance.choice(("--b", "--b", "--b  ", "--b--", "--c")), "Content-Type: application/http"]
        lines += chance.sample(
            ("Content-Transfer-Encoding: binary", "Content-ID: 1", "Content-ID: \xe9", "X", ": y"), chance.randrange(3)
        )
        method = chance.choice(("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", ""))
        lines += ["", f"{method} {_address(chance)} HTTP/1.1", "Content-Type: application/json", "", _json(chance), ""]
    return end.join((*lines, chance.choice(("--b--", "--b", ""))))


def _address(chance: random.Random) -> str:
    parts = (
        "accounts", f"accounts({ID})", "accounts(name='x')", "asyncoperations", "primarycontactid", "Account_Tasks", f"Account_Tasks({ID})",
        "name", "$value", "$count", "$ref", "$metadata", "$batch", "$1", "WhoAmI()", "WhoAmI(x=@p)", "EntityDefinitions",
        "EntityDefinitions(LogicalName='account')", "Attributes", "..", "", "%2e%2e", "(", "a(b)c", "Microsoft.Dynamics.CRM.CreateMultiple",
        "systemusers", "teammembership_association", "datablobid", "data",
    )  # fmt: skip
    path = "/".join(chance.choice(parts) for _ in range(chance.randrange(1, 5)))
    return path + (f"?{_odata(chance)}" if chance.random() < 0.3 else "")


_MAKERS: dict[str, Callable[[random.Random], str]] = {
    "odata": _odata,
    "fetchxml": _fetchxml,
    "json": _json,
    "batch": _batch,
    "address": _address,
}
KINDS = tuple(_MAKERS)
