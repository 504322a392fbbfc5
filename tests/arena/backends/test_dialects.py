"""What each dialect asks, and the odd things providers answer that no recording here holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from arena.backends.answer import MAX_CITATIONS, clean
from arena.backends.base import (
    BackendError,
    ChatRequest,
    Citation,
    ErrorKind,
    Event,
    Finish,
    FinishReason,
    HttpRequest,
    Message,
    ReasoningDelta,
    Target,
    TextDelta,
    UpstreamId,
    Usage,
)
from arena.backends.registry import ADAPTERS

TALK = ChatRequest(
    "some/model",
    [
        Message("system", "Be brief."),
        Message("user", "Hi."),
        Message("assistant", "Hello."),
        Message("user", "Bye."),
    ],
    max_tokens=7,
    temperature=0.5,
    top_p=0.9,
    seed=3,
    stop=["END"],
)


def asked(kind: str, base: str, request: ChatRequest = TALK, key: str = "sk-key") -> HttpRequest:
    return ADAPTERS[kind].chat(Target(kind, base, key), request)


def heard(kind: str, *objects: Any, end: bytes = b"") -> list[Event | ErrorKind]:
    """What the parser makes of a stream of these objects, its error's kind last."""
    line = b"%b\n" if kind == "ollama" else b"data: %b\n\n"
    parser = ADAPTERS[kind].parser("text/event-stream")
    events: list[Event | ErrorKind] = []
    for each in objects:
        events += parser.feed(line % json.dumps(each).encode())
    events += parser.feed(end)
    try:
        events += parser.close()
    except BackendError as error:
        events.append(error.kind)
    return events


def text_of(events: Iterable[Event | ErrorKind]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def thoughts_of(events: Iterable[Event | ErrorKind]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def usage_of(events: Iterable[Event | ErrorKind]) -> Usage | None:
    return next((event for event in reversed([*events]) if isinstance(event, Usage)), None)


def chunk(finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


# what is asked


def test_the_chat_completions_request():
    call = asked("openai", "https://api.example/v1")
    assert (call.method, call.url) == ("POST", "https://api.example/v1/chat/completions")
    assert call.headers == {"Authorization": "Bearer sk-key"}
    assert call.json == {
        "model": "some/model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Bye."},
        ],
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["END"],
    }


def test_the_messages_request():
    call = asked("anthropic", "https://api.example")
    assert (call.method, call.url) == ("POST", "https://api.example/v1/messages")
    assert call.headers == {"x-api-key": "sk-key", "anthropic-version": "2023-06-01"}
    assert call.json == {
        "model": "some/model",
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Bye."},
        ],
        "max_tokens": 7,
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
    }


def test_the_gemini_request():
    call = asked("gemini", "https://api.example/v1beta")
    url = "https://api.example/v1beta/some/model:streamGenerateContent?alt=sse"
    assert (call.method, call.url) == ("POST", url)
    assert call.headers == {"x-goog-api-key": "sk-key"}
    assert call.json == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi."}]},
            {"role": "model", "parts": [{"text": "Hello."}]},
            {"role": "user", "parts": [{"text": "Bye."}]},
        ],
        "generationConfig": {
            "maxOutputTokens": 7,
            "temperature": 0.5,
            "topP": 0.9,
            "seed": 3,
            "stopSequences": ["END"],
        },
    }


def test_the_ollama_request():
    call = asked("ollama", "http://127.0.0.1:11434")
    assert (call.method, call.url) == ("POST", "http://127.0.0.1:11434/api/chat")
    assert call.headers == {"Authorization": "Bearer sk-key"}
    assert call.json == {
        "model": "some/model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Bye."},
        ],
        "stream": True,
        "options": {
            "num_predict": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "stop": ["END"],
        },
    }


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_what_is_not_set_is_not_sent_but_the_limit_always_is(kind):
    call = asked(kind, "https://api.example", ChatRequest("m", [Message("user", "Hi.")], 9), "")
    text = json.dumps(call.json)
    for name in ("temperature", "top_p", "topP", "seed", "stop", "system", "null"):
        assert name not in text
    assert ": 9" in text
    assert "key" not in json.dumps(dict(call.headers)).lower()
    assert "authorization" not in {name.lower() for name in call.headers}


def test_openai_itself_is_told_the_limit_by_its_newer_name():
    call = asked("openai", "https://api.openai.com/v1")
    assert call.json is not None
    assert call.json["max_completion_tokens"] == 7
    assert "max_tokens" not in call.json


def test_azure_takes_the_key_in_its_own_header_and_keeps_its_query():
    base = "https://x.openai.azure.com/openai/deployments/a%2Fb?api-version=2024-10-21"
    call = asked("openai", base)
    assert call.headers == {"api-key": "sk-key"}
    assert call.url == (
        "https://x.openai.azure.com/openai/deployments/a%2Fb/chat/completions"
        "?api-version=2024-10-21"
    )


@pytest.mark.parametrize(
    ("kind", "base", "chat", "models"),
    [
        ("openai", "http://h:1/v1/", "http://h:1/v1/chat/completions", "http://h:1/v1/models"),
        ("openai", "http://h", "http://h/chat/completions", "http://h/models"),
        ("anthropic", "http://h", "http://h/v1/messages", "http://h/v1/models?limit=1000"),
        ("anthropic", "http://h/v1", "http://h/v1/messages", "http://h/v1/models?limit=1000"),
        ("anthropic", "http://h/a/", "http://h/a/v1/messages", "http://h/a/v1/models?limit=1000"),
        ("ollama", "http://h/api/", "http://h/api/chat", "http://h/api/tags"),
        ("ollama", "http://h/x", "http://h/x/api/chat", "http://h/x/api/tags"),
        ("openai", "http://[::1]:80/v1#x", "http://[::1]/v1/chat/completions", "http://[::1]/v1/models"),
    ],
)  # fmt: skip
def test_a_base_url_may_be_written_in_several_ways(kind, base, chat, models):
    target = Target(kind, base)
    assert ADAPTERS[kind].chat(target, TALK).url == chat
    assert ADAPTERS[kind].models(target).url == models
    assert ADAPTERS[kind].models(target).method == "GET"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-pro", "/models/gemini-2.5-pro:"),
        ("models/gemini-2.5-pro", "/models/gemini-2.5-pro:"),
        ("tunedModels/mine", "/tunedModels/mine:"),
        ("../../v2/x?y#z", "/..%2F..%2Fv2"),
    ],
)
def test_a_model_name_is_one_place_in_geminis_path(model, path):
    url = asked("gemini", "https://api.example/v1beta", ChatRequest(model, [], 1)).url
    if ".." in model:
        assert "?alt=sse" in url
        assert "%3Fy%23z:" in url
    else:
        assert url.startswith(f"https://api.example/v1beta{path}")


def test_an_answer_at_once_is_asked_for_by_path_or_by_flag():
    request = ChatRequest("m", [Message("user", "Hi.")], 9, stream=False)
    assert asked("gemini", "https://h", request).url == "https://h/models/m:generateContent"
    for kind in ("openai", "anthropic", "ollama"):
        call = asked(kind, "https://h", request)
        assert call.json is not None
        assert call.json["stream"] is False
        assert "stream_options" not in call.json


def test_neither_a_target_nor_a_request_shows_its_key():
    assert "sk-key" not in repr(Target("openai", "https://h", "sk-key"))
    for kind in ADAPTERS:
        assert "sk-key" not in repr(asked(kind, "https://h"))


@pytest.mark.parametrize("base", ["not a url", "http://h:x/", "http://[::1", "http://h\\@g"])
@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_a_base_that_is_no_url_is_a_named_error(kind, base):
    with pytest.raises(BackendError) as caught:
        ADAPTERS[kind].chat(Target(kind, base), TALK)
    assert caught.value.kind is ErrorKind.BLOCKED_ADDRESS


# what is answered


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("never heard of", "other"),
    ],
)
def test_the_reasons_of_chat_completions(word, reason):
    events = heard("openai", chunk(content="Hi."), chunk(word))
    assert events[-1] == Finish(FinishReason(reason), word)


@pytest.mark.parametrize("word", ["error", "abort"])
def test_an_engine_that_gave_up_has_not_finished(word):
    events = heard("openai", chunk(content="Hi."), chunk(word))
    assert (text_of(events), events[-1]) == ("Hi.", ErrorKind.UPSTREAM)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "other"),
    ],
)
def test_the_reasons_of_messages(word, reason):
    events = heard(
        "anthropic",
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi."}},
        {"type": "message_delta", "delta": {"stop_reason": word}},
        {"type": "message_stop"},
    )
    assert events[-1] == Finish(FinishReason(reason), word)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("LANGUAGE", "other"),
    ],
)
def test_the_reasons_of_gemini(word, reason):
    candidate = {"content": {"parts": [{"text": "Hi."}]}, "finishReason": word}
    assert heard("gemini", {"candidates": [candidate]})[-1] == Finish(FinishReason(reason), word)


def test_a_declined_answer_without_a_word_is_declined_not_empty():
    assert heard("openai", chunk("content_filter"))[-1].reason is FinishReason.CONTENT_FILTER
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
    assert heard("gemini", blocked)[-1] is ErrorKind.CONTENT_FILTER
    candidate = {"finishReason": "SAFETY"}
    events = heard("gemini", {"candidates": [candidate]})
    assert events[-1].reason is FinishReason.CONTENT_FILTER


def test_only_the_first_choice_is_read():
    events = heard(
        "openai",
        chunk(content="A", index=0),
        chunk(content="B", index=1),
        {"choices": [{"index": 1, "delta": {"content": "C"}}, {"delta": {"content": "D"}}]},
        chunk("stop", index=1),
        chunk("length"),
    )
    assert text_of(events) == "AD"
    assert events[-1].reason is FinishReason.LENGTH
    candidates = [
        {"index": 1, "content": {"parts": [{"text": "B"}]}},
        {"content": {"parts": [{"text": "A"}]}, "finishReason": "STOP"},
    ]
    assert text_of(heard("gemini", {"candidates": candidates})) == "A"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_are_no_part_of_the_text(name):
    events = heard("openai", chunk(**{name: "Hmm."}), chunk(content="Hi."), chunk("stop"))
    assert (thoughts_of(events), text_of(events)) == ("Hmm.", "Hi.")


def test_thoughts_in_the_other_dialects():
    thinking = {"type": "thinking_delta", "thinking": "Hmm."}
    said = {"type": "text_delta", "text": "Hi."}
    events = heard(
        "anthropic",
        {"type": "content_block_delta", "delta": thinking},
        {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x"}},
        {"type": "content_block_delta", "delta": said},
        {"type": "message_stop"},
    )
    assert (thoughts_of(events), text_of(events)) == ("Hmm.", "Hi.")
    parts = [{"text": "Hmm.", "thought": True}, {"text": "Hi."}]
    events = heard("gemini", {"candidates": [{"content": {"parts": parts}}]})
    assert (thoughts_of(events), text_of(events)) == ("Hmm.", "Hi.")
    events = heard("ollama", {"message": {"thinking": "Hmm.", "content": ""}}, {"done": True})
    assert (thoughts_of(events), events[-1]) == ("Hmm.", ErrorKind.EMPTY)


def test_content_may_be_a_list_of_parts():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hmm."}]},
        {"type": "text", "text": "Hi."},
    ]
    events = heard("openai", chunk(content=parts), chunk("stop"))
    assert (thoughts_of(events), text_of(events)) == ("Hmm.", "Hi.")


def test_a_refusal_is_what_the_model_says():
    events = heard("openai", chunk(refusal="I cannot."), chunk("stop"))
    assert text_of(events) == "I cannot."


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": None},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"index": None, "delta": None, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": None, "role": None}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"x": 1}]}}]},
        {"id": None, "usage": None, "error": None},
        {"object": "chat.completion.chunk", "x_groq": {"id": "r"}},
        {},
    ],
)
def test_what_says_nothing_is_passed_over(odd):
    events = heard("openai", odd, chunk(content="Hi."), odd, chunk("stop"))
    assert (text_of(events), events[-1].reason) == ("Hi.", FinishReason.STOP)


@pytest.mark.parametrize(
    "wrong",
    [
        {"choices": "x"},
        {"choices": {"0": {}}},
        {"choices": [7]},
        {"choices": [{"delta": []}, {"delta": "x"}]},
        {"choices": [{"delta": {"content": 7}}]},
        {"choices": [{"delta": {"content": {"text": "x"}}}]},
        {"choices": [{"delta": {"content": False}}]},
        {"choices": [{"delta": {"reasoning": 7}}]},
        {"choices": [{"finish_reason": 7}]},
        [],
        [[]],
        7,
        "text",
        True,
        None,
    ],
)
def test_what_is_not_the_dialect_is_a_protocol_error(wrong):
    events = heard("openai", chunk(content="Hi."), wrong, chunk("stop"))
    if wrong == []:  # a list of no objects says nothing
        assert events[-1].reason is FinishReason.STOP
    else:
        assert events[-1] is ErrorKind.PROTOCOL
    assert text_of(events) == "Hi."


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
@pytest.mark.parametrize("error", [{"error": {"message": "no"}}, {"error": "no"}, {"detail": "no"}])
def test_an_error_object_in_a_stream_ends_it(kind, error):
    assert heard(kind, error) == [ErrorKind.UPSTREAM]


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ([{"prompt_tokens": 5, "completion_tokens": 2}], Usage(5, 2)),
        ([{"prompt_tokens": 5}], Usage(5, None)),
        ([{"prompt_tokens": 5, "completion_tokens": 1}, {"completion_tokens": 2}], Usage(5, 2)),
        ([{"prompt_tokens": 0, "completion_tokens": 0}], None),
        ([{"prompt_tokens": -1, "completion_tokens": 10**12}], None),
        ([{"prompt_tokens": 5.5, "completion_tokens": "2"}], None),
        ([{"prompt_tokens": True, "completion_tokens": None}], None),
        ([{"prompt_tokens": 5, "completion_tokens": -3}], Usage(5, None)),
        ([], None),
        (["many"], None),
        ([None], None),
    ],
)
def test_usage_is_believed_only_where_it_can_be_meant(told, usage):
    events = heard(
        "openai", chunk(content="Hi."), *({"usage": each} for each in told), chunk("stop")
    )
    assert usage_of(events) == usage


def test_usage_in_the_other_dialects_counts_all_that_is_billed():
    events = heard(
        "anthropic",
        {
            "type": "message_start",
            "message": {
                "usage": {
                    "input_tokens": 1,
                    "cache_read_input_tokens": 30,
                    "cache_creation_input_tokens": 200,
                    "output_tokens": 1,
                }
            },
        },
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi."}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 9},
        },
        {"type": "message_stop"},
    )
    assert usage_of(events) == Usage(231, 9)
    candidate = {"content": {"parts": [{"text": "Hi."}]}, "finishReason": "STOP"}
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 40}
    events = heard("gemini", {"candidates": [candidate], "usageMetadata": counts})
    assert usage_of(events) == Usage(5, 42)
    line = {"message": {"content": "Hi."}, "done": True, "prompt_eval_count": 5, "eval_count": 2}
    assert usage_of(heard("ollama", line)) == Usage(5, 2)


def test_the_id_of_the_exchange_is_told_once():
    events = heard("openai", {"id": "a"}, {"id": "b"}, chunk(content="Hi."), chunk("stop"))
    assert [event for event in events if isinstance(event, UpstreamId)] == [UpstreamId("a")]


# text that no database takes


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["\ud83d", "\ude42"], "🙂"),
        (["a\ud83d", "\ude42b"], "a🙂b"),
        (["\ud83d", "x"], "\ufffdx"),
        (["\ude42"], "\ufffd"),
        (["x", "\ud83d"], "x\ufffd"),
        (["\ud83d", "\ud83d", "\ude42"], "\ufffd🙂"),
        (["a\x00b"], "a\ufffdb"),
        (["\ud83d", "", "\ude42"], "🙂"),
    ],
)
@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_halves_of_a_character_are_joined_or_replaced(kind, pieces, text):
    if kind == "openai":
        said = [chunk(content=piece) for piece in pieces]
        events = heard(kind, chunk(content="> "), *said, chunk("stop"))
    else:
        said = [{"message": {"content": piece}} for piece in pieces]
        events = heard(kind, {"message": {"content": "> "}}, *said, {"done": True})
    assert text_of(events) == "> " + text
    text_of(events).encode()


def test_halves_of_a_character_in_thoughts_are_not_joined_with_the_text():
    events = heard("openai", chunk(reasoning="\ud83d"), chunk(content="\ude42 Hi."), chunk("stop"))
    assert (thoughts_of(events), text_of(events)) == ("\ufffd", "\ufffd Hi.")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("plain", "plain"), ("é🙂", "é🙂"), ("\ud83d\ude42", "🙂"), ("\ude42\ud83d", "\ufffd\ufffd")],
)
def test_clean_text_can_be_stored(text, cleaned):
    assert clean(text) == cleaned


def test_white_space_before_the_first_word_waits_for_it_and_is_kept():
    events = heard("openai", chunk(content="\n\n"), chunk(content="  \u200b"), chunk(content="x"))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["\n\n  \u200bx"]


def test_nothing_but_white_space_is_an_empty_answer_whatever_the_reason():
    events = heard("openai", chunk(content=" \n\ufeff\u2060"), chunk("length"))
    assert events == [ErrorKind.EMPTY]


def test_endless_white_space_is_an_empty_answer():
    parser = ADAPTERS["openai"].parser("")
    for _ in range(100):
        parser.feed(b"data: " + json.dumps(chunk(content=" " * 1000)).encode() + b"\n\n")
    assert parser.done


# sources


def test_citations_are_told_once_in_the_order_they_come():
    events = heard(
        "openai",
        {
            **chunk(content="Hi."),
            "search_results": [{"url": "https://a.example/", "title": "A\x00"}],
            "citations": ["https://a.example/", "https://b.example/?q=1"],
        },
        {**chunk("stop"), "citations": ["https://b.example/?q=1"]},
    )
    assert [event for event in events if isinstance(event, Citation)] == [
        Citation("https://a.example/", "A\ufffd"),
        Citation("https://b.example/?q=1"),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//a.example",
        "a.example",
        "https://",
        "https:// a.example",
        'https://a.example/"onclick=',
        "https://a.example/<script>",
        "https://a.example\\@b.example",
        "https://[::1",
        "https://a.example/" + "x" * 3000,
        7,
        None,
        ["https://a.example"],
    ],
)
def test_a_source_that_is_no_plain_address_is_dropped(url):
    events = heard("openai", {**chunk("stop", content="Hi."), "citations": [url]})
    assert not any(isinstance(event, Citation) for event in events)
    assert events[-1].reason is FinishReason.STOP


def test_sources_have_a_cap():
    urls = [f"https://a.example/{number}" for number in range(1000)]
    events = heard("openai", {**chunk("stop", content="Hi."), "citations": urls})
    assert sum(isinstance(event, Citation) for event in events) == MAX_CITATIONS


def test_sources_of_the_other_dialects():
    expected = Citation("https://a.example/", "A")
    note = {"type": "url_citation", "url_citation": {"url": "https://a.example/", "title": "A"}}
    assert expected in heard("openai", chunk("stop", content="Hi.", annotations=[note]))
    citation = {"url": "https://a.example/", "title": "A"}
    assert expected in heard(
        "anthropic",
        {"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": citation}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi."}},
        {"type": "message_stop"},
    )
    web = {"web": {"uri": "https://a.example/", "title": "A"}}
    candidate = {
        "content": {"parts": [{"text": "Hi."}]},
        "groundingMetadata": {"groundingChunks": [web]},
    }
    assert expected in heard("gemini", {"candidates": [candidate]})


def test_names_of_models_in_each_dialect():
    openai = {"data": [{"id": "a"}, {"id": "b\x00"}, {"name": "c"}]}
    assert ADAPTERS["openai"].model_names(json.dumps(openai).encode()) == ["a", "b\ufffd"]
    gemini = {"models": [{"name": "models/a"}, {"name": "b"}]}
    assert ADAPTERS["gemini"].model_names(json.dumps(gemini).encode()) == ["a", "b"]
    anthropic = {"data": [{"type": "model", "id": "a"}], "has_more": False}
    assert ADAPTERS["anthropic"].model_names(json.dumps(anthropic).encode()) == ["a"]
