"""What holds for every answer under /api/, whoever gives it: a middleware."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

PREFIX = "/api/"
WORDS = {404: "There is nothing at this address.", 500: "The server made a mistake."}


def _before(request: HttpRequest) -> HttpResponseBase | None:
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        # A browser asks before it sends If-None-Match to another origin.
        response = HttpResponse(
            status=204,
            headers={
                "Access-Control-Allow-Methods": "GET, HEAD",
                "Access-Control-Allow-Headers": "If-None-Match",
                "Access-Control-Max-Age": "86400",
            },
        )
        del response["Content-Type"]
        return response
    if request.method == "HEAD":
        request.method = "GET"
    return None


def _after(request: HttpRequest, asked: str | None, response: HttpResponseBase) -> HttpResponseBase:
    request.method = asked  # from a HEAD, the server takes the body
    if response.status_code >= 400 and response.get("Content-Type") != "application/json":
        detail = WORDS.get(response.status_code, response.reason_phrase)
        if isinstance(response, HttpResponseNotAllowed):
            detail = "Only GET and HEAD are answered here."
            response["Allow"] = "GET, HEAD"
        if isinstance(response, HttpResponse):
            response.content = json.dumps({"detail": detail, "parameter": None}).encode()
            response["Content-Type"] = "application/json"
            response["Content-Length"] = str(len(response.content))  # it was that of the page
    response["Access-Control-Allow-Origin"] = "*"
    response["Access-Control-Expose-Headers"] = "ETag"
    return response


@sync_and_async_middleware
def public_api(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Any origin may read; errors are JSON; what is not a read is refused."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            if not request.path_info.startswith(PREFIX):
                return cast(HttpResponseBase, await get_response(request))
            asked = request.method
            return _after(request, asked, _before(request) or await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PREFIX):
            return cast(HttpResponseBase, get_response(request))
        asked = request.method
        return _after(request, asked, _before(request) or get_response(request))

    return answer
