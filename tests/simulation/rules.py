"""Rules of a world of its own, beside those of the history checker: writes and leases, claims in order, causes and jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from tests.proof import audit


def writes(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    """Every write of a handler was made under the lease of its own run, and no other run had it."""
    leases: dict[tuple[str, str], set[str | None]] = {}
    for job, run, lease in rows:
        leases.setdefault((job, run), set()).add(lease)
    runs: Counter[tuple[str, str | None]] = Counter()
    for (job, run), found in leases.items():
        if None in found or len(found) > 1:
            yield f"run {run} of job {job} wrote under the leases {found}"
        runs.update((job, lease) for lease in found)
    for (job, lease), count in runs.items():
        if count > 1:
            yield f"{count} runs of job {job} wrote under the lease {lease}"


def claims(entries: list[audit.Entry], kinds: dict[str, int]) -> Iterator[str]:
    """Of each type of jobs the earliest that are Ready are claimed: none is passed over."""
    ready: dict[int, dict[str, int]] = {}
    for position, entry in enumerate(entries):
        of_kind = ready.setdefault(kinds[entry.job], {})
        of_kind.pop(entry.job, None)
        if entry.became == 0:
            of_kind[entry.job] = entry.sequence
        elif entry.claims:
            # The others of the same batch have the same lease and follow at once.
            together = set()
            for other in entries[position + 1 :]:
                if other.lease != entry.lease or not other.claims:
                    break
                together.add(other.job)
            passed = sorted(
                number for job, number in of_kind.items() if number < entry.sequence and job not in together
            )
            if passed:
                yield f"job {entry.sequence} was claimed before {passed}, which were Ready"


def caused(accounts: list[str], causes: list[str], acknowledged: list[UUID]) -> Iterator[str]:
    """A record is there exactly if both jobs that it caused came to be."""
    count: Counter[str] = Counter(causes)
    for account in accounts:
        if count[account] != 2:
            yield f"account {account} caused {count[account]} jobs instead of 2"
    for account in sorted(set(count) - set(accounts)):
        yield f"account {account} is not there, and its jobs are"
    for account in acknowledged:
        if str(account) not in accounts:
            yield f"account {account} was acknowledged and is gone"
