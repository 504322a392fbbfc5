"""lm-evaluation-harness in its own environment. Prints JSON in its last line.

    python -m tests.benchmarks.evaluation.lm_eval_peer measure CONFIG BASE_URL CONNECTIONS
    python -m tests.benchmarks.evaluation.lm_eval_peer prompts CONFIG COUNT
    python -m tests.benchmarks.evaluation.lm_eval_peer scores CONFIG RESPONSES
    python -m tests.benchmarks.evaluation.lm_eval_peer ifeval RESPONSES

CONFIG is a task of its own as JSON; RESPONSES holds one text a line, as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

FEWSHOT_SEED = 1234  # its own default
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")


def task_of(config: str) -> Any:
    from lm_eval.api.task import ConfigurableTask

    task = ConfigurableTask(config=json.loads(Path(config).read_text()))
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return task


def model_at(base_url: str, connections: int) -> Any:
    from lm_eval.models.openai_completions import LocalChatCompletion

    return LocalChatCompletion(
        base_url=f"{base_url}/chat/completions",
        model="bench",
        num_concurrent=connections,
        tokenizer_backend=None,
    )


def measure(config: str, base_url: str, connections: str) -> dict[str, Any]:
    from lm_eval import simple_evaluate

    task, model = task_of(config), model_at(base_url, int(connections))
    wall, cpu = time.perf_counter(), time.process_time()
    found = simple_evaluate(
        model=model,
        tasks=[task],
        apply_chat_template=True,
        fewshot_as_multiturn=True,
        bootstrap_iters=0,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    (result,) = found["results"].values()
    return {
        "wall": wall,
        "cpu": cpu,
        "samples": result["sample_len"] if "sample_len" in result else len(task.test_docs()),
        "score": result["exact_match,strict"],
    }


def prompts(config: str, count: str) -> list[list[dict[str, str]]]:
    """The messages that a chat endpoint is sent."""
    model = model_at("http://127.0.0.1:9", 1)
    task = task_of(config)
    task.build_all_requests(
        limit=int(count),
        apply_chat_template=True,
        fewshot_as_multiturn=True,
        chat_template=model.apply_chat_template,
        tokenizer_name="none",
    )
    sent = [json.loads(one.arguments[0].prompt) for one in task.instances]
    return [[{"role": one["role"], "content": one["content"]} for one in each] for each in sent]


def scores(config: str, responses: str) -> dict[str, Any]:
    """Of each response, by filter/metric; the responses are to the documents in their order."""
    task = task_of(config)
    texts = [json.loads(line) for line in Path(responses).read_text().splitlines()]
    task.build_all_requests(limit=len(texts))
    for one, text in zip(task.instances, texts, strict=True):
        one.resps = [text]
    task.apply_filters()
    values = defaultdict(list)
    for one in task.instances:
        for name, filtered in one.filtered_resps.items():
            for metric, value in task.process_results(one.doc, [filtered]).items():
                values[f"{name}/{metric}"].append(float(value))
    return {
        "samples": values,
        "metrics": {metric: statistics.fmean(each) for metric, each in values.items()},
    }


def ifeval(responses: str) -> list[list[list[bool]]]:
    """Of each item, what it says of each instruction, strictly and loosely.

    RESPONSES holds objects: the item with a `response`. The data that its sentence splitter would
    download is not there, so no instruction may need it. Its guess of a language is left to chance
    unless it is seeded.
    """
    import langdetect
    import nltk

    langdetect.DetectorFactory.seed = 0
    nltk.data.find = lambda *_, **__: ""
    from lm_eval.tasks.ifeval import utils

    found = []
    for line in Path(responses).read_text().splitlines():
        item = json.loads(line)
        example = utils.InputExample(
            key=item["key"],
            instruction_id_list=item["instruction_id_list"],
            prompt=item["prompt"],
            kwargs=item["kwargs"],
        )
        found.append(
            [
                check(example, item["response"]).follow_instruction_list
                for check in (
                    utils.test_instruction_following_strict,
                    utils.test_instruction_following_loose,
                )
            ]
        )
    return found


if __name__ == "__main__":
    what = {"measure": measure, "prompts": prompts, "scores": scores, "ifeval": ifeval}
    print("\n" + json.dumps(what[sys.argv[1]](*sys.argv[2:])))
