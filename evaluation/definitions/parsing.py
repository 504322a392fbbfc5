"""What a task file says, as a TaskDefinition, or every problem of it with the key it is at.

The keys are lm-evaluation-harness's (docs/task_guide.md and version 0.4.13's behaviour) with a few
of our own: dataset, system_instruction, epochs, epoch_reducer, primary, max_error_rate, publish,
judge, needle.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from evaluation.definitions import templates
from evaluation.definitions.contradictions import JUDGED, contradictions, scores_of
from evaluation.definitions.definition import (
    NO_FILTER,
    OUTPUT_TYPES,
    DatasetRef,
    FewshotConfig,
    Filter,
    Generation,
    Judge,
    Metric,
    Publish,
    TaskDefinition,
)
from evaluation.definitions.loading import Include, load
from evaluation.definitions.problems import InvalidTask, Problem
from evaluation.definitions.sections import Section
from evaluation.scorers import filters, scorer

MAX_FEWSHOT = 100
MAX_EPOCHS = 1_000
MAX_TOKENS = 1_000_000
_SLUG = re.compile(r"[A-Za-z0-9][\w.:/-]{0,99}")

# lm-evaluation-harness's names of the same scorers.
_METRICS = {"acc": "multiple_choice", "f1": "token_f1"}
_LIKELIHOOD_METRICS = (
    "acc_norm",
    "acc_bytes",
    "acc_mutual_info",
    "bits_per_byte",
    "brier_score",
    "byte_perplexity",
    "likelihood",
    "perplexity",
    "word_perplexity",
)
_AGGREGATIONS = ("mean",)
_TOKEN_LIMITS = ("max_gen_toks", "max_tokens", "max_new_tokens")  # one thing, by three names
_POLICIES = ("mt-bench", "arena-hard")  # those of scorers.judge.outcome
_WITHOUT_TARGET = (*JUDGED, "code", "needle")  # their scorers read other fields
_LIKELIHOODS = (
    "compares log-likelihoods, which chat endpoints do not give: use generate_until or "
    "multiple_choice"
)
_REFUSED = {
    "custom_dataset": "builds its data in Python, which is not run here: upload the file",
    "process_docs": "changes the items in Python, which is not run here: upload the changed file",
    "process_results": "scores in Python, which is not run here: name a metric",
    "use_prompt": "takes a prompt from promptsource, which is not here: write doc_to_text",
    "doc_to_image": "images are not supported",
    "doc_to_audio": "audio is not supported",
    "class": "names a Python class, which is not run here",
    "group": "a group of tasks is not a task: import its tasks one by one",
    "task_list": "a list of tasks is not a task: import its tasks one by one",
    "aggregate_metric_list": "a group of tasks is not a task: import its tasks one by one",
}

# They say nothing about what is asked or how it is scored.
_IGNORED = (
    "tag",
    "task_alias",
    "group_alias",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "unsafe_code",
    "recipe",
    "validation_split",
    "training_split",
    "test_split",
)


def parse(
    text: str, *, dataset: DatasetRef | None = None, include: Include | None = None
) -> TaskDefinition:
    """The definition in a task file.

    `dataset` says which imported dataset is meant, in place of what the file says: a public task
    file names one on a hub, which is not fetched. `include` gives the files that it includes.
    Raises InvalidTask.
    """
    return build(load(text, include=include), dataset=dataset)


def build(loaded: Mapping[str, Any], *, dataset: DatasetRef | None = None) -> TaskDefinition:
    """The definition in the mapping of a task file. Raises InvalidTask with all its problems."""
    problems: list[Problem] = []
    section = Section(loaded, problems)
    for key, reason in _REFUSED.items():
        if section.take(key) is not None:
            section.problem(key, reason)
    output_type = _output_type(section)
    definition = TaskDefinition(
        task=section.text("task", pattern=_SLUG),
        task_version=_version(section),
        dataset=_dataset(section, dataset),
        output_type=output_type,  # type: ignore[arg-type]
        description=section.text("description", "", check=_template),
        system_instruction=section.text_or_none("system_instruction"),
        doc_to_text=section.text("doc_to_text", check=_template),
        doc_to_target=_target(section, "" if output_type in _WITHOUT_TARGET else None),
        doc_to_choice=_choice(section),
        gen_prefix=section.text_or_none("gen_prefix", check=_template),
        num_fewshot=section.integer("num_fewshot", 0, least=0, most=MAX_FEWSHOT),
        fewshot=_fewshot(section.section("fewshot_config")),
        fewshot_delimiter=section.text("fewshot_delimiter", "\n\n"),
        target_delimiter=section.text("target_delimiter", " "),
        generation=_generation(section.section("generation_kwargs"), loaded),
        epochs=section.integer(
            "repeats" if "repeats" in loaded else "epochs", 1, least=1, most=MAX_EPOCHS
        ),
        epoch_reducer=section.text("epoch_reducer", "mean"),
        filters=_filters(section),
        metrics=_metrics(section, output_type),
        primary=section.text("primary", ""),
        max_error_rate=section.number("max_error_rate", 0.0, least=0, most=1),
        publish=_publish(section),
        judge=_judge(section, output_type),
        needle=section.mapping("needle"),
        metadata=section.mapping("metadata"),
    )
    for key in _IGNORED:
        section.take(key)
    section.finish()
    problems += contradictions(definition)
    if problems:
        raise InvalidTask(dict.fromkeys(problems))
    return _with_primary(definition)


def _output_type(section: Section) -> str:
    given = section.text("output_type", "generate_until")
    if given.startswith("loglikelihood"):
        section.problem("output_type", f"{given} {_LIKELIHOODS}")
    elif given not in OUTPUT_TYPES:
        section.problem("output_type", f"{given!r} is none of {', '.join(OUTPUT_TYPES)}")
    return given


def _version(section: Section) -> str:
    given = section.take("task_version")
    if given is None:
        metadata = section.peek("metadata")
        given = metadata.get("version") if isinstance(metadata, Mapping) else None
    if given is None:
        return "1"
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        section.problem("task_version", "not a version")
    return str(given)


def _dataset(section: Section, chosen: DatasetRef | None) -> DatasetRef:
    """What the file says of its data, in our words or in lm-evaluation-harness's."""
    path, kwargs = section.take("dataset_path"), section.take("dataset_kwargs")
    name = section.take("dataset_name")
    fewshot = section.peek("fewshot_config")
    fewshot = fewshot if isinstance(fewshot, Mapping) else {}
    named = section.text_or_none("fewshot_split")
    if fewshot.get("split") is not None:
        named = section.nested("fewshot_config", fewshot).text_or_none("split")
    ours = section.take("dataset")
    if named and fewshot.get("samples"):
        section.problem("fewshot_config.samples", "not with fewshot_split: only one can be meant")
    if chosen is not None:
        return chosen
    if ours is not None:
        return _our_dataset(section.nested("dataset", ours), named)
    if path is None:
        section.problem("dataset", "missing: which dataset is meant?")
    elif path not in ("json", "csv"):
        section.problem(
            "dataset_path", f"{path} is on a hub, from which nothing is fetched: upload the file"
        )
    elif not isinstance(kwargs, Mapping) or not kwargs.get("data_files"):
        section.problem("dataset_kwargs.data_files", "missing: which file is meant?")
    splits = [section.peek(key) for key in ("test_split", "validation_split", "training_split")]
    evaluated = next((split for split in splits[:2] if isinstance(split, str)), None)
    if evaluated is None:
        section.problem("test_split", "missing: which split is evaluated?")
    # Where no pool is named: training, else validation, else what is evaluated.
    pool = next((split for split in (splits[2], splits[1]) if isinstance(split, str)), evaluated)
    return DatasetRef(
        name=str(name or section.peek("task")),
        split=evaluated or "",
        fewshot_split=named or (None if fewshot.get("samples") else pool),
        format=str(path),
    )


def _our_dataset(section: Section, fewshot_split: str | None) -> DatasetRef:
    ref = DatasetRef(
        name=section.text("name"),
        split=section.text("split"),
        version=section.text_or_none("version"),
        fewshot_split=section.text_or_none("fewshot_split") or fewshot_split,
        format=section.text_or_none("format"),
        cluster_key=section.text_or_none("cluster_key"),
    )
    section.finish()
    return ref


def _target(section: Section, default: str | None, key: str = "doc_to_target") -> Any:
    given = section.peek(key)
    if isinstance(given, list):
        return section.texts(key)
    if isinstance(given, int) and not isinstance(given, bool):
        return section.take(key)
    return section.text(key, default, check=_template)


def _choice(section: Section) -> str | tuple[str, ...] | None:
    given = section.peek("doc_to_choice")
    if given is None or isinstance(given, str):
        return section.text_or_none("doc_to_choice", check=_template)
    if isinstance(given, Mapping):  # lm-evaluation-harness takes the values
        section.take("doc_to_choice")
        return tuple(str(value) for value in given.values())
    return section.texts("doc_to_choice")


def _fewshot(section: Section) -> FewshotConfig:
    samples = section.take("samples")
    if samples is not None and not (
        isinstance(samples, list) and all(isinstance(sample, dict) for sample in samples)
    ):
        section.problem("samples", "not a list of items")
        samples = None
    if section.take("fewshot_indices") is not None:
        section.problem(
            "fewshot_indices", "lm-evaluation-harness reads this and draws without it: give samples"
        )
    sampler = section.text("sampler", "default")
    if sampler not in ("default", "first_n"):
        section.problem("sampler", f"{sampler!r} is none of default, first_n")
    section.take("split")  # the same as fewshot_split, which the dataset has
    section.take("process_docs")
    config = FewshotConfig(
        sampler=sampler,  # type: ignore[arg-type]
        seed=section.integer("seed", 1234, least=0, most=2**63 - 1),
        as_multiturn=section.boolean("as_multiturn", True),
        samples=None if samples is None else tuple(samples),
        within=section.text_or_none("within"),
        doc_to_text=section.text_or_none("doc_to_text", check=_template),
        doc_to_target=None if section.peek("doc_to_target") is None else _target(section, None),
        doc_to_choice=_choice(section),
        gen_prefix=section.text_or_none("gen_prefix", check=_template),
        fewshot_delimiter=section.text_or_none("fewshot_delimiter"),
        target_delimiter=section.text_or_none("target_delimiter"),
    )
    section.finish()
    return config


def _generation(section: Section, task: Mapping[str, Any]) -> Generation:
    until = section.take("until")
    if until is None:
        delimiter = task.get("fewshot_delimiter", "\n\n")
        until = [delimiter] if task.get("output_type", "generate_until") == "generate_until" else []
    until = [until] if isinstance(until, str) else until
    if not isinstance(until, list) or not all(isinstance(one, str) and one for one in until):
        section.problem("until", "not a list of texts")
        until = []
    sampled = section.boolean("do_sample", True)
    temperature = section.number("temperature", 0.0, least=0, most=2)
    generation = Generation(
        until=tuple(until),
        max_gen_toks=section.integer(
            next((name for name in _TOKEN_LIMITS if section.has(name)), _TOKEN_LIMITS[0]),
            256,
            least=1,
            most=MAX_TOKENS,
        ),
        temperature=temperature if sampled else 0.0,  # do_sample: false is the greedy decoder
        top_p=section.number_or_none("top_p", least=0, most=1),
        top_k=section.integer_or_none("top_k", least=0, most=1_000_000),
        seed=section.integer_or_none("seed", least=0, most=2**63 - 1),
        presence_penalty=section.number_or_none("presence_penalty", least=-2, most=2),
        frequency_penalty=section.number_or_none("frequency_penalty", least=-2, most=2),
    )
    section.finish()
    return generation


def _filters(section: Section) -> tuple[Filter, ...]:
    found = []
    for one in section.sections("filter_list"):
        steps = one.take("filter")
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            one.problem("filter", "not a list of steps, each with a function")
            steps = []
        for number, step in enumerate(steps):
            try:
                filters.check([step])
            except (ValueError, TypeError, ArithmeticError) as error:
                one.problem(f"filter[{number}]", str(error))
        found.append(Filter(one.text("name"), tuple(steps)))
        one.finish()
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        section.problem("filter_list", "two filters have one name")
    return tuple(found) or (Filter(NO_FILTER, ({"function": "take_first"},)),)


# What a task of this kind is scored by if it does not say: else exact_match.
_DEFAULT_METRICS = ("multiple_choice", "code", "judge_single", "judge_pairwise", "needle")


def _metrics(section: Section, output_type: str) -> tuple[Metric, ...]:
    found = []
    for one in section.sections("metric_list"):
        name = one.text("metric")
        name = _METRICS.get(name, name)
        aggregation = one.text("aggregation", "mean")
        if aggregation not in _AGGREGATIONS:
            one.problem("aggregation", f"{aggregation!r} is none of {', '.join(_AGGREGATIONS)}")
        higher = one.boolean("higher_is_better", True)
        options = one.rest()
        if name in _LIKELIHOOD_METRICS:
            one.problem("metric", f"{name} {_LIKELIHOODS.partition(':')[0]}: leave it out")
            continue
        try:
            scorer(name).check(options)
        except (ValueError, TypeError) as error:
            one.problem("metric", str(error))
        found.append(Metric(name, aggregation, higher, options))
    names = [one.metric for one in found]
    if len(set(names)) < len(names):
        section.problem("metric_list", "a metric occurs twice")
    default = output_type if output_type in _DEFAULT_METRICS else "exact_match"
    return tuple(found) or (Metric(default),)


def _judge(section: Section, output_type: str) -> dict[str, Any]:
    """With its defaults written out, as they are part of what is hashed."""
    given = section.peek("judge") is not None
    inner = section.section("judge")
    if output_type not in JUDGED:
        if given:
            section.problem("judge", f"only in tasks of the kinds {' and '.join(JUDGED)}")
        return {}
    if output_type == "judge_single":
        for key in ("baseline", "policy"):
            if inner.peek(key) is not None:
                inner.problem(key, "only in tasks of the kind judge_pairwise")
    usual = Judge()
    judge = Judge(
        turns=inner.text_or_none("turns"),
        reference=inner.text_or_none("reference"),
        baseline=inner.text_or_none("baseline"),
        policy=inner.text("policy", usual.policy),
        criteria=inner.text("criteria", usual.criteria),
        max_gen_toks=inner.integer("max_gen_toks", usual.max_gen_toks, least=1, most=MAX_TOKENS),
    )
    if judge.policy not in _POLICIES:
        inner.problem("policy", f"{judge.policy!r} is none of {', '.join(_POLICIES)}")
    inner.finish()
    return dataclasses.asdict(judge)


def _publish(section: Section) -> Publish | None:
    if section.peek("publish") is None:
        section.take("publish")
        return None
    inner = section.section("publish")
    publish = Publish(
        column=inner.text("column"),
        # A baseline of 1 would leave no room above it to normalise by.
        baseline=inner.number("baseline", 0.0, least=0, most=0.99),
    )
    inner.finish()
    return publish


def _with_primary(definition: TaskDefinition) -> TaskDefinition:
    if definition.primary:
        return definition
    return dataclasses.replace(definition, primary=scores_of(definition)[0])


def _template(source: str) -> str | None:
    """What is wrong with a template, if anything."""
    try:
        templates.compiled(source)
    except templates.BadTemplate as error:
        return str(error)
    return None
