"""Answers given before, given again while nothing has been committed since.

Clients read the same record again and again. Such an answer depends on the database, and on the request and nothing
else: no moment, no user code. So it is kept under all of the request that could matter, beside the store's version, which
was asked for before the record was read, and given again while that version lasts (`Store.version`). Where the store
cannot say (PostgreSQL), nothing is kept.
Whether the request is admitted at all is decided before, each time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping

from adjourn import runtime
from adjourn.store.contract import Store
from adjourn.webapi.exchange import Answer

ANSWERS_MAX = 2_000
ANSWER_BYTES_MAX = 16 * 1024
"""Together at most 32 MB."""
_IMMATERIAL = frozenset((
    "accept-encoding", "accept-language", "authorization", "cache-control", "connection", "cookie", "pragma", "te",
    "traceparent", "tracestate", "user-agent", "x-ms-client-request-id", "x-ms-client-session-id", "x-ms-correlation-id",
))  # fmt: skip
"""Headers on which no answer depends; who asks is told by `who` in the key. Any other header makes another question."""


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """All of a request that could matter, and the version of the store when it was asked."""

    key: Hashable
    version: Hashable


class Remembered:
    """The answers of one organization. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: dict[Hashable, tuple[Hashable, Answer]] = {}
        self._lock = runtime.lock()

    def question(self, who: Hashable, root: str, path: str, query: str, headers: Mapping[str, str]) -> Question | None:
        """A GET as something to look up; None where nothing can be remembered."""
        version = self._store.version()
        if version is None:
            return None
        told = tuple([pair for pair in headers.items() if pair[0] not in _IMMATERIAL])
        return Question((who, root, path, query, told), version)

    def find(self, question: Question) -> Answer | None:
        """The answer, if nothing was committed since."""
        found = self._answers.get(question.key)
        return found[1] if found is not None and found[0] == question.version else None

    def keep(self, question: Question, answer: Answer) -> None:
        """Remember an answer that says that it lasts (`Answer.lasting`)."""
        if not answer.lasting or answer.rest or len(answer.body) > ANSWER_BYTES_MAX:
            return
        with self._lock:
            self._answers.pop(question.key, None)  # to the end: the oldest go first
            while len(self._answers) >= ANSWERS_MAX:
                del self._answers[next(iter(self._answers))]
            self._answers[question.key] = (question.version, answer)
