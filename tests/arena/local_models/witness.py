"""Knowing for certain that a process has ended: the connection it held is closed."""

from __future__ import annotations

import socket
from types import TracebackType


class Witness:
    """A listener that processes connect to, saying their pid, and never leave while alive."""

    def __enter__(self) -> Witness:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.port = self._listener.getsockname()[1]
        self._lines: list[socket.socket] = []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for line in [*self._lines, self._listener]:
            line.close()

    def arrival(self) -> tuple[int, socket.socket]:
        """The next process to connect: its pid and its line."""
        line, _ = self._listener.accept()
        line.settimeout(20)
        self._lines.append(line)
        return int(line.recv(20)), line


def has_ended(line: socket.socket) -> bool:
    """Waits for the end; False if the process is alive after all that time."""
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
