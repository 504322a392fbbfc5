"""Benchmark runs against their peers on the same machine: `make bench-eval`.

The same made-up questions to the same server, one after the other: wall time as a multiple of what
the requests alone take, and CPU per sample. Then what must be equal, to the byte or to the digit:
prompts and scores as lm-evaluation-harness has them, of the official files where they are at hand
(in ARENA_SHARED_DATA). Rows that miss end the run with an error.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from evaluation.definitions import parsing
from evaluation.definitions.prompts import build_prompts
from evaluation.formats.catalogue import benchmark_format
from evaluation.scorers import Response
from evaluation.scorers.ifeval import Parameters, ifeval
from evaluation.scoring import score_response
from tests.benchmarks.evaluation import measuring, questions
from tests.benchmarks.evaluation.measuring import CONNECTIONS, IDEAL, SECONDS, Took
from tests.benchmarks.evaluation.server import Server
from tests.conftest import PROJECT

SHARED = Path(os.environ.get("ARENA_SHARED_DATA", PROJECT.parent / "shared" / "data"))
CPU_TARGET = 6.0  # milliseconds a sample, the commit included
WALL_TARGET = 1.25  # times what the requests alone take
PROMPTS = 50  # rows that are compared
# Of IFEval: where the peer draws a letter, and what it splits into sentences.
RANDOM_LETTERS = (1122, 1129)
SAME_VERDICTS = 1 - 5 / 1664  # the language of a text in two languages is a matter of opinion
NEEDS_PUNKT = {"length_constraints:number_sentences", "change_case:capital_word_frequency"}

Peer = Callable[..., Any]  # arguments of its module; what it tells


class Report:
    def __init__(self) -> None:
        self.missed = False

    def target(self, row: str, value: float, target: float) -> None:
        self._verdict(f"{row}: {value:.2f}, target {target:g}", value <= target)

    def equal(self, row: str, same: int, of: int, *, share: float = 1.0) -> None:
        self._verdict(f"{row}: {same} of {of} equal", same >= share * of)

    def _verdict(self, row: str, met: bool) -> None:
        self.missed |= not met
        print(f"{row}: {'met' if met else 'MISSED'}", flush=True)


def main(python: str) -> int:
    """`python` is the peers'."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="arena-peer-") as home:

        def lm_eval(*arguments: str) -> Any:
            return measuring.told_by(_command(python, "lm_eval_peer", arguments), HF_HOME=home)

        compare_overhead(report, python, home)
        folder = SHARED / "benchmarks"
        if folder.is_dir():
            compare_prompts(report, lm_eval, folder / "gsm8k", Path(home))
            compare_scores(report, lm_eval, folder / "gsm8k", Path(home))
            compare_ifeval(report, lm_eval, folder / "ifeval", Path(home))
        else:
            print(f"SKIPPED: prompts and scores; no official files in {folder}")
    return 1 if report.missed else 0


def _command(python: str, module: str, arguments: Sequence[str]) -> list[str]:
    return [python, "-m", f"tests.benchmarks.evaluation.{module}", *arguments]


# --- overhead -----------------------------------------------------------------------------------


def compare_overhead(report: Report, python: str, home: str) -> None:
    print(
        f"{questions.COUNT} questions, {CONNECTIONS} at once, answers after {SECONDS} s: "
        f"{IDEAL:.1f} s if nothing else took time"
    )
    with measuring.questions_folder() as folder, Server(seconds=SECONDS) as server:
        url, connections = server.base_url, str(CONNECTIONS)
        bare = _shown(measuring.measure_bare(folder, url))
        ours = _shown(measuring.measure_ours(folder, url))
        config = _lm_eval_task(questions.TASK, folder)
        peers = [
            _shown(measuring.measured(name, _command(python, module, arguments), HF_HOME=home))
            for name, module, arguments in (
                ("inspect-ai", "inspect_peer",
                 [str(folder / "prompts.jsonl"), url, connections, f"{home}/logs"]),
                ("lm-eval", "lm_eval_peer", ["measure", str(config), url, connections]),
            )
        ]  # fmt: skip
    for peer in peers:
        print(
            f"{peer.name} takes {peer.cpu_per_sample / ours.cpu_per_sample:.1f} × our CPU and "
            f"{peer.wall / ours.wall:.2f} × our time"
        )
    report.target("CPU a sample, commit included, in ms", ours.cpu_per_sample, CPU_TARGET)
    # What the machine does besides slows the bare client as well.
    report.target("time, in times of a bare client's", ours.wall / bare.wall, WALL_TARGET)
    scores = {one.score for one in (ours, *peers)}
    report.equal("scores of the three", 3 if len(scores) == 1 else 0, 3)


def _shown(took: Took) -> Took:
    print(took, flush=True)
    return took


def _lm_eval_task(text: str, folder: Path) -> Path:
    """The same task as lm-evaluation-harness is told it."""
    task = yaml.safe_load(text)
    for own in ("task_version", "dataset"):
        task.pop(own)
    arguments = task["generation_kwargs"]
    arguments["max_gen_toks"] = arguments.get("max_gen_toks", 256)
    arguments["do_sample"] = False
    task |= {
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {split: str(folder / f"{split}.jsonl") for split in ("train", "test")}
        },
        "training_split": "train",
        "test_split": "test",
        "fewshot_split": "train",
    }
    path = folder / "lm_eval.json"
    path.write_text(json.dumps(task))
    return path


# --- what must be equal -------------------------------------------------------------------------

GSM8K = r"""
task: gsm8k
task_version: "3.0"
dataset: {name: gsm8k, split: test, fewshot_split: train}
output_type: generate_until
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{answer}}"
num_fewshot: 5
generation_kwargs: {until: ["Question:", "</s>", "<|im_end|>"], temperature: 0.0}
filter_list:
  - name: strict-match
    filter:
      - {function: regex, regex_pattern: "#### (\\-?[0-9\\.\\,]+)"}
      - {function: take_first}
  - name: flexible-extract
    filter:
      - {function: regex, group_select: -1, regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true,
     ignore_punctuation: false, regexes_to_ignore: [",", "\\$", "(?s).*#### ", "\\.$"]}
"""


def compare_prompts(report: Report, lm_eval: Peer, gsm8k: Path, home: Path) -> None:
    definition = parsing.parse(GSM8K)
    items, pool = (_fields("gsm8k", gsm8k, split) for split in ("test", "train"))
    ours = [list(one.messages) for one in build_prompts(definition, items, pool)][:PROMPTS]
    theirs = lm_eval("prompts", str(_official_task(gsm8k, home)), str(PROMPTS))
    same = sum(one == other for one, other in zip(ours, theirs, strict=True))
    report.equal("gsm8k prompts with five examples, lm-eval's", same, PROMPTS)


def compare_scores(report: Report, lm_eval: Peer, gsm8k: Path, home: Path) -> None:
    definition = parsing.parse(GSM8K)
    items = _fields("gsm8k", gsm8k, "test")
    chance = random.Random(1)
    responses = [_varied(str(item["answer"]), chance) for item in items]
    path = home / "responses.jsonl"
    path.write_text("".join(json.dumps(text) + "\n" for text in responses))
    theirs = lm_eval("scores", str(_official_task(gsm8k, home)), str(path))
    ours: dict[str, list[float]] = {}
    for item, response in zip(items, responses, strict=True):
        for one in score_response(definition, item, Response(response, None)):
            ours.setdefault(one.metric, []).append(float(one.score.value or 0))
    for metric, values in theirs["samples"].items():
        same = sum(one == other for one, other in zip(ours[metric], values, strict=True))
        report.equal(f"gsm8k {metric} of stored responses", same, len(values))
        mean = sum(ours[metric]) / len(values)
        print(f"  mean {mean:.6f}, lm-eval's {theirs['metrics'][metric]:.6f}")


def _varied(solution: str, chance: random.Random) -> str:
    """A response as models write it: right, wrong, without the mark, with signs, or empty."""
    number = solution.rpartition("#### ")[2]
    return chance.choice(
        [
            solution,
            solution + ".",
            solution.replace("#### ", "#### $"),
            solution.replace(f"#### {number}", f"#### {number}7"),
            solution.replace(f"#### {number}", f"The answer is {number}."),
            solution + "\nQuestion: How many are 2 and 2? #### 4",
            f"First #### {number}, then #### 12",
            f"It costs ${number},00",
            "I do not know.",
            "",
        ]
    )


def compare_ifeval(report: Report, lm_eval: Peer, files: Path, home: Path) -> None:
    """All instructions but two that need data which the peer downloads, and two random letters."""
    chance = random.Random(2)
    rows = []
    for item in _fields("ifeval", files, "train"):
        if item["key"] in RANDOM_LETTERS or NEEDS_PUNKT & {*item["instruction_id_list"]}:
            continue
        rows.append({**item, "response": _written(str(item["prompt"]), chance)})
    path = home / "ifeval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    theirs = lm_eval("ifeval", str(path))
    ours = [ifeval(Response(row["response"], None), row, Parameters()).details for row in rows]
    for place, kind in enumerate(("strict", "loose")):
        pairs = [
            pair
            for one, other in zip(ours, theirs, strict=True)
            for pair in zip(one[kind], other[place], strict=True)
        ]
        same = sum(mine == theirs for mine, theirs in pairs)
        report.equal(f"ifeval {kind}, by instruction", same, len(pairs), share=SAME_VERDICTS)


def _written(prompt: str, chance: random.Random) -> str:
    """Something that follows some instructions and breaks others."""
    body = chance.choice([prompt, prompt.upper(), prompt.lower(), f'"{prompt}"', prompt[:200]])
    before = chance.choice(["", "<<Title>>\n\n", "Sure!\n", "* one\n* two\n* three\n"])
    after = chance.choice(["", "\n\nP.S. That is all.", "\n***\nMore [name] [place].", "\n*end*"])
    return before + body + after


def _official_task(gsm8k: Path, home: Path) -> Path:
    """lm-eval's task over our copies of the files: it writes beside them."""
    for split in ("train", "test"):
        (home / f"{split}.jsonl").write_bytes((gsm8k / f"{split}.jsonl").read_bytes())
    return _lm_eval_task(GSM8K, home)


def _fields(name: str, folder: Path, split: str) -> list[dict[str, Any]]:
    return [item.fields for item in benchmark_format(name).read(folder, split=split)]
