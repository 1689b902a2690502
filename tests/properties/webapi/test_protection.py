"""The window of service protection against a list of everything that happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.errors import InvalidRequest, Throttled
from adjourn.jobs.classes import CLASSES
from adjourn.webapi import protection
from adjourn.webapi.protection import SLICE_SECONDS, WINDOW_SECONDS, Limits, Protection, Window

EVENTS = st.lists(
    st.tuples(st.floats(0, 200), st.integers(0, 5), st.floats(0, 50)), max_size=60
)  # waiting before it, requests, seconds


@given(EVENTS)
def test_it_counts_what_lies_within_the_last_window(events: list[tuple[float, int, float]]) -> None:
    window, happened, now = Window(), [], 0.0
    for wait, requests, seconds in events:
        now += wait
        window.add(now, requests, seconds)
        happened.append((now, requests, seconds))
        first = (int(now / SLICE_SECONDS) - protection.SLICES + 1) * SLICE_SECONDS
        inside = [event for event in happened if event[0] >= first]
        assert window.requests == sum(event[1] for event in inside)
        assert window.seconds == pytest.approx(sum(event[2] for event in inside), abs=1e-6)
        assert now - WINDOW_SECONDS <= first <= now - WINDOW_SECONDS + SLICE_SECONDS


@given(EVENTS, st.integers(1, 8), st.floats(1, 60))
def test_after_the_wait_it_is_below_both_limits(
    events: list[tuple[float, int, float]], requests_max: int, seconds_max: float
) -> None:
    window, now = Window(), 0.0
    for wait, requests, seconds in events:
        now += wait
        window.add(now, requests, seconds)
    left = window.wait(now, requests_max, seconds_max)
    assert 0 <= left <= WINDOW_SECONDS
    window.advance(now + left + 0.001)
    assert window.requests < requests_max
    assert window.seconds < seconds_max + 1e-6


def test_the_limits_and_their_codes() -> None:
    guard = Protection(Limits(requests=3, seconds=1000, concurrent=2))
    guard.enter("ada")
    guard.enter("ada")
    with pytest.raises(Throttled, match=r"concurrent requests exceeded the limit of 2") as caught:
        guard.enter("ada")
    assert (caught.value.code, caught.value.status) == (0x80072326, 429)
    guard.enter("grace")
    headers = dict(guard.leave("ada", 0.5))
    assert headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "1"
    assert headers["x-ms-ratelimit-time-remaining-xrm-requests"] == "999.50"
    guard.leave("ada", 0.5)
    guard.enter("ada")
    guard.leave("ada", 0.0)
    with pytest.raises(Throttled, match="limit of 3 over time window of 300 seconds") as caught:
        guard.enter("ada")
    assert caught.value.code == 0x80072322
    assert 290 < caught.value.retry_after_seconds <= 301


def test_time_is_limited_too() -> None:
    guard = Protection(Limits(seconds=10))
    guard.enter("ada")
    guard.leave("ada", 10.0)
    with pytest.raises(Throttled, match="10000 milliseconds") as caught:
        guard.enter("ada")
    assert caught.value.code == 0x80072321
    guard.enter("grace")


def test_only_so_many_users_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "USERS_MAX", 10)
    guard = Protection(Limits(requests=1))
    guard.enter("running")
    for number in range(50):
        guard.enter(number)
        guard.leave(number, 0.0)
    assert len(guard._users) <= 10
    with pytest.raises(Throttled):
        guard.enter("running")


def test_limits_from_the_environment() -> None:
    found = Limits.of_environment({"ADJOURN_USER_REQUESTS": "10", "ADJOURN_USER_CONCURRENT": "3"})
    assert found == Limits(10, 1_200, 3)
    for wrong in ("0", "-1", "many", "1.5"):
        with pytest.raises(InvalidRequest, match="ADJOURN_USER_SECONDS"):
            Limits.of_environment({"ADJOURN_USER_SECONDS": wrong})


def test_a_limit_of_jobs_is_no_limit_of_users() -> None:
    """ADJOURN_LIMIT_REQUESTS=4 let four jobs run at a time, and refused a user's fifth request."""
    jobs = {f"ADJOURN_LIMIT_{found.name.upper()}": "4" for found in CLASSES}
    assert Limits.of_environment(jobs) == Limits()
