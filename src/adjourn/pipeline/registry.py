"""What is configured, as the rows of the database say: steps and messages, and the metadata; read once per change of those rows.

`configversion` in the database rises with every change of a step, an image, a plug-in type, a message, a user or the
metadata, whoever made it. A snapshot belongs to one version: the pipeline compares inside its transaction and takes the new one
when they differ, so a step that was disabled a moment ago never makes another job.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from adjourn import runtime
from adjourn.errors import UnknownResource, nearest
from adjourn.metadata.additions import catalog_of
from adjourn.metadata.catalog import load as shipped_catalog
from adjourn.metadata.model import Catalog
from adjourn.pipeline.code import resolve
from adjourn.pipeline.read import ask
from adjourn.query import metadata_documents, write
from adjourn.query.tree import Attribute, Link, Order, Query
from adjourn.store.contract import Reader, Row, Store

_CATALOGS_MAX = 4
PRE_IMAGE, POST_IMAGE, BOTH_IMAGES = 0, 1, 2
ENABLED = 0
RUNTIME_PROPERTIES, PER_RECORD_ORDER = "runtimeintegrationproperties", "perRecordOrder"
"""A column of the step that Dataverse keeps for whoever runs it, here a JSON object; and our key in it."""
ISOLATED = 2
"""pluginassembly.isolationmode Sandbox: its code runs in an executor of its own."""


@dataclass(frozen=True, slots=True)
class Image:
    """A snapshot that a step asked for. columns None: all of them."""

    alias: str
    kind: int
    columns: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An sdkmessageprocessingstep with the code behind it. table None: every table."""

    id: UUID
    name: str
    message: str
    table: str | None
    stage: int
    mode: int
    rank: int
    filtering: frozenset[str]
    auto_delete: bool
    impersonating_user_id: UUID | None
    configuration: str | None
    per_record_order: bool
    """Its jobs for one record run one at a time, in their order."""
    module: str
    function: str
    isolated: bool
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """A message whose stage 30 is somebody's function."""

    name: str
    module: str
    function: str
    isolated: bool

    @property
    def atomic(self) -> bool:
        return bool(getattr(resolve(self.module, self.function), "atomic", False))


@dataclass(slots=True)
class Snapshot:
    """Everything that is registered, as of one version of the configuration."""

    version: int
    by_id: Mapping[UUID, Step]
    """Disabled ones too: the jobs that they left behind still run."""
    by_event: Mapping[tuple[str, str | None], tuple[Step, ...]]
    messages: Mapping[str, OwnMessage]
    message_names: frozenset[str]
    tracing: int
    """organization.plugintracelogsetting: which runs leave a trace log."""
    catalog: Catalog
    """The tables, those of callers among them."""
    documents: tuple[Row, ...]
    """What callers have added to them, names and documents."""
    cached: dict[Any, Any] = field(default_factory=dict)
    """What others derive from it and want dropped with it (callers by user id)."""

    def steps(self, message: str, table: str | None) -> tuple[Step, ...]:
        """Steps of a message on a table, those for every table among them, in the order in which they run."""
        exact = self.by_event.get((message, table), ()) if table else ()
        general = self.by_event.get((message, None), ())
        if not exact or not general:
            return exact or general
        key = ("steps", message, table)
        if key not in self.cached:
            # By rank, then by sdkmessagefilterid, in which the null of "every table" comes first (semantics §4).
            self.cached[key] = tuple(sorted((*general, *exact), key=lambda step: step.rank))
        merged: tuple[Step, ...] = self.cached[key]
        return merged


class Registry:
    """The current snapshot, and how to get the next one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = runtime.lock()
        self._snapshot: Snapshot | None = None
        self._seen: tuple[Hashable, Snapshot] | None = None
        """The last snapshot that `refresh` gave, and the store's version before it was read."""
        self._built: dict[tuple[Row, ...], Catalog] = {(): shipped_catalog()}

    def current(self, reader: Reader) -> Snapshot:
        """The snapshot that fits what `reader` sees."""
        version = write.config_version(reader)
        snapshot = self._snapshot
        if snapshot is None or snapshot.version != version:
            documents = tuple(metadata_documents.rows(reader))
            snapshot = load(reader, self._catalog(documents, version), documents, version)
            # Not kept while its rows may still be rolled back: a version that never was would be seen by others.
            if not hasattr(reader, "execute"):
                self._snapshot = snapshot
        return snapshot

    def _catalog(self, documents: tuple[Row, ...], version: int) -> Catalog:
        """The same object as long as the documents are the same: plans are kept by it.

        Besides the committed ones there are those of transactions under way, so the last few are kept.
        """
        found = self._built.get(documents)
        if found is None:
            found = catalog_of(metadata_documents.additions(documents), version)
            self._built = dict([*self._built.items(), (documents, found)][-_CATALOGS_MAX:])
        return found

    @property
    def catalog(self) -> Catalog:
        """The tables as of the last snapshot."""
        return self.cached().catalog

    def cached(self) -> Snapshot:
        """The last snapshot seen, without asking whether it is still true; for what is verified later."""
        snapshot = self._snapshot
        if snapshot is None:
            snapshot = self.refresh()
        return snapshot

    def refresh(self) -> Snapshot:
        """Read the committed state anew, if it changed."""
        version = self._store.version()
        seen = self._seen
        if version is not None and seen is not None and seen[0] == version:
            return seen[1]
        with self._lock, self._store.read() as reader:
            found = self.current(reader)
        if version is not None:
            self._seen = (version, found)
        return found

    def known_step(self, step_id: UUID) -> Step | None:
        """A step by its id, enabled or not; asks the database only when the snapshot does not know it."""
        return self.cached().by_id.get(step_id) or self.refresh().by_id.get(step_id)

    def known_message(self, name: str) -> OwnMessage:
        """A message of one's own. Raises UnknownResource with the nearest name."""
        found = self.cached().messages.get(name)
        if found is not None:
            return found
        snapshot = self.refresh()
        found = snapshot.messages.get(name)
        if found is None:
            raise UnknownResource(f"Message '{name[:200]}' is not registered.{nearest(name, snapshot.messages)}")
        return found


def load(reader: Reader, catalog: Catalog, documents: tuple[Row, ...], version: int) -> Snapshot:
    """Read all registrations in a few queries."""
    images: dict[UUID, list[Image]] = {}
    for row in ask(reader, catalog, _IMAGES):
        columns = tuple(name.strip() for name in (row["attributes"] or "").split(",") if name.strip())
        image = Image(row["entityalias"], row["imagetype"], columns or None)
        images.setdefault(row["sdkmessageprocessingstepid"].id, []).append(image)
    by_id: dict[UUID, Step] = {}
    by_event: dict[tuple[str, str | None], list[Step]] = {}
    for row in ask(reader, catalog, _STEPS):
        found = Step(
            id=row["sdkmessageprocessingstepid"],
            name=row["name"],
            message=row["m.name"],
            table=row["f.primaryobjecttypecode"],
            stage=row["stage"],
            mode=row["mode"],
            rank=row["rank"] or 0,
            filtering=frozenset(n.strip() for n in (row["filteringattributes"] or "").split(",") if n.strip()),
            auto_delete=bool(row["asyncautodelete"]),
            impersonating_user_id=row["impersonatinguserid"].id if row["impersonatinguserid"] else None,
            configuration=row["configuration"],
            per_record_order=in_record_order(row[RUNTIME_PROPERTIES]),
            module=row["a.name"] or "",
            function=row["t.typename"] or "",
            isolated=row["a.isolationmode"] == ISOLATED,
            images=tuple(images.get(row["sdkmessageprocessingstepid"], ())),
        )
        by_id[found.id] = found
        if row["statecode"] == ENABLED:
            by_event.setdefault((found.message, found.table), []).append(found)
    names = {row["name"] for row in ask(reader, catalog, _MESSAGES)}
    messages = {
        row["name"]: OwnMessage(row["name"], row["a.name"], row["typename"], row["a.isolationmode"] == ISOLATED)
        for row in ask(reader, catalog, _TYPES)
        if row["name"] in names
    }
    tracing = max((row["plugintracelogsetting"] or 0 for row in ask(reader, catalog, _SETTINGS)), default=0)
    return Snapshot(
        version,
        by_id,
        {event: tuple(steps) for event, steps in by_event.items()},
        messages,
        frozenset(names),
        tracing,
        catalog,
        documents,
    )


def in_record_order(properties: str | None) -> bool:
    """Whether a step's runtime properties, JSON of whoever wrote them, ask for the order of each record."""
    if not properties:
        return False
    try:
        found = msgspec.json.decode(properties)
    except msgspec.DecodeError:
        return False  # somebody else's, brought in with an import
    return isinstance(found, dict) and found.get(PER_RECORD_ORDER) is True


def _columns(*names: str) -> tuple[Attribute, ...]:
    return tuple(Attribute(name) for name in names)


_ASSEMBLY = Link(
    "pluginassembly", "pluginassemblyid", "pluginassemblyid", "a", "outer", _columns("name", "isolationmode")
)
_STEPS = Query(
    "sdkmessageprocessingstep",
    _columns(
        "sdkmessageprocessingstepid",
        "name",
        "stage",
        "mode",
        "rank",
        "filteringattributes",
        "asyncautodelete",
        "impersonatinguserid",
        "configuration",
        RUNTIME_PROPERTIES,
        "statecode",
    ),
    links=(
        Link("sdkmessage", "sdkmessageid", "sdkmessageid", "m", "inner", _columns("name")),
        Link(
            "sdkmessagefilter",
            "sdkmessagefilterid",
            "sdkmessagefilterid",
            "f",
            "outer",
            _columns("primaryobjecttypecode"),
        ),
        Link("plugintype", "plugintypeid", "plugintypeid", "t", "outer", _columns("typename"), links=(_ASSEMBLY,)),
    ),
    orders=(Order("rank"), Order("createdon"), Order("sdkmessageprocessingstepid")),
    language="fetchxml",
)
_IMAGES = Query(
    "sdkmessageprocessingstepimage",
    _columns("sdkmessageprocessingstepid", "entityalias", "imagetype", "attributes"),
    orders=(Order("entityalias"),),
    language="fetchxml",
)
_SETTINGS = Query("organization", _columns("plugintracelogsetting"), language="fetchxml")
_MESSAGES = Query("sdkmessage", _columns("name"), language="fetchxml")
_TYPES = Query(
    "plugintype",
    _columns("name", "typename"),
    links=(
        Link("pluginassembly", "pluginassemblyid", "pluginassemblyid", "a", "inner", _columns("name", "isolationmode")),
    ),
    language="fetchxml",
)
