"""The program that a response to a code task makes, and what the sandbox says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation import sandbox
from evaluation.definitions.definition import TaskDefinition
from evaluation.scorers import PatternTimedOut
from evaluation.scorers.filters import apply


def check(definition: TaskDefinition, fields: Mapping[str, Any], text: str) -> sandbox.Outcome:
    """Runs the item's tests on the code that the task's filter finds in a response.

    Raises ValueError where task and item do not fit, sandbox.Unavailable where nothing can be run.
    """
    (only,) = definition.filters
    try:
        found = apply(only.steps, [text])
    except PatternTimedOut as late:
        return sandbox.Outcome(False, "failed: no code was found in time", str(late), 0.0)
    return sandbox.check_humaneval(fields, found[0] if found else "")
