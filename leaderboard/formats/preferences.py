"""Votes as training data: pairs for direct preference optimisation, single labels for KTO.

Each side keeps the conversation it really had: after the first turn the two contexts differ, and a
shared one would put words into a model's mouth. Votes without text give nothing.

Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) has no word for a tie, so
ties are left out. KTO (Ethayarajh et al. 2024, arXiv 2402.01306) labels one answer at a time: both
good are two desirable ones, both bad two undesirable ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO, Any

from leaderboard.formats.records import VoteRecord
from leaderboard.formats.strict_json import well_formed

_LABELS = {
    "model_a": (True, False),
    "model_b": (False, True),
    "tie": (True, True),
    "both_bad": (False, False),
}


def write_dpo(records: Iterable[VoteRecord], stream: IO[bytes]) -> int:
    """JSON lines of prompt, chosen and rejected, as in mlabonne/arena-preferences; their number.

    `prompt` is the first one, `chosen` and `rejected` are whole conversations of {content, role}.
    """
    rows = 0
    for vote in records:
        if vote.winner not in ("model_a", "model_b"):
            continue
        sides = [_messages(vote, side) for side in (1, 2)]
        if not all(sides) or sides[0] == sides[1]:
            continue
        chosen, rejected = sides if vote.winner == "model_a" else reversed(sides)
        row = {"prompt": vote.turn_messages[0][0], "chosen": chosen, "rejected": rejected}
        rows += _write(stream, row, times=vote.count)
    return rows


def write_kto(records: Iterable[VoteRecord], stream: IO[bytes]) -> int:
    """JSON lines of prompt, completion (both lists of {content, role}) and label; their number."""
    rows = 0
    for vote in records:
        for side, label in zip((1, 2), _LABELS[vote.winner], strict=True):
            if messages := _messages(vote, side):
                row = {"prompt": messages[:-1], "completion": messages[-1:], "label": label}
                rows += _write(stream, row, times=vote.count)
    return rows


def _messages(vote: VoteRecord, side: int) -> list[dict[str, str]]:
    """The conversation of one side; nothing if an answer is missing, which nobody preferred."""
    messages = []
    for turn in vote.turn_messages:
        if not turn[side]:
            return []
        messages.append({"content": turn[0], "role": "user"})
        messages.append({"content": turn[side], "role": "assistant"})
    return messages


def _write(stream: IO[bytes], row: dict[str, Any], *, times: int) -> int:
    line = well_formed(json.dumps(row, ensure_ascii=False)).encode() + b"\n"
    for _ in range(times):
        stream.write(line)
    return times
