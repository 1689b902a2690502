"""A bell remembers a ring."""

from __future__ import annotations

import pytest

from adjourn.runtime.threads import ThreadBell


def test_a_ring_while_nobody_waits_is_heard_by_the_next_wait_alone() -> None:
    bell = ThreadBell()
    bell.ring()
    bell.ring()
    assert [bell.wait(0), bell.wait(0)] == [True, False]


def test_a_ring_in_the_moment_at_which_a_wait_gives_up_is_heard_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    bell = ThreadBell()
    with monkeypatch.context() as patch:

        def give_up(timeout: float | None) -> bool:
            bell.ring()
            return False

        patch.setattr(bell._event, "wait", give_up)
        assert not bell.wait(0)
    assert bell.wait(0)
