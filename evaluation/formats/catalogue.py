"""The benchmark formats by name."""

from __future__ import annotations

from evaluation.formats import (
    alpaca_eval,
    arc,
    arena_hard,
    bbh,
    generic,
    gsm8k,
    hellaswag,
    humaneval,
    ifeval,
    mmlu,
    mt_bench,
    truthfulqa,
)
from evaluation.formats.benchmark_format import BenchmarkFormat
from evaluation.formats.items import Unreadable

FORMATS: dict[str, BenchmarkFormat] = {
    known.name: known
    for known in (
        gsm8k.FORMAT,
        mmlu.FORMAT,
        arc.CHALLENGE,
        arc.EASY,
        hellaswag.FORMAT,
        truthfulqa.FORMAT,
        bbh.FORMAT,
        humaneval.FORMAT,
        ifeval.FORMAT,
        mt_bench.FORMAT,
        arena_hard.V01,
        arena_hard.V2,
        alpaca_eval.FORMAT,
        generic.JSON,
        generic.CSV,
        generic.HEADLESS_CSV,
    )
}
# What a task file may call its format where the file's name says nothing of the benchmark.
ALIASES = {"arc": "arc_challenge", "jsonl": "json"}


def benchmark_format(name: str) -> BenchmarkFormat:
    """Raises Unreadable, naming the formats there are."""
    try:
        return FORMATS[ALIASES.get(name, name)]
    except KeyError:
        raise Unreadable(f"no format {name!r}; there are: {', '.join(FORMATS)}") from None
