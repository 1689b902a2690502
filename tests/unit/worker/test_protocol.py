"""What comes over the socket of a supervisor and its executor and is no message ends the talk, not a thread in silence."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from adjourn import runtime
from adjourn.worker.protocol import Channel, Interrupt, Traced

NONSENSE = {
    "not MessagePack": b"\xc1",
    "cut off": b"\x93\xa4done",
    "no message": b"\xa5hello",
    "no known message": b"\x92\xa4what\x01",
    "a message with another's fields": b"\x92\xa6traced\x01",
    "text that is not UTF-8": b"\x93\xa6traced\xa1\xff\xa1x",
    "nested without end": b"\x92\xa4done\x91" + b"\x91" * 200_000 + b"\xc0",
}


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    """One end as it is, the other as a channel."""
    raw, other = socket.socketpair()
    channel = Channel(other, runtime.lock())
    yield raw, channel
    raw.close()
    channel.close()


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_a_supervisor_hears_nonsense_as_the_end(ends: tuple[socket.socket, Channel], body: bytes) -> None:
    raw, channel = ends
    beside = Channel(raw, runtime.lock())
    beside.send(Traced("job", "text"))
    assert channel.receive_up() == Traced("job", "text")
    raw.sendall(frame(body))
    assert channel.receive_up() is None


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_an_executor_hears_nonsense_as_the_end(ends: tuple[socket.socket, Channel], body: bytes) -> None:
    raw, channel = ends
    beside = Channel(raw, runtime.lock())
    beside.send(Interrupt({"job": 21}))
    assert channel.receive_down() == Interrupt({"job": 21})
    raw.sendall(frame(body))
    assert channel.receive_down() is None


def test_a_frame_that_is_too_long_is_the_end_before_it_has_come(ends: tuple[socket.socket, Channel]) -> None:
    raw, channel = ends
    raw.sendall(b"\xff\xff\xff\xff")
    assert channel.receive_down() is None


@pytest.mark.parametrize(
    "body",
    [NONSENSE["no message"], b"\x93\xa8metadata\x91\x92\xa7account\xa1{\x01"],
    ids=["no message", "metadata that is none"],
)
def test_an_executor_ends_in_good_order_when_its_supervisor_speaks_nonsense(body: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frame(body))
        ran = subprocess.run(
            [sys.executable, "-m", "adjourn.worker.executor", str(theirs.fileno()), "1"],
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    # It ends its own group, itself with it, as it does when its supervisor is gone.
    assert ran.returncode == -9, ran.stderr
    assert "Uncaught" not in ran.stderr
    assert 'Traceback (most recent call last):\n  File "<frozen' not in ran.stderr
