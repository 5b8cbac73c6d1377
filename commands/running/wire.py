"""Messages between a stage's launcher, the process that serves it, and the stages in it.

A message is its length, JSON, and bytes that only the two ends understand; file descriptors go
along with it.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

HEAD = struct.Struct("!II")
MOST_DESCRIPTORS = 8


def send(
    connection: socket.socket,
    message: dict[str, Any],
    payload: bytes = b"",
    descriptors: Sequence[int] = (),
) -> None:
    """Send one message."""
    text = json.dumps(message).encode()
    head = HEAD.pack(len(text), len(payload))

    if descriptors:
        socket.send_fds(connection, [head], list(descriptors))
    else:
        connection.sendall(head)
    connection.sendall(text + payload)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes, list[int]]:
    """The next message: its JSON, its bytes, its descriptors.

    Raises:
        EOFError: the other end is closed.
        OSError: it is broken, or too slow for the time limit of the connection.
    """
    head, descriptors, _, _ = socket.recv_fds(connection, HEAD.size, MOST_DESCRIPTORS)
    head += _exactly(connection, HEAD.size - len(head)) if head else b""
    if not head:
        raise EOFError("closed")

    text, payload = HEAD.unpack(head)
    return (
        json.loads(_exactly(connection, text)),
        _exactly(connection, payload),
        list(descriptors),
    )


def _exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes."""
    parts = []
    while count:
        part = connection.recv(min(count, 1 << 16))
        if not part:
            raise EOFError("closed in the middle of a message")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
