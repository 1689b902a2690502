"""Any text is read or refused by one of our own errors, in bounded time. `make fuzz` throws 200,000 at each run's own seed.

What a run finds goes into `corpus.jsonl` with the input as small as can be; those are tried again in every run.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest
from tests.fuzz.targets import TARGETS, attempt
from tests.fuzz.texts import SEEDS, made, mutated

CORPUS = [json.loads(line) for line in Path(__file__).with_name("corpus.jsonl").read_text().splitlines()]
SHORT, LONG = 5_000, 200_000
SECONDS_MAX = 1.0
"""Of computing, for one text of at most 20,000 characters."""


def throw(name: str, text: str) -> None:
    _, read = TARGETS[name]
    began = time.thread_time()
    try:
        attempt(lambda: read(text))
    except BaseException as error:
        line = json.dumps({"target": name, "text": text})
        raise AssertionError(f"{type(error).__name__}: {error}\n{line}") from error
    seconds = time.thread_time() - began
    assert seconds < SECONDS_MAX, f"{seconds:.1f} s for\n{json.dumps({'target': name, 'text': text})}"


def run(name: str, count: int, seed: int) -> None:
    kind, _ = TARGETS[name]
    chance = random.Random(seed)
    for _ in range(count):
        text = made(kind, chance)
        if chance.random() < 0.5:
            text = mutated(chance.choice((text, chance.choice(SEEDS[kind]))), chance, SEEDS[kind])
        throw(name, text)


@pytest.mark.parametrize("found", CORPUS, ids=lambda found: f"{found['target']} {found['text'][:30]!r}")
def test_what_was_found_before_stays_mended(found: dict[str, str]) -> None:
    throw(found["target"], found["text"])


@pytest.mark.parametrize("kind", SEEDS)
def test_the_texts_to_begin_with_are_valid(kind: str) -> None:
    """Else the mutations would begin behind the first mistake."""
    name = next(name for name, (made_of, _) in TARGETS.items() if made_of == kind)
    valid = 0
    for text in SEEDS[kind]:
        try:
            TARGETS[name][1](text)
            valid += 1
        except Exception:
            continue
    assert valid >= len(SEEDS[kind]) - 2


@pytest.mark.parametrize("name", TARGETS)
def test_any_text_is_read_or_refused(name: str) -> None:
    run(name, SHORT // len(TARGETS), seed=20_301)


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_any_of_200000_texts_is_read_or_refused(name: str) -> None:
    seed = int(os.environ.get("ADJOURN_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"ADJOURN_FUZZ_SEED={seed}")
    run(name, LONG // len(TARGETS) + 1, seed)
