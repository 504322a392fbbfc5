import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.rules import NUMBERS, BadRule, compile_rule, cut_points

PLAIN = {
    "language": "en",
    "code": False,
    "math": False,
    "creative": False,
    "instructions": False,
    "refusal": False,
    "identity_leak": False,
    "turns": 1,
    "prompt_tokens": 20,
    "outcome": "lo",
}


@pytest.mark.parametrize(
    ("rule", "features", "belongs"),
    [
        ({}, {}, True),
        ({"flag": "code"}, {"code": True}, True),
        ({"flag": "code"}, {}, False),
        ({"language": "de"}, {"language": "de"}, True),
        ({"language": ["de", "nl"]}, {"language": "nl"}, True),
        ({"language": "de"}, {"language": ""}, False),
        ({"min": {"turns": 2}}, {"turns": 2}, True),
        ({"min": {"turns": 2}}, {"turns": 1}, False),
        ({"max": {"prompt_tokens": 20}}, {}, True),
        ({"max": {"prompt_tokens": 19}}, {}, False),
        ({"outcomes": ["lo", "hi"]}, {"outcome": "tie"}, False),
        ({"not": {"flag": "refusal"}}, {}, True),
        ({"any": [{"flag": "code"}, {"flag": "math"}]}, {"math": True}, True),
        ({"all": [{"flag": "code"}, {"flag": "math"}]}, {"math": True}, False),
        ({"flag": "code", "language": "en"}, {"code": True}, True),
        ({"flag": "code", "language": "de"}, {"code": True}, False),
        ({}, {"identity_leak": True}, False),
        ({"flag": "identity_leak"}, {"identity_leak": True}, False),
        ({"leaks": True}, {"identity_leak": True}, True),
        ({"leaks": True}, {}, True),
        ({"leaks": True, "flag": "identity_leak"}, {}, False),
        ({"not": {"flag": "code"}}, {"identity_leak": True}, False),
    ],
)
def test_a_rule_says_which_votes_belong(rule, features, belongs):
    assert compile_rule(rule)({**PLAIN, **features}) is belongs


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ([], "a rule is a JSON object"),
        ({"flg": "code"}, "unknown key 'flg'"),
        ({"flag": "long"}, "none of code, math"),
        ({"language": 1}, "a list with at least one"),
        ({"language": []}, "at least one entry"),
        ({"min": {"turns": "2"}}, "whole number"),
        ({"min": {"turns": True}}, "whole number"),
        ({"min": {"age": 2}}, "none of turns"),
        ({"outcomes": ["win"]}, "none of lo, hi"),
        ({"not": "code"}, "a rule is a JSON object"),
        ({"leaks": False}, "only"),
        ({"any": [{"leaks": True}, {"flag": "code"}]}, "not inside of a rule"),
    ],
)
def test_a_wrong_rule_says_what_would_be_right(rule, says):
    with pytest.raises(BadRule, match=says):
        compile_rule(rule)


def test_rules_nested_without_end_are_refused():
    rule: dict = {}
    for _ in range(50):
        rule = {"not": rule}
    with pytest.raises(BadRule, match="deep"):
        compile_rule(rule)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["flag", "min", "not", "all", "language"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_whatever_is_typed_is_a_rule_or_is_refused(value):
    try:
        rule = compile_rule(value)
    except BadRule:
        return
    assert rule(PLAIN) in (True, False)


bounds = st.dictionaries(st.sampled_from(NUMBERS), st.integers(0, 30), min_size=1)
rules = st.recursive(
    st.builds(lambda key, value: {key: value}, st.sampled_from(["min", "max"]), bounds),
    lambda inner: (
        st.builds(lambda rule: {"not": rule}, inner)
        | st.builds(
            lambda key, parts: {key: parts},
            st.sampled_from(["all", "any"]),
            st.lists(inner, min_size=1, max_size=3),
        )
    ),
    max_leaves=6,
)


@given(rules, st.integers(0, 35), st.integers(0, 35))
def test_numbers_that_reached_the_same_cut_points_are_the_same_to_a_rule(rule, turns, tokens):
    def last_reached(name, number):
        return max((cut for cut in cut_points(rule)[name] if cut <= number), default=0)

    compiled = compile_rule(rule)
    exact = {**PLAIN, "turns": turns, "prompt_tokens": tokens}
    reduced = {
        **PLAIN,
        "turns": last_reached("turns", turns),
        "prompt_tokens": last_reached("prompt_tokens", tokens),
    }
    assert compiled(exact) == compiled(reduced)
