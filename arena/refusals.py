"""What a verb raises when a request cannot be granted."""

from __future__ import annotations


class Refused(Exception):
    """A request that cannot be granted: `code` for programs, the message for people."""

    def __init__(self, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after  # seconds
