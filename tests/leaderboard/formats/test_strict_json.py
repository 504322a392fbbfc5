"""JSON: what the standard allows and a database can store, cut from a stream at any point."""

from __future__ import annotations

import base64
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.formats.records import Unreadable
from leaderboard.formats.strict_json import CutShort, array_items, loads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_texts_the_standard_refuses_are_refused_and_the_others_read(shared_data):
    lines = (shared_data / "hostile" / "json_parsing.jsonl").read_text().splitlines()
    assert lines
    wrong = []
    for item in map(json.loads, lines):
        if "b64" in item:
            data = base64.b64decode(item["b64"])
        else:
            data = base64.b64decode(item["repeat_b64"]) * item["count"]
            data += base64.b64decode(item.get("tail_b64", ""))
        try:
            loads(data.decode())
            verdict = "accept"
        except (Unreadable, UnicodeDecodeError) as error:
            # The standard allows U+0000 in a string; PostgreSQL does not.
            verdict = "accept" if "U+0000" in str(error) else "reject"
        if item["expect"] not in (verdict, "either"):
            wrong.append(item["name"])
    assert wrong == []


@settings(deadline=None)
@given(st.lists(JSON), st.integers(1, 50), st.booleans(), st.integers(1, 5))
def test_an_array_is_cut_into_its_items_wherever_the_stream_is_cut(items, size, indent, first):
    text = json.dumps(items, indent=2 if indent else None, ensure_ascii=False)
    stream = io.StringIO(text)
    start = stream.read(first)
    cut = array_items(start, lambda _: stream.read(size), limit=10**6)
    assert [json.loads(item) for item in cut if item.strip()] == items


@settings(deadline=None)
@given(st.lists(JSON, min_size=1), st.data())
def test_an_array_that_stops_early_is_never_taken_for_a_whole_one(items, data):
    text = json.dumps(items)
    text = text[: data.draw(st.integers(1, len(text) - 1))]
    stream = io.StringIO(text)
    with pytest.raises(CutShort):
        list(array_items(stream.read(1), stream.read, limit=10**6))


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_every_text_a_database_can_hold_comes_back(text):
    assert loads(json.dumps(text)) == text
    assert loads(json.dumps({text: [text]}, ensure_ascii=False)) == {text: [text]}


def test_a_name_may_not_hide_what_a_value_may_not():
    with pytest.raises(Unreadable, match=r"U\+0000"):
        loads('{"a\\u0000": 1}')


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1" * 5000, "[1e999]"])
def test_numbers_without_a_value_are_refused(text):
    with pytest.raises(Unreadable, match="not JSON"):
        loads(text)
