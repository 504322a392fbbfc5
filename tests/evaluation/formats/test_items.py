"""When two items are one, and when two datasets are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.formats.items import (
    BadRow,
    Duplicate,
    Item,
    canonical_json,
    dataset_version,
    distinct,
    item_hash,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


def item(name: str, question: str, line: int = 1) -> Item:
    return Item(name, {"question": question}, line)


def test_the_hash_is_of_the_canonical_text():
    # sha256 of {"a":"é","b":1}, by coreutils
    expected = "aa58fba8483623bed37c1b02edfccbdd9a53123837c20bfa4cb4049993a2872e"
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    assert item_hash({"b": 1, "a": "é"}) == expected


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values))
def test_the_order_of_the_fields_does_not_matter(fields):
    assert item_hash(fields) == item_hash(dict(reversed(fields.items())))


def test_what_json_does_not_have_has_no_hash():
    with pytest.raises(ValueError):
        item_hash({"score": float("nan")})


def test_a_repeated_item_is_marked_with_the_first_of_its_kind():
    read = list(distinct([item("0", "a"), item("1", "b"), item("2", "a", line=3)]))
    assert read[2] == Duplicate(3, "0")
    assert [type(one) for one in read] == [Item, Item, Duplicate]


def test_two_items_of_one_id_are_a_bad_row():
    read = list(distinct([item("x", "a"), item("x", "b", line=2)]))
    assert read[1] == BadRow(2, "the id x occurs twice")


def test_bad_rows_pass_through():
    bad = BadRow(7, "not JSON")
    assert list(distinct([bad])) == [bad]


def test_a_dataset_is_its_questions_in_their_order():
    one, two = item("0", "a"), item("1", "b")
    renamed = [item("first", "a", line=9), item("second", "b", line=10)]
    assert dataset_version([one, two]) == dataset_version(renamed)
    assert dataset_version([one, two]) != dataset_version([two, one])
    assert dataset_version([one]).startswith("sha256:")
