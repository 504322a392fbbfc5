"""How often something has come before, counted on the disk. No Django."""

from __future__ import annotations

import sqlite3
from types import TracebackType


class Occurrences:
    """Counts keys of a stream too long for a dictionary, in a nameless temporary SQLite file.

    Memory stays at the cache of 16 MB, whatever the number of keys.
    """

    def __init__(self) -> None:
        # Of one generator, whichever thread asks for its next item.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode = OFF",  # nobody recovers it
            "PRAGMA synchronous = OFF",
            "PRAGMA cache_size = -16000",
            "CREATE TABLE seen (key BLOB PRIMARY KEY, n INTEGER NOT NULL, first TEXT NOT NULL)"
            " WITHOUT ROWID",
            "BEGIN",
        ):
            self._connection.execute(statement)

    def add(self, key: bytes, value: str = "") -> int:
        """The number of times the key has come, this one included.

        `value` is remembered from the first time; a later one that differs marks the key as mixed.
        """
        (n,) = self._connection.execute(
            "INSERT INTO seen VALUES (?, 1, ?) ON CONFLICT (key) DO UPDATE SET n = n + 1,"
            " first = CASE WHEN first = excluded.first THEN first ELSE char(0) END RETURNING n",
            (key, value),
        ).fetchone()
        return int(n)

    def unanimous(self, key: bytes) -> int:
        """How often the key has come if it came with one value alone; 0 otherwise."""
        found = self._connection.execute(
            "SELECT n FROM seen WHERE key = ? AND first <> char(0)", (key,)
        ).fetchone()
        return int(found[0]) if found else 0

    def __enter__(self) -> Occurrences:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
