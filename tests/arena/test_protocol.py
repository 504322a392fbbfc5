from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.protocol import BadMessage, Chosen, Regenerate, Resume, Stop, Submit, parse

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
near_misses = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["turn.submit", "turn.regenerate", "turn.stop", "resume", "battle.reveal"]
        )
        | json_values
    },
    optional={
        "prompt": st.text() | json_values,
        "battle": st.text("abc_-09/.", max_size=24) | json_values,
        "last_seq": st.dictionaries(st.sampled_from("abc"), st.integers() | json_values)
        | json_values,
        "slot": st.sampled_from(["a", "b", "c", None]) | json_values,
        "continues": st.text("abc_-09/.", max_size=24) | json_values,
        "terms": st.text(max_size=120) | json_values,
        "mode": st.sampled_from(["side_by_side", "direct", "battle"]) | json_values,
        "models": st.lists(st.text("ab-/", max_size=3) | json_values, max_size=3) | json_values,
        "parameters": st.dictionaries(
            st.sampled_from(["temperature", "top_p", "max_tokens", "seed"]),
            st.floats() | st.integers() | json_values,
            max_size=3,
        )
        | json_values,
        "images": st.lists(st.just("0" * 32) | json_values, max_size=6) | json_values,
        "model": json_values,
    },
)


SUBMIT_FIELDS = {
    *("type", "prompt", "battle", "images", "terms"),
    *("continues", "mode", "models", "parameters"),
}


def test_the_events_a_page_sends_are_understood():
    assert parse('{"type":"turn.submit","prompt":"Hi","battle":null}') == Submit("Hi", None)
    assert parse('{"type":"turn.submit","prompt":"Hi","battle":"abc"}') == Submit("Hi", "abc")
    image = "0123456789abcdef" * 2
    with_image = f'{{"type":"turn.submit","prompt":"Hi","battle":null,"images":["{image}"]}}'
    assert parse(with_image) == Submit("Hi", None, images=(image,))
    assert parse('{"type":"turn.stop"}') == Stop()
    assert parse('{"type":"resume","battle":"a-_9","last_seq":{"a":3,"b":0}}') == Resume(
        "a-_9", {"a": 3, "b": 0}
    )


def test_a_new_conversation_says_what_it_is_to_be():
    text = """{"type": "turn.submit", "prompt": "Hi", "battle": null, "terms": "1",
        "mode": "side_by_side", "models": ["one", "two-2"], "parameters": {"temperature": 0.5}}"""
    assert parse(text) == Submit(
        "Hi", None, chosen=Chosen("side_by_side", ("one", "two-2"), {"temperature": 0.5}), terms="1"
    )
    text = '{"type":"turn.submit","prompt":"Hi","battle":null,"continues":"abc"}'
    assert parse(text) == Submit("Hi", None, continues="abc")
    assert parse('{"type":"turn.regenerate","battle":"abc","slot":null}') == Regenerate("abc", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"battle": "abc", "mode": "direct", "models": ["one"], "parameters": {}},
        {"battle": "abc", "terms": "1"},
        {"battle": "abc", "continues": "abc"},
        {"continues": "abc", "mode": "direct", "models": ["one"], "parameters": {}},
        {"mode": "battle", "models": ["one", "two"], "parameters": {}},
        {"mode": "direct"},
        {"mode": "direct", "models": "one", "parameters": {}},
        {"mode": "direct", "models": ["one"], "parameters": {"seed": 1}},
        {"mode": "direct", "models": ["one"], "parameters": {"temperature": True}},
        {"mode": "direct", "models": ["one"], "parameters": {"max_tokens": 1.5}},
        {"mode": "direct", "models": ["../one"], "parameters": {}},
        {"mode": "direct", "models": ["one", "two", "three"], "parameters": {}},
        {"models": ["one", "two"]},
        {"parameters": {"temperature": 1}},
    ],
)
def test_what_does_not_belong_together_is_refused(fields):
    message = {"type": "turn.submit", "prompt": "Hi", "battle": None, **fields}
    with pytest.raises(BadMessage):
        parse(json.dumps(message))


@given(st.text())
def test_any_text_is_an_event_or_a_bad_message(text):
    with contextlib.suppress(BadMessage):
        parse(text)


@given(json_values)
def test_any_json_that_is_no_event_is_a_bad_message(value):
    with pytest.raises(BadMessage):
        parse(json.dumps(value))


@given(near_misses)
def test_what_passes_has_only_known_fields_of_the_right_type(message):
    try:
        event = parse(json.dumps(message))
    except BadMessage:
        return
    match event:
        case Submit(prompt, battle):
            assert set(message) <= SUBMIT_FIELDS
            assert prompt.encode().decode() == prompt == message["prompt"]
            assert battle is None or 1 <= len(battle) <= 22
            assert battle is None or set(message) <= {"type", "prompt", "battle", "images"}
            assert event.chosen is None or event.continues is None
            if event.chosen:
                assert event.chosen.mode in ("side_by_side", "direct")
                assert len(event.chosen.models) <= 2
                assert set(event.chosen.parameters) <= {"temperature", "top_p", "max_tokens"}
                values = event.chosen.parameters.values()
                assert all(type(value) in (int, float) for value in values)
        case Regenerate(battle, slot):
            assert set(message) == {"type", "battle", "slot"}
            assert 1 <= len(battle) <= 22
            assert slot in ("a", "b", None)
        case Stop():
            assert set(message) == {"type"}
        case Resume(battle, last_seq):
            assert set(message) == {"type", "battle", "last_seq"}
            assert 1 <= len(battle) <= 22
            assert set(last_seq) <= {"a", "b"}
            assert all(type(seq) is int and seq >= 0 for seq in last_seq.values())


@given(st.text(), st.characters(categories=["Cs"]))
def test_half_a_character_is_refused(text, surrogate):
    with pytest.raises(BadMessage):
        parse(json.dumps({"type": "turn.submit", "prompt": text + surrogate, "battle": None}))


@given(st.text(min_size=1))
def test_what_is_wrong_can_be_sent_back(name):
    with pytest.raises(BadMessage) as bad:
        parse(json.dumps({"type": "turn.stop", name if name != "type" else "x": 1}))
    assert str(bad.value).encode()
    assert len(str(bad.value)) < 300


def test_hostile_json_is_a_bad_message(shared_data):
    lines = (shared_data / "hostile" / "json_parsing.jsonl").read_text().splitlines()
    assert len(lines) > 200
    for line in lines:
        item = json.loads(line)
        data = base64.b64decode(item.get("b64", ""))
        if "repeat_b64" in item:
            data = base64.b64decode(item["repeat_b64"]) * item["count"]
            data += base64.b64decode(item["tail_b64"])
        with pytest.raises(BadMessage):
            parse(data.decode("utf-8", "replace"))
