"""Facts of the Web API's reference: $batch (§15). `{contoso}` and its like stand in the bodies too."""

from __future__ import annotations

from tests.acceptance.webapi.facts import Fact

GET_ONE = "GET accounts({contoso})?$select=name"
CONTOSO = '"name":"Contoso"'
MISSING = "GET accounts({nobody})?$select=name"


def part(request: str, body: str = "", *, content_id: str = "", headers: str = "") -> str:
    mime = "Content-Type: application/http\nContent-Transfer-Encoding: binary\n"
    mime += f"Content-ID: {content_id}\n" if content_id else ""
    kind = "Content-Type: application/json\n" if body else ""
    return f"{mime}\n{request} HTTP/1.1\n{headers}{kind}\n{body}\n"


def parts(*each: str, boundary: str = "batch_x") -> str:
    return "".join(f"--{boundary}\n{one}" for one in each) + f"--{boundary}--\n"


def changes(*each: str, boundary: str = '"changeset_y"') -> str:
    return f"Content-Type: multipart/mixed; boundary={boundary}\n\n{parts(*each, boundary='changeset_y')}"


def batch(
    says: str,
    each: tuple[str, ...],
    status: int,
    holds: tuple[str, ...] = (),
    lacks: tuple[str, ...] = (),
    *,
    kind: str = 'multipart/mixed; boundary="batch_x"',
    line_end: str = "\r\n",
    prefer: str | None = None,
) -> Fact:
    headers = {"Content-Type": kind} | ({"Prefer": prefer} if prefer else {})
    return Fact(says, "POST $batch", status, holds, lacks, headers, parts(*each).replace("\n", line_end))


def create(name: str, number: str = "1", more: str = "") -> str:
    return part("POST accounts", f'{{"name":"{name}"{more}}}', content_id=number)


BIND = r',"parentaccountid@odata.bind":"$1"'
SENDING = (
    batch("a part is answered in a part", (part(GET_ONE),), 200, (CONTOSO, r"HTTP/1\.1 200 OK\r\n")),
    batch(
        "the boundary may stand without quotes",
        (part(GET_ONE),),
        200,
        (CONTOSO,),
        kind="multipart/mixed; boundary=batch_x",
    ),
    batch("LF only is read too, where Dataverse refuses it", (part(GET_ONE),), 200, (CONTOSO,), line_end="\n"),
    batch("the answer's lines end in CRLF even then", (part(GET_ONE),), 200, (), (r"[^\r]\n",), line_end="\n"),
    batch("an absolute address", (part("GET {root}accounts({contoso})?$select=name"),), 200, (CONTOSO,)),
    batch("a rooted address", (part("GET /api/data/v9.2/accounts({contoso})?$select=name"),), 200, (CONTOSO,)),
    batch(
        "an address of another version", (part("GET /api/data/v9.0/accounts({contoso})?$select=name"),), 200, (CONTOSO,)
    ),
    batch("blanks in an address", (part("GET accounts?$select=name&$filter=name eq 'Contoso'"),), 200, (CONTOSO,)),
    batch("the same, encoded", (part("GET accounts?%24select=name&%24filter=name+eq+%27Contoso%27"),), 200, (CONTOSO,)),
    batch("blank lines after a part's headers", (part(GET_ONE).replace("\n\nGET", "\n\n\n\nGET"),), 200, (CONTOSO,)),
    batch(
        "a part has headers of its own",
        (part("GET accounts?$select=name", headers="Prefer: odata.maxpagesize=1\n"),),
        200,
        ("@odata.nextLink", r"\nPreference-Applied: odata.maxpagesize=1"),
    ),
    batch(
        "a long address",
        (
            part(
                "GET accounts?$select=name&$filter=name eq 'Contoso'"
                + " or name eq 'xxxxxxxxxxxxxxxxxxxx'" * 490
                + " " * 30_000
            ),
        ),
        200,
        (CONTOSO,),
    ),
    batch(
        "an address that is too long",
        (part("GET accounts?$select=name&$filter=name eq '" + "x" * 66_000 + "'"),),
        400,
        (r"HTTP/1\.1 414",),
    ),
    Fact("no boundary", "POST $batch", 400, ("0x80048d19",), (), {"Content-Type": "multipart/mixed"}, "--x--\r\n"),
    Fact(
        "another type",
        "POST $batch",
        400,
        ("0x80048d19", "multipart/mixed"),
        (),
        {"Content-Type": "application/json"},
        "{}",
    ),
    batch("1,001 requests", (part(GET_ONE),) * 1001, 400, ("1,?000",)),
    batch("no batch in a batch", (part("POST $batch", "x"),), 400, (r"HTTP/1\.1 400", "batch")),
    batch("reads stand outside change sets", (changes(part(GET_ONE, content_id="1")),), 400, ("GET",)),
)
CHANGE_SETS = (
    batch(
        "a change set is answered by one",
        (changes(create("A"), create("B", "2")),),
        200,
        (
            r"\sContent-Type: multipart/mixed; boundary=changesetresponse_[0-9a-f-]{36}",
            r"\nContent-ID: 1\r\n.*\nContent-ID: 2\r\n",
            r"HTTP/1\.1 204 No Content",
            r"\nLocation: {root}accounts\([0-9a-f-]{36}\)\r\n",
            r"\nOData-EntityId: {root}accounts\([0-9a-f-]{36}\)\r\n",
        ),
    ),
    batch(
        "its boundary may stand without quotes",
        (changes(create("A"), boundary="changeset_y"),),
        200,
        (r"HTTP/1\.1 204",),
    ),
    batch(
        "$1 as the value of a bind",
        (changes(create("Parent"), create("Child", "2", BIND)),),
        200,
        (r"\nContent-ID: 2",),
    ),
    batch(
        "$1 as an address",
        (changes(create("Named"), part("PATCH $1", '{"telephone1":"7"}', content_id="2")),),
        200,
        (r"\nContent-ID: 2",),
    ),
    batch(
        "$1 in an @odata.id",
        (
            changes(
                create("Referred"),
                part("POST accounts({contoso})/account_parent_account/$ref", '{"@odata.id":"$1"}', content_id="2"),
            ),
        ),
        200,
        (r"\nContent-ID: 2",),
    ),
    batch(
        "a reference to nothing",
        (changes(part("PATCH $1", '{"name":"x"}', content_id="2")),),
        400,
        (r"Content-ID Reference: '\$1' does not exist in the batch context\.",),
    ),
    batch(
        "a change set that fails has one answer: the error",
        (changes(create("Half"), part("PATCH accounts({contoso})", '{"nam":"x"}', content_id="2")),),
        400,
        (r"HTTP/1\.1 400 Bad Request", "Invalid property 'nam'", r"\nContent-ID: 2"),
        (r"HTTP/1\.1 204",),
    ),
    Fact("and it left nothing", "GET accounts?$filter=name eq 'Half'", 200, (r'"value":\[\]',)),
)
FAILING = (
    batch(
        "the first failure ends a batch, which fails as a whole",
        (part(GET_ONE), part(MISSING), part(GET_ONE)),
        400,
        (
            r"Content-Type: multipart/mixed; boundary=batchresponse_[0-9a-f-]{36}",
            r"HTTP/1\.1 200 OK.*HTTP/1\.1 404 Not Found.*0x80040217",
        ),
        (r"404 Not Found.*HTTP/1\.1",),
    ),
    batch(
        "unless the client prefers to go on",
        (part(MISSING), part(GET_ONE)),
        200,
        (r"HTTP/1\.1 404 Not Found.*HTTP/1\.1 200 OK",),
        prefer="odata.continue-on-error",
    ),
    batch(
        "a part's error is JSON",
        (part("GET nothings"),),
        400,
        (r"404 Not Found\r\n.*Content-Type: application/json.*0x8006088a",),
    ),
)
SECTIONS = {"15": SENDING, "15, change sets": CHANGE_SETS, "15, failures": FAILING}
