"""Messages arrive whole, with what goes along with them, or not at all."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.running import wire

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Two connected sockets with a time limit."""
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(30)
        there.settimeout(30)
        yield here, there


def test_a_message_arrives_with_its_bytes(ends: Ends) -> None:
    message = {"words": ["ä", "\udcff"], "number": 3}
    wire.send(ends[0], message, b"\0\xff")
    wire.send(ends[0], {})
    assert wire.receive(ends[1]) == (message, b"\0\xff", [])
    assert wire.receive(ends[1]) == ({}, b"", [])


def test_large_messages_arrive_in_parts(ends: Ends) -> None:
    payload = os.urandom(3_000_000)
    sender = threading.Thread(target=wire.send, args=(ends[0], {"a": "b" * 500_000}, payload))
    sender.start()
    message, received, _ = wire.receive(ends[1])
    sender.join()
    assert len(message["a"]) == 500_000 and received == payload


def test_descriptors_arrive_in_order(ends: Ends, tmp_path: Path) -> None:
    files = [(tmp_path / str(number)).open("w") for number in range(5)]
    wire.send(ends[0], {}, descriptors=[file.fileno() for file in files])
    for file in files:
        file.close()

    _, _, descriptors = wire.receive(ends[1])
    for number, descriptor in enumerate(descriptors):
        os.write(descriptor, str(number).encode())
        os.close(descriptor)
    assert [(tmp_path / str(number)).read_text() for number in range(5)] == list("01234")


@pytest.mark.parametrize(
    "sent", [b"", b"\0\0\0", wire.HEAD.pack(4, 0) + b"{", wire.HEAD.pack(2, 9) + b"{}x"]
)
def test_an_end_in_the_middle_is_an_error(ends: Ends, sent: bytes) -> None:
    ends[0].sendall(sent)
    ends[0].close()
    with pytest.raises(EOFError, match="closed"):
        wire.receive(ends[1])


def test_a_message_that_does_not_come_is_an_error(ends: Ends) -> None:
    ends[1].settimeout(0.05)
    ends[0].sendall(wire.HEAD.pack(4, 0) + b"{")
    with pytest.raises(OSError, match="timed out"):
        wire.receive(ends[1])
