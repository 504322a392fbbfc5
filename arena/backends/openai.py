"""The chat completions dialect: OpenAI, vLLM, llama.cpp, LM Studio, Groq, Mistral, OpenRouter, …

Source: https://platform.openai.com/docs/api-reference/chat and what the servers in
tests/interop really send. Perplexity's `citations` and `search_results` are read as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arena.backends.answer import Answer, expect_text
from arena.backends.base import (
    BackendError,
    ChatRequest,
    ErrorKind,
    FinishReason,
    HttpRequest,
    Message,
    Parser,
    Target,
)
from arena.backends.body import BodyParser, list_in, names_in, object_in
from arena.backends.errors import response_error, stream_error
from arena.backends.urls import host_of, join

_FINISH = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,  # Together
    "eos_token": FinishReason.STOP,  # TGI
    "stop_sequence": FinishReason.STOP,  # TGI
    "end_turn": FinishReason.STOP,  # gateways that forget to translate Anthropic's word
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}
_FAILED = {"error", "abort"}  # OpenRouter, vLLM: the engine gave up, the answer is not complete


class OpenAIAdapter:
    kind = "openai"
    title = "OpenAI-compatible (chat completions)"
    default_base_url = "https://api.openai.com/v1"

    def chat(self, target: Target, request: ChatRequest) -> HttpRequest:
        # OpenAI's reasoning models refuse `max_tokens`; most other servers know no other name.
        limit = "max_tokens"
        if host_of(target.base_url) == "api.openai.com":
            limit = "max_completion_tokens"
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": m.role, "content": _content(m)} for m in request.messages],
            limit: request.max_tokens,
            "stream": request.stream,
        }
        if request.stream:
            body["stream_options"] = {"include_usage": True}
        for name in ("temperature", "top_p", "seed"):
            value = getattr(request, name)
            if value is not None:
                body[name] = value
        if request.stop:
            body["stop"] = list(request.stop)
        url = join(target.base_url, "/chat/completions")
        return HttpRequest("POST", url, headers_of(target), body)

    def models(self, target: Target) -> HttpRequest:
        return HttpRequest("GET", join(target.base_url, "/models"), headers_of(target))

    def model_names(self, body: bytes) -> list[str]:
        return names_in(body, "data", "id")

    def parser(self, content_type: str) -> Parser:
        return BodyParser(read)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        return response_error(status, headers, body)


def headers_of(target: Target) -> dict[str, str]:
    if not target.api_key:
        return {}
    if host_of(target.base_url).endswith(".openai.azure.com"):
        return {"api-key": target.api_key}
    return {"Authorization": f"Bearer {target.api_key}"}


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A plain string where it is enough: not every server takes a list of parts."""
    if not message.images:
        return message.content
    images = [
        {"type": "image_url", "image_url": {"url": image.data_url()}} for image in message.images
    ]
    return [*images, {"type": "text", "text": message.content}]


def read(answer: Answer, chunk: dict[str, Any]) -> None:
    """One `chat.completion.chunk`, or one whole `chat.completion`."""
    if chunk.get("error") or chunk.get("object") == "error":
        raise stream_error(chunk)
    if chunk.get("detail") and "choices" not in chunk:
        raise stream_error(chunk)
    answer.upstream_id(chunk.get("id"))
    for choice in list_in(chunk, "choices"):
        if not isinstance(choice, dict):
            raise BackendError(ErrorKind.PROTOCOL, "a choice is not an object")
        if not choice.get("index"):  # 0, null or missing; others belong to an `n` we never ask for
            _read_choice(answer, choice)
    # Perplexity: the same list in every chunk
    for result in list_in(chunk, "search_results"):
        if isinstance(result, dict):
            answer.citation(result.get("url"), result.get("title"))
    for url in list_in(chunk, "citations"):
        answer.citation(url)
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        answer.usage(usage.get("prompt_tokens"), usage.get("completion_tokens"))


def _read_choice(answer: Answer, choice: dict[str, Any]) -> None:
    message = object_in(choice, "delta") or object_in(choice, "message")
    answer.reasoning(message.get("reasoning_content") or message.get("reasoning"))
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            _read_part(answer, part)
    else:
        answer.text(content)
    if not content:
        answer.text(message.get("refusal"))  # what a declining model says instead
    for note in list_in(message, "annotations"):
        source = note.get("url_citation") if isinstance(note, dict) else None
        if isinstance(source, dict):
            answer.citation(source.get("url"), source.get("title"))
    reason = choice.get("finish_reason")
    if reason:
        reason = expect_text(reason)
        if reason in _FAILED:
            raise BackendError(ErrorKind.UPSTREAM, f"finish_reason {reason!r}")
        answer.finish(_FINISH.get(reason, FinishReason.OTHER), reason)


def _read_part(answer: Answer, part: Any) -> None:
    """A part of a content list: Mistral's reasoning models send text and thinking so."""
    if isinstance(part, str):
        answer.text(part)
    elif isinstance(part, dict):
        if part.get("type") == "thinking":
            for thought in list_in(part, "thinking"):
                if isinstance(thought, dict):
                    answer.reasoning(thought.get("text"))
        else:
            answer.text(part.get("text"))
