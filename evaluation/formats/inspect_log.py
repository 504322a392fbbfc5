"""inspect-ai's logs as JSON: written with --log-format json, or by `inspect log dump`.

One document holds one task by one model: `eval` (what was run), `results`, and `samples`, one for
each item and epoch with the messages, the output and each scorer's verdict. As version 0.3.285
writes them (log format 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeGuard

from evaluation.formats.items import BadRow, Unreadable
from evaluation.formats.measured import (
    MeasuredSample,
    MeasuredTask,
    MeasuredValue,
    Verdict,
    task_name,
)

FILTER = "none"  # scorers read the output as it is
# What stands for right, partly right, wrong and no answer when a value becomes a number.
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_CAPTIONS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_MEANS = ("accuracy", "mean")
_STOPS = {"stop": "stop", "max_tokens": "length", "content_filter": "content_filter"}


def is_log(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("eval"), dict)


def read(document: Mapping[str, Any], file: str = "") -> MeasuredTask:
    """Raises Unreadable."""
    what = _mapping(document, "eval")
    if document.get("status") != "success":
        raise Unreadable(
            f"the log's status is {document.get('status')!r}: it is not of a whole run"
        )
    if document.get("invalidated") is True:
        raise Unreadable("the log has been marked as invalid by those who made it")
    task, model = task_name(_text(what.get("task"))), _text(what.get("model"))
    if not task or not model:
        raise Unreadable("the log names no task or no model")
    configuration = _mapping(what, "config")
    samples = document.get("samples")
    samples = samples if isinstance(samples, list) and samples else None
    results = _mapping(document, "results")
    dataset = _mapping(what, "dataset")
    asked = _asked(samples) if samples else _whole(dataset.get("samples"))
    size, statistics = _whole(dataset.get("samples")), _mapping(document, "stats")
    return MeasuredTask(
        task=task,
        model=model,
        source=f"inspect-ai {_text(_mapping(what, 'packages').get('inspect_ai'))}".strip()[:100],
        values=tuple(_values(results, configuration)),
        version=str(what.get("task_version", "")),
        items=asked,
        limited=configuration.get("limit") is not None
        or configuration.get("sample_id") is not None
        or (asked is not None and size is not None and asked < size),
        dataset=_text(dataset.get("name")) or task,
        settings={
            "task_args": _mapping(what, "task_args"),
            "generate": _mapping(what, "model_generate_config"),
            "plan": [
                {"solver": one.get("solver"), "params": one.get("params")}
                for one in _list(_mapping(document, "plan"), "steps")
            ],
            "scorers": [
                {"name": one.get("name"), "options": one.get("options")}
                for one in _list(what, "scorers")
            ],
            "epochs": configuration.get("epochs"),
            "epochs_reducer": configuration.get("epochs_reducer"),
        },
        primary=_headline(results),
        truncated_known=True,
        started=_time(statistics.get("started_at")) or _time(what.get("created")),
        finished=_time(statistics.get("completed_at")),
        samples=partial(_samples, samples) if samples else None,
        samples_file=file,
        lines=len(samples) if samples else None,
    )


def _values(
    results: Mapping[str, Any], configuration: Mapping[str, Any]
) -> Iterator[MeasuredValue]:
    """One for each scorer: its mean; other metrics are made of the same verdicts."""
    reducers = configuration.get("epochs_reducer")
    of_means = reducers in (None, ["mean"]) or configuration.get("epochs") in (None, 1)
    for one in _list(results, "scores"):
        metrics = _mapping(one, "metrics")
        named = next((name for name in _MEANS if name in metrics), next(iter(metrics), None))
        value = _mapping(metrics, named).get("value") if named else None
        if named is None or not _text(one.get("name")) or not _is_number(value):
            continue
        error = _mapping(metrics, "stderr").get("value")
        yield MeasuredValue(
            f"{FILTER}/{one['name']}",
            float(value),
            float(error) if _is_number(error) else None,
            is_mean=named in _MEANS and of_means,
        )


def _headline(results: Mapping[str, Any]) -> str:
    name = _text(_mapping(results, "headline").get("score"))
    return f"{FILTER}/{name}" if name else ""


def _samples(samples: list[Any]) -> Iterator[MeasuredSample | BadRow]:
    for number, one in enumerate(samples, 1):
        try:
            yield _sample(one, number)
        except Unreadable as error:
            yield BadRow(number, str(error))


def _sample(given: Any, number: int) -> MeasuredSample:
    if not isinstance(given, dict) or not isinstance(given.get("id"), str | int):
        raise Unreadable("a sample without an id")
    if "input" not in given:
        raise Unreadable(f"the sample {given['id']} has no input")
    output, usage = _mapping(given, "output"), _mapping(_mapping(given, "output"), "usage")
    choices = _list(output, "choices")
    failed = _mapping(given, "error")
    # The last message is the answer where a model gave one.
    said = [_message(one) for one in _list(given, "messages")]
    if choices and said and said[-1]["role"] == "assistant":
        said.pop()
    epoch = _whole(given.get("epoch"))
    fields = {
        key: given[key] for key in ("input", "choices", "target") if given.get(key) is not None
    }
    fields |= {"metadata": data} if (data := _mapping(given, "metadata")) else {}
    latency = output.get("time")
    stop = _text(choices[0].get("stop_reason")) if choices else ""
    return MeasuredSample(
        line=number,
        id=str(given["id"])[:200],
        fields=fields,
        messages=said,
        responses=() if failed else (_completion(output, choices),),
        verdicts=()
        if failed
        else tuple(_verdict(name, one) for name, one in _mapping(given, "scores").items()),
        prompt="\n".join(f"{one['role']}: {one['content']}" for one in said),
        epoch=epoch if epoch is not None and epoch >= 1 else 1,
        finish_reasons=() if failed else (_STOPS.get(stop, stop)[:20],),
        prompt_tokens=_count(usage.get("input_tokens")),
        completion_tokens=_count(usage.get("output_tokens")),
        latency=float(latency) if _is_number(latency) else None,
        error=(_text(failed.get("message")) or "an error") if failed else "",
    )


def _message(given: Mapping[str, Any]) -> dict[str, str]:
    return {"role": _text(given.get("role")), "content": _content(given.get("content"))}


def _content(given: Any) -> str:
    """A text, or the texts among parts of several kinds."""
    if isinstance(given, list):
        return "".join(_text(part.get("text")) for part in given if isinstance(part, dict))
    return _text(given)


def _completion(output: Mapping[str, Any], choices: list[dict[str, Any]]) -> str:
    if "completion" in output:
        return _text(output["completion"])
    return _content(_mapping(choices[0], "message").get("content")) if choices else ""


def _verdict(name: str, given: Any) -> Verdict:
    given = given if isinstance(given, dict) else {"value": given}
    answer = given.get("answer")
    return Verdict(f"{FILTER}/{name}", _number(given.get("value")), _text(answer) or None)


def _number(value: Any) -> float | None:
    """As inspect-ai's own `value_to_float`; None where it is no number."""
    if isinstance(value, bool):
        return float(value)
    if _is_number(value):
        return float(value)
    if isinstance(value, str):
        if value in _LETTERS:
            return _LETTERS[value]
        if value.lower() in _CAPTIONS:
            return _CAPTIONS[value.lower()]
        try:
            number = float(value)
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    return None


def _asked(samples: list[Any]) -> int:
    return len({str(one.get("id")) for one in samples if isinstance(one, dict)})


def _mapping(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _list(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    number = _whole(value)
    return number if number is not None and 0 <= number < 2**31 else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else None
