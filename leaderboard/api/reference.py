"""The API's page for people, made from its OpenAPI document: plain HTML, nothing fetched."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leaderboard.api.operations import api


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    document = api.get_openapi_schema()
    operations = [_operation(path, details["get"]) for path, details in document["paths"].items()]
    return render(
        request,
        "leaderboard/api.html",
        {"about": document["info"]["description"], "operations": operations},
    )


def _operation(path: str, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": path,
        "summary": details["summary"],
        "description": details.get("description", ""),
        "parameters": [
            {
                "name": parameter["name"],
                "description": parameter["schema"].get("description", ""),
                "values": _values(parameter["schema"]),
                "default": parameter["schema"].get("default"),
            }
            for parameter in details.get("parameters", [])
        ],
    }


def _values(schema: dict[str, Any]) -> str:
    """What a parameter may be, in a few words."""
    if "anyOf" in schema:
        return " or ".join(_values(s) for s in schema["anyOf"] if s.get("type") != "null")
    if schema.get("type") == "array":
        return f"any of: {_values(schema['items'])}" if "items" in schema else "list"
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "integer":
        bounds = schema.get("minimum"), schema.get("maximum")
        # The largest number of a database is no bound to anybody.
        return f"from {bounds[0]} to {bounds[1]}" if (bounds[1] or 0) < 2**62 else "a number"
    return "text"
