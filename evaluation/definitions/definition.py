"""A task definition as data. Reading one from YAML, and refusing a wrong one, is `parsing`'s."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from evaluation.formats.items import canonical_json

OutputType = Literal[
    "generate_until", "multiple_choice", "code", "judge_single", "judge_pairwise", "needle"
]
OUTPUT_TYPES: tuple[str, ...] = get_args(OutputType)
Sampler = Literal["default", "first_n"]

# The filter pipeline of a task that names none, and its name: as in lm-evaluation-harness.
NO_FILTER = "none"


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """Which imported dataset; `version` is `sha256:…` over its items, None for the newest."""

    name: str
    split: str
    version: str | None = None
    fewshot_split: str | None = None
    format: str | None = None
    cluster_key: str | None = None  # items with one value of this field are not independent


@dataclass(frozen=True, slots=True)
class FewshotConfig:
    """Where the examples come from, and how they differ from the question (None: they do not)."""

    sampler: Sampler = "default"
    seed: int = 1234
    as_multiturn: bool = True
    samples: tuple[Mapping[str, Any], ...] | None = None  # written in the task itself
    within: str | None = None  # examples share the question's value of this field
    doc_to_text: str | None = None
    doc_to_target: str | int | tuple[str, ...] | None = None
    doc_to_choice: str | tuple[str, ...] | None = None
    gen_prefix: str | None = None
    fewshot_delimiter: str | None = None
    target_delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """What is sent with every request; None leaves it to the endpoint."""

    until: tuple[str, ...]
    max_gen_toks: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A named way to get the answer out of a response; each gives scores of its own.

    A step is what `evaluation.scorers.filters` takes: {"function": name, **its arguments}.
    """

    name: str
    steps: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """`metric` is the id of a scorer, `options` are its parameters: ignore_case and the like."""

    metric: str
    aggregation: str = "mean"
    higher_is_better: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Publish:
    """The column on the leaderboard, and the score that guessing gets."""

    column: str
    baseline: float = 0.0


@dataclass(frozen=True, slots=True)
class Judge:
    """How a judge is asked about the answers; who judges is the run's choice.

    `turns`, `reference` and `baseline` are names of fields: the questions of all turns, where there
    are several; the right answer to each; and, for a comparison, the dataset's own answers.
    """

    turns: str | None = None
    reference: str | None = None
    baseline: str | None = None
    policy: str = "mt-bench"  # of a comparison: mt-bench | arena-hard
    criteria: str = ""  # what counts, in place of what is said to every judge
    max_gen_toks: int = 2048


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """Everything about a task except the items. Immutable: a change is another version."""

    task: str
    dataset: DatasetRef
    doc_to_text: str
    doc_to_target: str | int | tuple[str, ...]
    generation: Generation
    metrics: tuple[Metric, ...]
    primary: str  # "<filter>/<metric>", the score that is published
    filters: tuple[Filter, ...] = (Filter(NO_FILTER, ({"function": "take_first"},)),)
    task_version: str = "1"
    output_type: OutputType = "generate_until"
    description: str = ""
    system_instruction: str | None = None
    doc_to_choice: str | tuple[str, ...] | None = None
    gen_prefix: str | None = None
    num_fewshot: int = 0
    fewshot: FewshotConfig = field(default_factory=FewshotConfig)
    fewshot_delimiter: str = "\n\n"
    target_delimiter: str = " "
    epochs: int = 1
    epoch_reducer: str = "mean"  # mean | majority | pass@k with a number for k
    max_error_rate: float = 0.0
    publish: Publish | None = None
    judge: Mapping[str, Any] = field(default_factory=dict)  # a `Judge`; empty in other tasks
    needle: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def as_json(definition: TaskDefinition) -> dict[str, Any]:
    """The definition as JSON values: for storage, display and hashing. `from_json` reads it."""
    stored: dict[str, Any] = dataclasses.asdict(definition)
    return stored


def from_json(stored: Mapping[str, Any]) -> TaskDefinition:
    """What `as_json` gave, also after JSON has made its tuples lists."""
    values = {key: _tuples(value) for key, value in stored.items()}
    publish = stored["publish"]
    return TaskDefinition(
        **values
        | {
            "dataset": DatasetRef(**stored["dataset"]),
            "fewshot": FewshotConfig(
                **{key: _tuples(value) for key, value in stored["fewshot"].items()}
            ),
            "generation": Generation(
                **stored["generation"] | {"until": tuple(stored["generation"]["until"])}
            ),
            "filters": tuple(Filter(one["name"], tuple(one["steps"])) for one in stored["filters"]),
            "metrics": tuple(Metric(**one) for one in stored["metrics"]),
            "publish": None if publish is None else Publish(**publish),
        }
    )


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def spec_hash(definition: TaskDefinition) -> str:
    """SHA-256 of the definition, part of a run's fingerprint.

    Defaults are written out before hashing, so a file that spells one and a file that leaves it to
    us are one task. What is only shown (metadata, publish) does not count: it changes no score.
    """
    spec = as_json(definition)
    del spec["metadata"], spec["publish"]
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()
