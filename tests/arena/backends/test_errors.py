"""What a refusal means, from whatever its status, headers and body say."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from arena.backends.base import BackendError, ErrorKind
from arena.backends.errors import MAX_DETAIL, response_error, stream_error
from arena.backends.registry import ADAPTERS


def refusal(status: int, body: Any = b"", **headers: str) -> BackendError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return response_error(status, httpx.Headers(names), content)


def error(message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, "redirect"),
        (301, "redirect"),
        (304, "redirect"),
        (308, "redirect"),
        (400, "bad_request"),
        (401, "authentication"),
        (402, "quota"),
        (403, "authentication"),
        (404, "not_found"),
        (405, "bad_request"),
        (408, "unavailable"),
        (409, "bad_request"),
        (413, "context_length"),
        (415, "bad_request"),
        (422, "bad_request"),
        (429, "rate_limited"),
        (499, "bad_request"),
        (500, "unavailable"),
        (502, "unavailable"),
        (503, "unavailable"),
        (504, "unavailable"),
        (520, "unavailable"),
        (524, "unavailable"),
        (529, "unavailable"),
        (599, "unavailable"),
        (204, "empty"),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"no", b"<html><h1>No</h1></html>", b'{"error": {"message": "no"}}', b"\xff\xfe"]
)
def test_without_a_telling_body_the_status_decides(status, kind, body):
    found = refusal(status, body)
    assert (found.kind, found.status) == (ErrorKind(kind), status)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        # OpenAI
        (400, error("This model's maximum context length is 4096 tokens.")),
        (400, error("x", code="context_length_exceeded")),
        (400, error("Invalid 'content': string too long.", code="string_above_max_length")),
        # Anthropic
        (400, {"type": "error", **error("prompt is too long: 212000 tokens > 200000 maximum")}),
        (413, {"type": "error", **error("Request too large", type="request_too_large")}),
        # Gemini
        (
            400,
            error(
                "The input token count (1200000) exceeds the maximum number of tokens allowed.",
                code=400,
                status="INVALID_ARGUMENT",
            ),
        ),
        # llama.cpp, with the code as an integer
        (
            400,
            error(
                "the request exceeds the available context size",
                code=400,
                type="exceed_context_size_error",
                n_ctx=512,
            ),
        ),
        # some gateways answer a full context with the status of a fault of theirs
        (500, error("x", type="exceed_context_size_error")),
        # Mistral, TGI, Together, vLLM
        (
            400,
            {
                "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model"
                " with 32768 maximum context length"
            },
        ),
        (
            422,
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be"
                " <= 4096. Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
                "error_type": "validation",
            },
        ),
        (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens."}),
        (400, {"object": "error", "message": "Input is too long for requested model."}),
        (400, {"detail": "the prompt exceeds the model's context window"}),
    ],
)
def test_a_prompt_that_does_not_fit_is_told_apart_from_a_bad_request(status, body):
    assert refusal(status, body).kind is ErrorKind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            400,
            error(
                "The response was filtered due to the prompt triggering Azure OpenAI's policy",
                code="content_filter",
                innererror={"code": "ResponsibleAIPolicyViolation"},
            ),
        ),
        (400, {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        (400, error("x", code="content_policy_violation")),
        (400, error("Output blocked by content filtering policy: content filter")),
        (400, error("Your request was rejected as a result of our safety system.")),
        (403, error("x", code="moderation_blocked")),
        (422, {"detail": "Your prompt was flagged by moderation"}),
    ],
)
def test_a_declined_prompt_is_told_apart_from_a_bad_request(status, body):
    assert refusal(status, body).kind is ErrorKind.CONTENT_FILTER


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, error("x", type="requests", code="rate_limit_exceeded"), "rate_limited"),
        (429, error("You exceeded your current quota", code="insufficient_quota"), "quota"),
        (429, error("You exceeded your current quota, please check your plan"), "quota"),
        (400, error("Your credit balance is too low to access the API."), "quota"),
        (402, error("Insufficient Balance"), "quota"),
        (403, error("x", type="billing_not_active"), "quota"),
        (429, error("Resource has been exhausted", status="RESOURCE_EXHAUSTED"), "rate_limited"),
        (429, [error("x", code=429, status="RESOURCE_EXHAUSTED")], "rate_limited"),
        (429, b"slow down", "rate_limited"),
        (400, error("API key not valid. Please pass a valid API key.", code=400), "authentication"),
        (400, error("x", details=[{"reason": "API_KEY_INVALID"}]), "authentication"),
        (400, error("x", code="invalid_api_key"), "authentication"),
        (400, error("The model `x` does not exist", code="model_not_found"), "not_found"),
        (404, {"error": "model 'llama3' not found"}, "not_found"),
        (404, error("x", type="NotFoundError", code=404), "not_found"),
        (503, error("Loading model", type="unavailable_error", code=503), "unavailable"),
        (529, {"type": "error", **error("Overloaded", type="overloaded_error")}, "unavailable"),
        (400, {"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}, "bad_request"),
    ],
)
def test_types_codes_and_wording_say_more_than_the_status(status, body, kind):
    assert refusal(status, body).kind is ErrorKind(kind)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"error": {"message": "told"}}, "told"),
        ({"error": "told"}, "told"),
        ({"message": "told"}, "told"),
        ({"detail": "told"}, "told"),
        ({"detail": [{"msg": "told"}]}, '[{"msg": "told"}]'),
        ([{"error": {"message": "told"}}], "told"),
        ("told", "told"),
        (b"  told\n", "told"),
        (b"<p>told</p>", "<p>told</p>"),
        ({"error": {"message": "a\x00b\ud83d"}}, "a\ufffdb\ufffd"),
        ({"error": {"message": "\ud83d\ude42"}}, "🙂"),
        ({"error": {"message": 7}, "code": None}, '{"error": {"message": 7}, "code": null}'),
        (b"[" * 5000, "[" * MAX_DETAIL),
        (b"x" * 5000, "x" * MAX_DETAIL),
        (b"", ""),
    ],
)
def test_the_log_gets_the_message_wherever_it_is(body, detail):
    assert refusal(500, body).detail == detail


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after": "7"}, b"", 7.0),
        ({"retry_after": "0"}, b"", 0.0),
        ({"retry_after": "1.5"}, b"", 1.5),
        ({"retry_after_ms": "250"}, b"", 0.25),
        ({"retry_after_ms": "250", "retry_after": "1"}, b"", 0.25),
        ({"retry_after_ms": "soon", "retry_after": "1"}, b"", 1.0),
        ({"retry_after": "-1"}, b"", None),
        ({"retry_after": "nan"}, b"", None),
        ({"retry_after": "inf"}, b"", None),
        ({"retry_after": "soon"}, b"", None),
        ({"retry_after": ""}, b"", None),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"", 0.0),
        ({"retry_after": "Wed, 99 Oct 9999 07:28:00 GMT"}, b"", None),
        ({"retry_after": "Mon, 01 Jan 0001 00:00:00 +2300"}, b"", 0.0),
        ({}, error(details=[{"@type": "type.googleapis.com/x"}, {"retryDelay": "27s"}]), 27.0),
        ({}, [error(details=[{"retryDelay": "0.5s"}])], 0.5),
        ({}, error(details=[{"retryDelay": 27}, {"retryDelay": "later"}]), None),
        ({"retry_after": "3"}, error(details=[{"retryDelay": "27s"}]), 3.0),
        ({}, b"", None),
    ],
)
def test_the_pause_asked_for_is_read_from_headers_or_body(headers, body, seconds):
    assert refusal(429, body, **headers).retry_after == seconds


def test_a_date_to_retry_after_is_counted_from_now():
    date = formatdate(time.time() + 90, usegmt=True)
    seconds = refusal(503, b"", retry_after=date).retry_after
    assert seconds is not None
    assert 60 < seconds <= 90


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (error("Internal error", type="server_error", code=500), "upstream"),
        ({"type": "error", "error": {"type": "overloaded_error"}}, "upstream"),
        ("boom", "upstream"),
        ({"error": True}, "upstream"),
        ([], "upstream"),
        (None, "upstream"),
        (error("x", type="exceed_context_size_error"), "context_length"),
        (error("x", code="context_length_exceeded"), "context_length"),
        (error("x", code="content_filter"), "content_filter"),
        (error("x", code="insufficient_quota"), "quota"),
        (error("x", code=429), "rate_limited"),
        (error("x", code="429"), "rate_limited"),
        (error("x", type="rate_limit_error"), "rate_limited"),
    ],
)
def test_an_error_inside_a_stream_is_understood_by_its_codes(content, kind):
    found = stream_error(content)
    assert (found.kind, found.status) == (ErrorKind(kind), None)


def test_a_redirect_names_its_target_for_the_log():
    found = refusal(302, b"", location="http://169.254.169.254/")
    assert found.detail == "to http://169.254.169.254/"


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_every_dialect_reads_errors_alike(kind):
    found = ADAPTERS[kind].error(429, {"retry-after": "2"}, b'{"error": {"message": "slow down"}}')
    assert (found.kind, found.retry_after, found.detail) == (
        ErrorKind.RATE_LIMITED,
        2.0,
        "slow down",
    )
