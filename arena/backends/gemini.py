"""Google's Gemini dialect: `generateContent` and `streamGenerateContent`.

Source: https://ai.google.dev/api/generate-content. There is no end marker: the body ends after the
chunk with the `finishReason`. The key travels in a header, never in the URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

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
from arena.backends.urls import join

_FINISH = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
}
_UNSAID = "FINISH_REASON_UNSPECIFIED"


class GeminiAdapter:
    kind = "gemini"
    title = "Google Gemini"
    default_base_url = "https://generativelanguage.googleapis.com/v1beta"

    def chat(self, target: Target, request: ChatRequest) -> HttpRequest:
        config: dict[str, Any] = {"maxOutputTokens": request.max_tokens}
        if request.temperature is not None:
            config["temperature"] = request.temperature
        if request.top_p is not None:
            config["topP"] = request.top_p
        if request.seed is not None:
            config["seed"] = request.seed
        if request.stop:
            config["stopSequences"] = list(request.stop)
        body: dict[str, Any] = {
            "contents": [
                {
                    "role": "model" if m.role == "assistant" else "user",
                    "parts": _parts(m),
                }
                for m in request.messages
                if m.role != "system"
            ],
            "generationConfig": config,
        }
        system = [{"text": m.content} for m in request.messages if m.role == "system"]
        if system:
            body["systemInstruction"] = {"parts": system}
        folder, _, name = request.model.rpartition("/")
        path = f"/{quote(folder or 'models', safe='/')}/{quote(name, safe='')}"
        if request.stream:
            url = join(target.base_url, f"{path}:streamGenerateContent", query={"alt": "sse"})
        else:
            url = join(target.base_url, f"{path}:generateContent")
        return HttpRequest("POST", url, self._headers(target), body)

    def models(self, target: Target) -> HttpRequest:
        url = join(target.base_url, "/models", query={"pageSize": "1000"})
        return HttpRequest("GET", url, self._headers(target))

    def model_names(self, body: bytes) -> list[str]:
        return [name.removeprefix("models/") for name in names_in(body, "models", "name")]

    def parser(self, content_type: str) -> Parser:
        return BodyParser(read)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        return response_error(status, headers, body)

    @staticmethod
    def _headers(target: Target) -> dict[str, str]:
        return {"x-goog-api-key": target.api_key} if target.api_key else {}


def _parts(message: Message) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = [
        {"inlineData": {"mimeType": image.content_type, "data": image.base64()}}
        for image in message.images
    ]
    return [*images, {"text": message.content}]


def read(answer: Answer, chunk: dict[str, Any]) -> None:
    """One GenerateContentResponse: of a stream, or the whole answer."""
    if chunk.get("error") or chunk.get("detail"):
        raise stream_error(chunk)
    answer.upstream_id(chunk.get("responseId"))
    blocked = object_in(chunk, "promptFeedback").get("blockReason")
    if blocked and blocked != "BLOCK_REASON_UNSPECIFIED":
        raise BackendError(
            ErrorKind.CONTENT_FILTER, f"prompt blocked: {expect_text(blocked)}"[:200]
        )
    for candidate in list_in(chunk, "candidates"):
        if isinstance(candidate, dict) and not candidate.get("index"):
            _read_candidate(answer, candidate)
    usage = chunk.get("usageMetadata")
    if isinstance(usage, dict):
        answer.usage(usage.get("promptTokenCount"), _output(usage))


def _read_candidate(answer: Answer, candidate: dict[str, Any]) -> None:
    for part in list_in(object_in(candidate, "content"), "parts"):
        if isinstance(part, dict):
            if part.get("thought") is True:
                answer.reasoning(part.get("text"))
            else:
                answer.text(part.get("text"))
    for source in list_in(object_in(candidate, "groundingMetadata"), "groundingChunks"):
        web = source.get("web") if isinstance(source, dict) else None
        if isinstance(web, dict):
            answer.citation(web.get("uri"), web.get("title"))
    for source in list_in(object_in(candidate, "citationMetadata"), "citationSources"):
        if isinstance(source, dict):
            answer.citation(source.get("uri"))
    reason = candidate.get("finishReason")
    if reason and reason != _UNSAID:
        reason = expect_text(reason)
        answer.finish(_FINISH.get(reason, FinishReason.OTHER), reason)


def _output(usage: dict[str, Any]) -> int | None:
    """Thoughts are billed as output and counted apart."""
    counts = [usage.get("candidatesTokenCount"), usage.get("thoughtsTokenCount")]
    numbers = [count for count in counts if type(count) is int]
    return sum(numbers) if numbers else None
