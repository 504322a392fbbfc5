"""Exact match and lm-eval's filters."""

from __future__ import annotations

import json

import pytest

from evaluation.scorers import Flag, Response, patterns, scorer
from evaluation.scorers.filters import apply

EXACT = scorer("exact_match")
STRICT = [
    {"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"},
    {"function": "take_first"},
]
FLEXIBLE = [
    {"function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"},
    {"function": "take_first"},
]
GSM8K = {"ignore_case": True, "regexes_to_ignore": [",", r"\$", r"(?s).*#### ", r"\.$"]}


def matches(text, target, **params):
    return EXACT(Response(text), {"target": target}, params).value == 1.0


def test_texts_match_when_they_are_equal_and_only_then():
    assert matches("Paris", "Paris")
    assert not matches("paris", "Paris")
    assert not matches(" Paris", "Paris")


def test_what_is_ignored_is_ignored_on_both_sides():
    assert matches("PARIS", "Paris", ignore_case=True)
    assert matches("Paris.", "Par,is", ignore_punctuation=True)
    assert matches("Paris 7", "Paris 8", ignore_numbers=True)
    assert matches(" Paris\n", "Paris", strip=True)
    assert matches("$1,080", "1080", regexes_to_ignore=[",", r"\$"])


def test_the_best_of_several_references_counts():
    assert matches("four", ["4", "four"])


def test_gsm8k_strict_reads_what_follows_the_hashes():
    target = "She sells 9.\n#### 1,080"

    assert matches("so 1080\n#### 1080.", target, filter=STRICT, **GSM8K)
    assert not matches("so 1080", target, filter=STRICT, **GSM8K)


def test_gsm8k_flexible_reads_the_last_number():
    assert matches("first 12, then $1,080.", "#### 1080", filter=FLEXIBLE, **GSM8K)
    assert not matches("1080, no 7", "#### 1080", filter=FLEXIBLE, **GSM8K)


def test_a_pattern_that_finds_nothing_leaves_the_answer_unparsed():
    score = EXACT(Response("no idea"), {"target": "7"}, {"filter": STRICT})

    assert (score.value, score.answer, score.flags) == (0.0, None, {Flag.UNPARSED})


def test_every_official_gsm8k_solution_scores_itself(shared_data):
    rows = [
        json.loads(line)
        for line in (shared_data / "benchmarks/gsm8k/test.jsonl").read_text().splitlines()
    ]

    right = [matches(row["answer"], row["answer"], filter=STRICT, **GSM8K) for row in rows]

    assert (sum(right), len(right)) == (1319, 1319)


def test_of_several_groups_the_first_that_is_not_empty_is_the_answer():
    step = {"function": "regex", "regex_pattern": r"(\d+) kg|(\d+) lb"}

    assert apply([step], ["it weighs 7 lb"]) == ["7"]


def test_a_match_that_is_not_there_is_the_fallback():
    step = {"function": "regex", "regex_pattern": r"\d", "group_select": 2, "fallback": "none"}

    assert apply([step], ["1 2 3", "1 2"]) == ["3", "none"]


def test_majority_vote_takes_the_most_frequent_and_the_first_of_equals():
    assert apply([{"function": "majority_vote"}], ["7", "8", "8", "7", "9"]) == ["7"]
    assert apply([{"function": "majority_vote"}], ["7", "8", "8"]) == ["8"]


def test_the_plain_filters_do_what_their_names_say():
    texts = [" Aé ", "b"]

    assert apply([{"function": "lowercase"}], texts) == [" aé ", "b"]
    assert apply([{"function": "uppercase"}], texts) == [" AÉ ", "B"]
    assert apply([{"function": "remove_whitespace"}], texts) == ["Aé", "b"]
    assert apply([{"function": "take_first_k", "k": 1}], texts) == [" Aé "]
    assert apply([{"function": "map", "mapping_dict": {"b": "yes"}}], texts) == ["[invalid]", "yes"]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("It is (B).", "(B)"),
        ("Guilty of Romance", "(C)"),
        ("The answer: A", "(A)"),
        ("nothing", "[invalid]"),
    ],
)
def test_multi_choice_regex_falls_back_from_pattern_to_text_to_letter(text, letter):
    step = {"function": "multi_choice_regex", "regex_pattern": r"(\([A-Z]\))"}

    assert apply([step], [text], ["Innocent", "Guilty", "Guilty of Romance"]) == [letter]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("    return 1\n", "    return 1\n"),
        ("Use `a` and ```b```.", "Use `a` and ```b```."),
        ("```python\ndef f():\n    return 1\n```", "def f():\n    return 1\n"),
        ("Here: ```py\n    return 1\n```\nDone.", "    return 1\n"),
        ("```sh\npip install x\n```\nthen\n```\ndef f(): ...\n```", "def f(): ...\n"),
        ("```\nx = 1\n```\n```\ny = 2\n```", "x = 1\n"),
        ("1. Do\n   ```python\n   def f(): ...\n   ```", "   def f(): ...\n"),
        ("```python\ndef f():\n    return", "def f():\n    return"),
        ("```\n```", ""),
    ],
)
def test_code_is_found_between_fences_with_its_indentation(text, code):
    assert apply([{"function": "code_block", "containing": "def "}], [text]) == [code]


def test_a_filter_that_is_not_known_is_refused_before_any_response():
    with pytest.raises(ValueError, match="no filter 'custom'; known are code_block, lowercase"):
        EXACT.check({"filter": [{"function": "custom"}]})


def test_an_argument_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match=r"filter regex: .*patern"):
        EXACT.check({"filter": [{"function": "regex", "patern": "x"}]})


@pytest.mark.parametrize("pattern", ["(", "a" * 1_001, "*"])
def test_a_broken_or_endless_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match="pattern"):
        EXACT.check({"regexes_to_ignore": [pattern]})


def test_a_runaway_pattern_is_stopped_and_said(monkeypatch):
    monkeypatch.setattr(patterns, "TIME_LIMIT", 0.02)
    runaway = [{"function": "regex", "regex_pattern": "(a|aa)+$"}]

    score = EXACT(Response("a" * 60 + "b"), {"target": "x"}, {"filter": runaway})

    assert score.unparsed
    assert score.details == {"pattern_timed_out": "(a|aa)+$"}
