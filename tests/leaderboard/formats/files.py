"""Small vote files in memory, and all that is read of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from leaderboard.formats.records import Reading, VoteRecord
from leaderboard.formats.vote_file import open_votes


def readings(data: bytes | str, format: str | None = None) -> list[Reading]:
    """Everything in the file, in order; the format is sniffed unless named."""
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return list(open_votes(stream, format=format))


def only_vote(data: bytes | str, format: str) -> VoteRecord:
    """The one vote of a file that must be sniffed as `format`."""
    file = open_votes(io.BytesIO(data.encode() if isinstance(data, str) else data))
    assert file.format == format
    (vote,) = file
    assert isinstance(vote, VoteRecord), vote
    assert vote.source_format == format
    return vote


def json_lines(*rows: Mapping[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV as pandas would write it: objects and lists become JSON here."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in row.items()}
        )
    return text.getvalue()
