"""compar:IA's votes (ministere-culture/comparia-votes), columns after its dataset card.

A vote names the chosen model or says that both are equal. The `raw` variant carries `excluded`,
kept in `extra` so that an exclusion can be followed or undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leaderboard.formats import values
from leaderboard.formats.records import NotAVote, Reading, Unreadable, VoteRecord, Winner
from leaderboard.formats.source import Head, Source

name = "comparia"
title = "compar:IA votes"


def sniff(head: Head) -> bool:
    return head.fields >= {"model_a_name", "model_b_name", "chosen_model_name", "both_equal"}


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, _votes_of)


def _votes_of(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
    model_a, model_b = values.name(fields, "model_a_name"), values.name(fields, "model_b_name")
    chosen = values.label(fields, "chosen_model_name")
    winner: Winner
    if values.flag(fields, "both_equal", default=False):
        winner = "tie"
    elif not chosen:
        raise NotAVote("no model was chosen")
    elif chosen in (model_a, model_b):
        winner = "model_a" if chosen == model_a else "model_b"
    else:
        raise Unreadable("chosen_model_name: neither of the two")
    turn_messages, about_them = values.conversations(fields)
    return (
        VoteRecord(
            model_a=model_a,
            model_b=model_b,
            winner=winner,
            external_id=values.label(fields, "conversation_pair_id", "id"),
            judge=values.judge(fields, "visitor_id", "session_hash"),
            timestamp=values.timestamp(fields, "timestamp"),
            turns=values.whole(fields, "conv_turns", default=len(turn_messages)),
            turn_messages=turn_messages,
            extra={**about_them, **values.kept(fields, "excluded", "selected_category")},
            source_format=name,
        ),
    )
