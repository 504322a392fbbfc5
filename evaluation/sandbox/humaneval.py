"""HumanEval's program: prompt, completion, tests and the call, put together as its harness does.

Source: openai/human-eval, `check_correctness`; its time limit is 3 seconds as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bubblewrap import MIB, Outcome, run


def humaneval_program(item: Mapping[str, Any], completion: str) -> str:
    """Raises ValueError when the item lacks a field of HumanEval."""
    try:
        prompt, test, entry_point = item["prompt"], item["test"], item["entry_point"]
    except KeyError as missing:
        raise ValueError(f"the item has no {missing.args[0]}") from missing
    return f"{prompt}{completion}\n{test}\ncheck({entry_point})"


def check_humaneval(
    item: Mapping[str, Any], completion: str, *, timeout: float = 3.0, memory: int = 512 * MIB
) -> Outcome:
    """Does the completion pass the item's tests? Raises as `run` and `humaneval_program` do."""
    return run(humaneval_program(item, completion), timeout=timeout, memory=memory)
