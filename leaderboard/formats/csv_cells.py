"""Cells that a spreadsheet shows and does not run.

A cell that begins with = + - @, a tab or a line end may be taken for a formula (OWASP, "CSV
Injection"), so an apostrophe goes before it. It goes before one that begins with apostrophes and
then such a character too, which makes the escape reversible: Source takes one off again.
"""

from __future__ import annotations

import csv
import re
from typing import IO, Any

from leaderboard.formats.strict_json import well_formed

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


class TableWriter:
    """Rows of a CSV (RFC 4180, UTF-8), each written to the stream as it comes."""

    def __init__(self, stream: IO[bytes], columns: tuple[str, ...]) -> None:
        self._stream = stream
        self._writer = csv.writer(self)
        self._writer.writerow(columns)

    def row(self, *cells: Any) -> None:
        self._writer.writerow(
            [escape_formula(cell) if isinstance(cell, str) else cell for cell in cells]
        )

    def write(self, text: str) -> None:
        """What csv.writer calls."""
        self._stream.write(well_formed(text).encode())
