"""The history checker: whether a store, whatever was done to it, keeps what adjourn promises.

It looks at three things: the store as it stands (`standing`), the diary of every change that was ever committed
(`diary`, kept by `audit`), and what producers, operators and workers were told (`acknowledged`). It answers with the
violations that it finds; none is good. It changes nothing. A proof calls it when its processes have ended or have been
killed and a last one has drained the queue and swept forgotten files (`Log.drained`, `Log.quiet`); in the middle of
things without those.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.proof import acknowledged, audit, diary, standing
from tests.proof.violations import Log, Violation

from adjourn.store.contract import Store


def violations(store: Store, log: Log | None = None) -> list[Violation]:
    """Everything that is wrong with a store. log: what was acknowledged; None: nothing is known of it."""
    log = log or Log()
    return list(_all(store, log))


def _all(store: Store, log: Log) -> Iterator[Violation]:
    with store.read() as reader:
        facts = standing.read(reader)
        entries = audit.read(reader)
    yield from standing.examine(store, facts, log)
    yield from diary.examine(entries, facts)
    yield from acknowledged.examine(entries, facts, log)
