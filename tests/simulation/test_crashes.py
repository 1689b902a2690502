"""Processes are killed at every kind of moment, and nothing that was promised is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.world import World

SHORT, LONG = range(10), range(10, 210)


def play(seed: int, folder: Path) -> World:
    folder.mkdir()
    world = World(seed, folder / "adjourn.db")
    try:
        world.play()
    except BaseException as error:
        error.add_note(f"seed {seed}, kills: {world.kills}")
        raise
    return world


@pytest.mark.parametrize("seed", SHORT)
def test_nothing_is_lost_when_processes_die(seed: int, tmp_path: Path) -> None:
    assert play(seed, tmp_path / "run").kills


@pytest.mark.long
@pytest.mark.parametrize("seed", LONG)
def test_nothing_is_lost_when_processes_die_in_the_long_run(seed: int, tmp_path: Path) -> None:
    assert play(seed, tmp_path / "run").kills


def test_a_seed_always_gives_the_same_run(tmp_path: Path) -> None:
    first, again, other = (play(seed, tmp_path / name) for name, seed in (("1", 1), ("2", 1), ("3", 2)))
    assert first.scheduler.trace_hash() == again.scheduler.trace_hash()
    assert first.kills == again.kills
    assert first.scheduler.trace_hash() != other.scheduler.trace_hash()
