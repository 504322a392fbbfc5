"""How tables are emptied after a test that commits: by DELETE, and not those that never change.

PostgreSQL's TRUNCATE makes new files for each of some sixty tables, which costs more than most
tests; and Django writes every permission anew when it finds them gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.postgresql.base import DatabaseOperations as PostgreSQL
from django.db.backends.sqlite3.base import DatabaseOperations as SQLite

UNCHANGING = {"django_content_type", "auth_permission"}


def _delete(self: Any, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
    """Foreign keys are checked at the commit, when all rows are gone."""
    return [f"DELETE FROM {self.quote_name(table)}" for table in tables if table not in UNCHANGING]


def by_deleting() -> None:
    PostgreSQL.sql_flush = _delete  # type: ignore[method-assign]
    SQLite.sql_flush = _delete  # type: ignore[method-assign]
