"""The administrator's own list of terms."""

from __future__ import annotations

import time

import pytest

from arena.moderation import terms


def found(written: str, text: str) -> str | None:
    return terms.read(written).find(text)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("frobnicate", "Please FROBNICATE it."),
        ("two  words", "there are two\nwords here"),
        ("straße", "STRASSE"),
        ("frobnicate", "frob\u200bnicate"),  # a space nobody sees
        ("frobnicate", "ｆｒｏｂｎｉｃａｔｅ"),  # the same letters in another shape
        ("c++", "I like C++!"),
        ("模型", "大 模型 很好"),
        ("# a remark\n\nword", "a word"),
        (r"/colou?rs?\d/", "Colour7"),
    ],
)
def test_a_term_is_found_as_a_reader_would(written, text):
    assert found(written, text)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("class", "a classic"),
        ("class", "subclass"),
        ("# remark", "remark"),
        ("", "anything"),
        ("a.c", "abc"),  # a plain term is no pattern
        (r"/\bcat\b/", "concatenate"),
    ],
)
def test_and_nothing_else_is(written, text):
    assert found(written, text) is None


def test_it_says_which_line_was_found_and_not_the_text():
    written = "alpha\n/b.ta/\nTwo Words"
    assert found(written, "the BETA of my secret") == "/b.ta/"
    assert found(written, "TWO   words of my secret") == "two words"


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("fine\n/(/", "line 2 is no regular expression"),
        ("/x*/", "line 1 is found in every text"),
        ("x" * 501, "line 1 has more than 500"),
        ("\n".join("x" for _ in range(10_001)), "at most 10,000 lines"),
    ],
)
def test_a_line_that_cannot_be_meant_is_refused_by_its_number(written, complaint):
    with pytest.raises(terms.BadTerm, match=complaint):
        terms.read(written)


def test_a_pattern_that_would_search_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(terms, "SECONDS", 0.05)
    began = time.monotonic()
    with pytest.raises(terms.TooSlow):
        found(r"/(x|xx)+$/", "x" * 60 + "!")
    assert time.monotonic() - began < 30  # it would take years
