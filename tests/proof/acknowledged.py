"""What producers, operators and workers were told, held against what is there and what ever happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.proof.audit import Entry
from tests.proof.standing import Facts, Job
from tests.proof.violations import Batch, Log, Rule, Violation

from adjourn.jobs.history import Event
from adjourn.jobs.states import Action, Status

_CANCELED = (Status.CANCELING, Status.CANCELED)
_TOLD = {
    Action.RESUME: (Event.RESUME,),
    Action.POSTPONE: (Event.POSTPONE,),
    Action.PAUSE: (Event.PAUSE, Event.POSTPONE),
}
"""What the history of a job has for an action that was acknowledged. A pause of a job that is letting go already changes
nothing: then an earlier pause or postponement is there."""


def examine(entries: Sequence[Entry], facts: Facts, log: Log) -> Iterator[Violation]:
    """What was promised and is not so."""
    yield from _Acknowledged(entries, facts, log).examine()


class _Acknowledged:
    def __init__(self, entries: Sequence[Entry], facts: Facts, log: Log) -> None:
        self._facts = facts
        self._log = log
        self._sequences = {entry.job: entry.sequence for entry in entries}
        self._completed_as = {entry.job: entry.became for entry in entries if entry.became in (30, 31, 32)}
        self._gone = {entry.job: entry.was for entry in entries if entry.became is None}
        deleted = {str(job) for action, job in log.acts if action is Action.DELETE}
        self._deleted = deleted
        self._may_be_gone = deleted | {str(job) for job in log.deletions_tried}
        self._events: Counter[tuple[str, str]] = Counter((job, event) for job, event, _, _ in facts.told)
        self._by_text: dict[str, list[Job]] = defaultdict(list)
        self._runs: dict[str, list[Job]] = defaultdict(list)
        for job in facts.jobs.values():
            if job.schedule is not None:
                # It has its schedule's data, and was enqueued by nobody.
                self._runs[job.schedule].append(job)
            elif job.id in facts.texts:
                self._by_text[facts.texts[job.id]].append(job)

    def examine(self) -> Iterator[Violation]:
        for batch in self._log.batches:
            yield from self._batch(batch)
        yield from self._deletions()
        yield from self._acts()
        yield from self._successes()
        yield from self._effects()
        yield from self._order()

    def _batch(self, batch: Batch) -> Iterator[Violation]:
        if batch.ids is None:
            there = [len(self._by_text.get(text, ())) for text in batch.texts]
            if any(count > 1 for count in there):
                yield Violation(Rule.TWICE, f"a batch without an answer is there more than once: {_names(batch)}")
            elif len(set(there)) > 1 and not self._log.auto_deleted and not self._log.deletions_tried:
                yield Violation(
                    Rule.PARTIAL, f"{sum(there)} of {len(there)} jobs of a batch are there: {_names(batch)}"
                )
            return
        for job_id, text in zip(map(str, batch.ids), batch.texts, strict=True):
            job = self._facts.jobs.get(job_id)
            if job_id not in self._sequences:
                yield Violation(Rule.LOST, f"job {job_id} was acknowledged and never came to be")
            elif job is None:
                if job_id not in self._may_be_gone and not self._removed_itself(job_id):
                    yield Violation(Rule.LOST, f"job {job_id} was acknowledged, nobody deleted it, and it is gone")
            elif (found := self._facts.texts.get(job_id)) != text:
                yield Violation(Rule.LOST, f"job {job.sequence} has other data than it was given: {_short(found)}")
            for other in self._by_text.get(text, ()):
                if other.id != job_id:
                    yield Violation(Rule.TWICE, f"job {other.sequence} is job {job_id} once more")

    def _removed_itself(self, job_id: str) -> bool:
        return self._log.auto_deleted and self._gone.get(job_id) == Status.IN_PROGRESS

    def _deletions(self) -> Iterator[Violation]:
        for job_id in sorted(self._deleted & self._facts.jobs.keys()):
            yield Violation(Rule.LOST, f"the deletion of job {job_id} was acknowledged, and it is there")

    def _acts(self) -> Iterator[Violation]:
        for (action, job_uuid), times in Counter(self._log.acts).items():
            job = self._facts.jobs.get(str(job_uuid))
            if job is None or action is Action.DELETE:
                continue
            if action is Action.CANCEL:
                if job.status not in _CANCELED:
                    yield Violation(
                        Rule.LOST, f"job {job.sequence} was canceled and stands at {job.state}/{job.status}"
                    )
                continue
            kept = sum(self._events[job.id, event] for event in _TOLD[action])
            if kept < (times if action is not Action.PAUSE else 1):
                yield Violation(
                    Rule.LOST, f"{times} × {action} of job {job.sequence} were acknowledged, {kept} are told of"
                )

    def _successes(self) -> Iterator[Violation]:
        for job_uuid, lease in self._log.successes:
            job = self._facts.jobs.get(str(job_uuid))
            if job is None:
                continue
            canceled = job.status == Status.CANCELED and self._events[job.id, Event.CANCEL]
            if job.status != Status.SUCCEEDED and not canceled:
                text = f"the success of job {job.sequence} under {lease} was acknowledged; it stands at {job.state}/{job.status}"
                yield Violation(Rule.LOST, text)

    def _effects(self) -> Iterator[Violation]:
        times = Counter(self._log.effects)
        for (job_id, part), count in times.items():
            if count > 1:
                yield Violation(Rule.EFFECT, f"write {part} of job {job_id} is there {count} times")
        for batch in self._log.batches:
            for text, place in zip(batch.texts, batch.ids or (None,) * len(batch.texts), strict=True):
                known = self._facts.jobs.get(str(place)) if place is not None else None
                job = known or next(iter(self._by_text.get(text, ())), None)
                if not batch.parts or job is None:
                    continue
                for run in [job] if job.recurrence is None else self._runs[job.id]:
                    yield from self._writes(
                        run, [part for (job_id, part) in times if str(job_id) == run.id], batch.parts
                    )

    def _writes(self, job: Job, parts: list[int], count: int) -> Iterator[Violation]:
        parts, whole = sorted(parts), list(range(count))
        if parts != whole[: len(parts)]:
            yield Violation(Rule.EFFECT, f"of job {job.sequence} the writes {parts} are there, out of order")
        elif job.status == Status.SUCCEEDED and parts != whole:
            yield Violation(Rule.EFFECT, f"job {job.sequence} succeeded with the writes {parts} of {count}")

    def _order(self) -> Iterator[Violation]:
        """Sequence follows the order in which producers were answered, and the order within a batch."""
        places: dict[str, list[tuple[Batch, list[int]]]] = defaultdict(list)
        for batch in self._log.batches:
            if batch.ids is None or not batch.tokens:
                continue
            mine: dict[str, list[int]] = defaultdict(list)
            for job_id, token in zip(map(str, batch.ids), batch.tokens, strict=True):
                if token is not None and job_id in self._sequences:
                    mine[token].append(self._sequences[job_id])
            for token, sequences in mine.items():
                if sequences != sorted(sequences):
                    yield Violation(Rule.ORDER, f"a batch's jobs of token {token} have the sequences {sequences}")
                places[token].append((batch, sequences))
        for token, found in places.items():
            answered = sorted(found, key=lambda place: place[0].ended)
            highest, position = -1, 0
            for batch, sequences in sorted(found, key=lambda place: place[0].began):
                while answered[position][0].ended < batch.began:
                    highest = max(highest, *answered[position][1])
                    position += 1
                if min(sequences) < highest:
                    text = f"job {min(sequences)} of token {token} was enqueued after job {highest} was acknowledged"
                    yield Violation(Rule.ORDER, text)


def _names(batch: Batch) -> str:
    return ", ".join(map(_short, batch.texts))


def _short(text: str | None) -> str:
    return repr(text) if text is None or len(text) <= 80 else f"{text[:80]!r}…"
