"""The specification's own queries, sent as they are printed, against plain Python over the same rows. On both stores.

The verbatim files are read from `<checkout>/../shared/reference/seed-queries` where that folder stands; the same
questions in our own writing are asked everywhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from tests.support import history
from tests.support.serving import ROOT, Serving, serving

from adjourn.metadata.catalog import load
from adjourn.metadata.values import moment_wire
from adjourn.service import Service

FILES = ROOT.parent / "shared" / "reference" / "seed-queries"
FORMATTED = "OData.Community.Display.V1.FormattedValue"
PREFER = {"Prefer": f'odata.include-annotations="{FORMATTED}"'}
JOBS = load().table("asyncoperation")
Rows = list[dict[str, Any]]
COUNTS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "02-jobs-by-state-status-and-type": lambda row: True,
    "03-suspended-jobs-by-count": lambda row: row["statecode"] == 1,
    "04-workflows-by-count": lambda row: row["operationtype"] == 10,
    "05-jobs-waiting-for-system-resources": lambda row: (row["statecode"], row["statuscode"]) == (0, 0),
}
FILTERS = {
    "02-jobs-by-state-status-and-type": ("", ""),
    "03-suspended-jobs-by-count": ("statecode eq 1", "<condition attribute='statecode' operator='eq' value='1'/>"),
    "04-workflows-by-count": ("operationtype eq 10", "<condition attribute='operationtype' operator='eq' value='10'/>"),
    "05-jobs-waiting-for-system-resources": (
        "statecode eq 0 and statuscode eq 0",
        "<condition attribute='statecode' operator='eq' value='0'/><condition attribute='statuscode' operator='eq' value='0'/>",
    ),
}
KEYS = ("statecode", "statuscode", "operationtype")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Rows]]:
    yield from organization(request.param, tmp_path_factory, 3000)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Rows]]:
    yield from organization(request.param, tmp_path_factory, 0)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Rows]]:
    yield from organization(request.param, tmp_path_factory, 100_000)


def organization(dialect: str, folders: pytest.TempPathFactory, count: int) -> Iterator[tuple[Serving, Rows]]:
    from tests.support import postgres

    if dialect == "sqlite":
        url = f"sqlite:///{folders.mktemp('queries')}/adjourn.db"
    else:
        cluster = postgres.cluster()
        url = cluster.url_of(cluster.create())
    service = Service.open(url)
    service.register("tests.support.worker_plugins")
    with service.store.read() as reader:
        steps = [row[0] for row in reader.rows("SELECT sdkmessageprocessingstepid FROM sdkmessageprocessingstep")]
    rows = history.make(count, sorted(steps))
    history.load(service, rows)
    service.close()
    with serving(url, "--processes", "0") as running:
        without_schedules(running)
        yield running, rows


def without_schedules(running: Serving) -> None:
    """The schedules that a service makes for itself are no rows of the question."""
    chosen = running.http.get("asyncoperations?$select=asyncoperationid&$filter=recurrencepattern ne null").json()
    for row in chosen["value"]:
        assert running.http.delete(f"asyncoperations({row['asyncoperationid']})").status_code == 204


def verbatim(name: str) -> tuple[str, dict[str, str]]:
    """A printed request: its address after the version, and its headers, as a person would join the lines."""
    file = FILES / name
    if not file.exists():
        pytest.skip(f"the specification's {name} does not stand beside this checkout")
    if name.endswith(".xml"):
        return f"asyncoperations?fetchXml={quote(file.read_text())}", PREFER
    head, *headers = file.read_text().split("\nAccept:")
    address = "".join(head.splitlines()).partition("/api/data/v9.2/")[2]
    lines = ("Accept:" + headers[0]).splitlines() if headers else []
    return address, {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}


def own(name: str, language: str) -> tuple[str, dict[str, str]]:
    """The same question in our own writing."""
    odata, fetch = FILTERS[name]
    if language == "http":
        filtered = f"filter({odata})/" if odata else ""
        return f"asyncoperations?$apply={filtered}groupby(({','.join(KEYS)}),aggregate($count as count))", PREFER
    keys = "".join(f"<attribute name='{key}' alias='{key}' groupby='1'/>" for key in KEYS)
    return (
        "asyncoperations?fetchXml="
        + quote(
            f"<fetch aggregate='1'><entity name='asyncoperation'>{keys}"
            "<attribute name='asyncoperationid' alias='count' aggregate='count'/>"
            f"<filter>{fetch}</filter><order alias='count' descending='1'/></entity></fetch>"
        ),
        PREFER,
    )


def ask(serving: Serving, request: tuple[str, dict[str, str]]) -> Rows:
    address, headers = request
    answer = serving.http.get(address.replace(" ", "%20"), headers=headers)
    assert answer.status_code == 200, answer.text
    found: Rows = answer.json()["value"]
    return found


def plain(rows: Rows) -> Rows:
    return [{key: value for key, value in row.items() if "@" not in key} for row in rows]


def check_counts(name: str, language: str, found: Rows, rows: Rows) -> None:
    expected = Counter(tuple(row[key] for key in KEYS) for row in rows if COUNTS[name](row))
    assert {tuple(row[key] for key in KEYS): row["count"] for row in found} == expected
    assert len(found) == len(expected)
    if language == "xml":
        counts = [row["count"] for row in found]
        assert counts == sorted(counts, reverse=True)
    for row in found:
        assert row[f"count@{FORMATTED}"] == f"{row['count']:,}"
        for key in KEYS:
            choice = JOBS.columns[key].choice
            assert choice is not None
            assert row[f"{key}@{FORMATTED}"] == choice.label(row[key])


def check_files(name: str, found: Rows, rows: Rows) -> None:
    with_file = [row for row in rows if row["datablobid"]]
    if name.startswith("06"):
        assert found == [{"FileStorageCount": len(with_file)}]
    elif name.startswith("07"):
        assert found == [{"DBCount": len(rows) - len(with_file)}]
    elif name.startswith("08"):
        expected = Counter((row["operationtype"], row["name"], row["friendlymessage"]) for row in with_file)
        answered = {
            (row["operationtype"], row.get("name"), row.get("friendlymessage")): row["jobs"] for row in plain(found)
        }
        assert answered == expected
        assert len(found) == len(expected)
    else:
        sizes: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for row in with_file:
            sizes[row["owningextensionid"], *(row[key] for key in KEYS)].append(row["size"])
        totals = {key: (sum(found), len(found)) for key, found in sizes.items()}
        answered_sizes = {
            (row.get("owningextension"), *(row[key] for key in KEYS)): (row["TotalSize"], row["RecordCount"])
            for row in plain(found)
        }
        assert answered_sizes == totals
        order = [row["TotalSize"] for row in found]
        assert order == sorted(order, reverse=True)


def check_first(language: str, found: Rows, rows: Rows) -> None:
    assert len(found) == min(1000, len(rows))
    by_id = {row["asyncoperationid"]: row for row in rows}
    assert [row["asyncoperationid"] for row in found] == sorted(by_id)[:1000]
    moments = ("completedon", "createdon", "modifiedon", "startedon")
    same = ("depth", "errorcode", "executiontimespan", "friendlymessage", "messagename", "name", "operationtype",
            "retrycount", "statecode", "data", "dependencytoken", "postponeuntil", "workflowstagename")  # fmt: skip
    for row in plain(found):
        source = by_id[row["asyncoperationid"]]
        expected = {name: source.get(name) for name in same}
        expected |= {name: moment_wire(source[name]) if source[name] else None for name in moments}
        if language == "http":
            assert {name: row[name] for name in expected} == expected
            assert row["createdby"]["fullname"] == "System Administrator"
            assert row["modifiedby"]["fullname"] == "SYSTEM"
            assert row["owningteam"] is None
            assert (row["owningextensionid"] is None) == (source["owningextensionid"] is None)
            assert len(row) == 27 + 6
        else:
            assert {name: row[name] for name in expected if name in row} == {
                name: value for name, value in expected.items() if value is not None
            }


def check(name: str, found: Rows, rows: Rows) -> None:
    query, _, language = name.rpartition(".")
    if query in COUNTS:
        check_counts(query, language, found, rows)
    elif query.startswith("01"):
        check_first(language, [{k: v for k, v in row.items() if k != "@odata.etag"} for row in found], rows)
    else:
        # The printed Web API requests 06 and 07 ask for no annotation, and get none.
        check_files(query, plain(found) if language == "xml" else found, rows)


QUERIES = {
    "01-retrieve-system-jobs": ("M73", "M74"),
    "02-jobs-by-state-status-and-type": ("M114", "M115"),
    "03-suspended-jobs-by-count": ("M119", "M120"),
    "04-workflows-by-count": ("M131", "M132"),
    "05-jobs-waiting-for-system-resources": ("M145", "M146"),
    "06-file-storage-count": ("M156", "M157"),
    "07-not-in-blob-storage-count": ("M161", "M162"),
    "08-job-names-using-file-storage": ("M166", "M167"),
    "09-file-size-and-record-count": ("M171", "M172"),
}
NAMES = [
    pytest.param(f"{name}.{language}", marks=pytest.mark.requirement(number))
    for name, numbers in QUERIES.items()
    for language, number in zip(("http", "xml"), numbers, strict=True)
]


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_query_is_answered_as_plain_python_answers_it(asked: tuple[Serving, Rows], name: str) -> None:
    service, rows = asked
    check(name, ask(service, verbatim(name)), rows)


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_query_of_an_empty_table(empty: tuple[Serving, Rows], name: str) -> None:
    service, rows = empty
    check(name, ask(service, verbatim(name)), rows)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_printed_query_over_a_hundred_thousand_rows(large: tuple[Serving, Rows], name: str) -> None:
    service, rows = large
    check(name, ask(service, verbatim(name)), rows)


@pytest.mark.parametrize("language", ["http", "xml"])
@pytest.mark.parametrize("name", COUNTS)
def test_the_same_question_in_our_own_writing(asked: tuple[Serving, Rows], name: str, language: str) -> None:
    service, rows = asked
    check_counts(name, language, ask(service, own(name, language)), rows)


@pytest.mark.requirement("M134")
@pytest.mark.parametrize("operation_type", [13, 1, 54, 999])
def test_any_other_type_in_place_of_ten(asked: tuple[Serving, Rows], operation_type: int) -> None:
    service, rows = asked
    address = f"asyncoperations?$apply=filter(operationtype eq {operation_type})/groupby(({','.join(KEYS)}),aggregate($count as n))"
    found = {tuple(row[key] for key in KEYS): row["n"] for row in ask(service, (address, {}))}
    assert found == Counter(tuple(row[key] for key in KEYS) for row in rows if row["operationtype"] == operation_type)
