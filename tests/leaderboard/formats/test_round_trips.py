"""What is written is read back as it was, whatever the text, as far as each format can hold it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.formats import arena_55k, arena_140k, plain
from leaderboard.formats.csv_cells import escape_formula
from leaderboard.formats.records import BadRow, VoteRecord
from tests.leaderboard.formats.files import readings

# Leading characters that a spreadsheet acts on are drawn often; halves of pairs have a test apart.
TEXT = st.builds(
    str.__add__,
    st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "\n", "'", "'=", "''-", '"', ",", ";"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
NAME = TEXT.filter(lambda text: text and not text.isspace())
LABEL = TEXT.filter(lambda text: "." not in text and ":" not in text)  # not an address
MOMENT = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
WINNERS = st.sampled_from(["model_a", "model_b", "tie", "both_bad"])
LANGUAGES = st.sampled_from(["", "en", "English", "Português"])
TURNS = st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=3).map(tuple)


@st.composite
def pairs(draw):
    model_a, model_b = draw(st.lists(NAME, min_size=2, max_size=2, unique=True))
    return {"model_a": model_a, "model_b": model_b}


def votes(source_format, **fields):
    return st.builds(
        lambda pair, rest: VoteRecord(**pair, **rest, source_format=source_format),
        pairs(),
        st.fixed_dictionaries({"winner": WINNERS, "external_id": TEXT, **fields}),
    )


def round_trip(module, records, **options):
    stream = io.BytesIO()
    assert module.write(records, stream, **options) == len(records)
    return readings(stream.getvalue(), module.name)


@settings(deadline=None)
@given(
    st.lists(
        votes(
            "plain",
            judge=LABEL,
            timestamp=st.none() | MOMENT,
            language=LANGUAGES,
            turns=st.integers(0, 50),
            anonymous=st.booleans(),
            pair_probability=st.none() | st.floats(0, 1, exclude_min=True),
            count=st.integers(1, 10**6),
            extra=st.dictionaries(
                st.sampled_from(["prompt_id", "category"]),
                NAME.filter(
                    lambda text: text[0] not in "{[" and text.lower() not in ("true", "false")
                ),
            ),
        ),
        max_size=4,
    )
)
def test_plain_votes_come_back(records):
    assert round_trip(plain, records, extra=("prompt_id", "category")) == records


@settings(deadline=None)
@given(st.lists(votes("arena_55k", turn_messages=TURNS), max_size=4))
def test_55k_votes_come_back_with_one_kind_of_tie(records):
    read = round_trip(arena_55k, records)
    assert read == [
        replace(
            vote,
            turns=len(vote.turn_messages),
            winner="tie" if vote.winner == "both_bad" else vote.winner,
        )
        for vote in records
    ]


@settings(deadline=None)
@given(
    st.lists(
        votes(
            "arena_140k",
            turn_messages=TURNS,
            timestamp=st.none() | MOMENT,
            language=LANGUAGES,
            extra=st.fixed_dictionaries(
                {
                    "evaluation_session_id": NAME.filter(
                        lambda text: text[0] not in "{[" and text.lower() not in ("true", "false")
                    ),
                    "evaluation_order": st.integers(1, 9),
                },
                optional={
                    "is_code": st.booleans(),
                    "category_tag": st.just({"math_v0.1": {"math": True}}),
                    "conv_metadata": st.just({"bold_count_a": {"**": 2, "__": 0}}),
                },
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_140k_votes_come_back(records):
    expected = [replace(vote, turns=len(vote.turn_messages)) for vote in records]
    assert round_trip(arena_140k, records) == expected


def text_vote(text, **changes):
    return replace(
        VoteRecord("x", "y", "tie", external_id="1", turns=1, turn_messages=((text, text, text),)),
        **changes,
    )


def test_naughty_strings_come_back_byte_for_byte(shared_data):
    lines = (shared_data / "hostile" / "naughty_strings.jsonl").read_text().splitlines()
    strings = [json.loads(line)["s"] for line in lines]
    assert len(strings) > 300
    as_text = [text_vote(text) for text in strings]
    for module in (arena_55k, arena_140k):
        read = round_trip(module, as_text)
        assert [vote.turn_messages for vote in read] == [vote.turn_messages for vote in as_text]
    named = [text for text in strings if text.strip() and text != "y" and len(text) <= 500]
    read = round_trip(plain, [text_vote("", model_a=text) for text in named])
    assert [vote.model_a for vote in read] == named


@pytest.mark.parametrize("module", [arena_55k, arena_140k])
def test_halves_of_surrogate_pairs_are_written_as_replacement_characters(module):
    (vote,) = round_trip(module, [text_vote("a\ud83d")])
    assert vote.turn_messages == (("a\ufffd",) * 3,)
    (vote,) = round_trip(plain, [text_vote("", model_a="\udc00b")])
    assert vote.model_a == "\ufffdb"


@pytest.mark.parametrize("module", [arena_55k, arena_140k, plain])
def test_u0000_is_refused_when_it_comes_back(module):
    (bad,) = round_trip(module, [text_vote("a\0", model_a="a\0")])
    assert isinstance(bad, BadRow)
    assert "U+0000" in bad.reason


@settings(deadline=None)
@given(TEXT)
def test_no_cell_begins_as_a_formula_does(text):
    assert escape_formula(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")


def test_formulas_in_every_column_of_an_export_are_escaped():
    formula = "=HYPERLINK(1)"
    vote = VoteRecord(
        formula,
        "y",
        "tie",
        external_id=formula,
        judge=formula,
        language=formula,
        extra={"category": formula},
    )
    stream = io.BytesIO()
    plain.write([vote], stream, extra=("category",))
    arena_55k.write([vote], stream)
    cells = stream.getvalue().decode().replace("\r\n", ",").split(",")
    assert cells.count("'" + formula) == 7
    assert formula not in cells


@pytest.mark.parametrize("module", [arena_55k, arena_140k])
def test_sets_of_blind_votes_hold_no_others_and_one_row_a_vote(module):
    stream = io.BytesIO()
    assert module.write([text_vote("p", anonymous=False), text_vote("q", count=3)], stream) == 3
    read = readings(stream.getvalue(), module.name)
    assert [vote.turn_messages[0][0] for vote in read] == ["q"] * 3


def test_a_vote_of_no_known_session_is_the_first_of_its_own():
    (vote,) = round_trip(arena_140k, [text_vote("p", external_id="v1")])
    assert vote.extra == {"evaluation_session_id": "v1", "evaluation_order": 1}
