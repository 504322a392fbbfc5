"""Made-up questions in GSM8K's form and size, with a task over them as lm-evaluation-harness's."""

from __future__ import annotations

import json
from pathlib import Path

COUNT = 1_319  # as many as GSM8K asks
EXAMPLES = 20  # of which five are shown before each question

TASK = r"""
task: apples
task_version: "1"
dataset: {name: apples, split: test, fewshot_split: train}
output_type: generate_until
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{answer}}"
num_fewshot: 5
generation_kwargs: {until: ["Question:"], temperature: 0, max_gen_toks: 256}
filter_list:
  - name: strict
    filter:
      - {function: regex, regex_pattern: "#### (\\-?[0-9\\.\\,]+)"}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true,
     regexes_to_ignore: [",", "(?s).*#### "]}
"""


def question(number: int) -> dict[str, str]:
    first, second = number + 1, (37 * number) % 101
    asked = (
        f"In the orchard behind house {number} the children fill two baskets before the rain. "
        f"Nobody eats on the way, and what falls is picked up again. One basket holds {first} "
        f"apples and the other one holds {second}. How many apples are in both?"
    )
    total = first + second
    return {"question": asked, "answer": f"{first} and {second} make {total}.\n#### {total}"}


def write(folder: Path) -> None:
    """`test.jsonl` and `train.jsonl`."""
    for split, numbers in (("test", range(COUNT)), ("train", range(COUNT, COUNT + EXAMPLES))):
        rows = [json.dumps(question(number)) for number in numbers]
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
