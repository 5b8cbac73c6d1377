"""Trials of a stage in a fork, as forks of the same server."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from commands.running import wire
from stages.runtime.executors import Starter, Worker


class Served:
    """A process that the server has forked for this one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.exitcode: int | None = None

    def kill(self) -> None:
        """Hang up: the server kills what nobody waits for."""
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:  # it is dead, and so the server has hung up
            pass

    def join(self) -> None:
        """Wait for the server's word that it has ended; without the server, neither goes on."""
        try:
            while self.exitcode is None:
                message, _, _ = wire.receive(self._connection)
                self.exitcode = message.get("status")
        except (EOFError, OSError):
            pass
        self._connection.close()


def from_server(address: Path) -> Starter:
    """Starts processes by the server at this address.

    Raises:
        OSError: of what it returns: the server does not answer.
    """

    def start(
        send: Connection, life: Connection, arguments: tuple[Any, ...], preload: Sequence[str]
    ) -> Worker:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.fspath(address))

        descriptors = [0, 1, 2, send.fileno(), life.fileno()]
        wire.send(connection, {"kind": "trial"}, pickle.dumps(arguments), descriptors)
        return Served(connection)

    return start
