"""The exact messages. The digests are of what lm-evaluation-harness 0.4.13 sent for the same files.

They are SHA-256 over the prompts, joined by U+0000: of the texts for a completion endpoint, and of
the messages in several turns and in one, as canonical JSON.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from evaluation.definitions.definition import DatasetRef
from evaluation.definitions.parsing import parse
from evaluation.definitions.problems import InvalidTask, Unrenderable
from evaluation.definitions.prompts import (
    build_prompt,
    build_prompts,
    choices_of,
    preview,
    scored_item,
    target_of,
)
from evaluation.formats.catalogue import benchmark_format
from evaluation.formats.items import canonical_json

BASE = """
task: t
dataset: {name: d, split: test, fewshot_split: train}
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: "{{answer}}"
"""
GSM8K = """
task: gsm8k
dataset: {name: gsm8k, split: test, fewshot_split: train}
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
num_fewshot: 5
"""
PREFIXED = """
gen_prefix: Let us think.
target_delimiter: "\\n"
fewshot_delimiter: "\\n###\\n"
description: Solve.
"""
OVERRIDDEN = """
gen_prefix: "\\n{{answer[:3]}}"
fewshot_config:
  gen_prefix: "So:"
  target_delimiter: "|"
  fewshot_delimiter: "~"
  doc_to_text: "Other: {{question}}"
  doc_to_target: "{{answer.split('#### ')[-1]}}"
"""
FIRST_N = "fewshot_config: {sampler: first_n}\n"
# A split that is its own pool: no item is an example for itself.
SAME_SPLIT = GSM8K.replace("fewshot_split: train", "fewshot_split: test")
COPIES = """
task: dup
dataset: {name: dup, split: test, fewshot_split: test}
doc_to_text: q
doc_to_target: "{{a}}"
num_fewshot: 4
"""
CHOICES = """
task: arcish
dataset: {name: mc, split: test, fewshot_split: test}
output_type: multiple_choice
doc_to_text: "{{question.strip()}}\\n{% for c in choices %}{{labels[loop.index0]}}. {{c}}\\n{% endfor %}Answer:"
doc_to_choice: labels
doc_to_target: answer
num_fewshot: 3
description: "The following are questions about {{subject}}.\\n\\n"
"""  # noqa: E501
COPIES_ITEMS = [{"q": f"q{n % 8}", "a": f"a{n % 8}"} for n in range(40)]
CHOICES_ITEMS = [
    {
        "question": f" Item {n}? ",
        "subject": ["x", "y"][n % 2],
        "choices": [f"c{n}{k}" for k in range(2 + n % 4)],
        "labels": list("ABCDE"[: 2 + n % 4]),
        "answer": n % (2 + n % 4),
    }
    for n in range(60)
]


def digests(task, items, pool, count=50):
    """Of the texts, of the messages in several turns, and of those in one."""
    several, one = (
        list(
            build_prompts(
                dataclasses.replace(
                    task, fewshot=dataclasses.replace(task.fewshot, as_multiturn=as_multiturn)
                ),
                items[:count],
                pool,
            )
        )
        for as_multiturn in (True, False)
    )
    assert [prompt.text for prompt in several] == [prompt.text for prompt in one]
    return tuple(
        hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
        for texts in (
            [prompt.text for prompt in several],
            [canonical_json(prompt.messages) for prompt in several],
            [canonical_json(prompt.messages) for prompt in one],
        )
    )


def seeded(task, seed):
    return dataclasses.replace(
        task,
        fewshot=dataclasses.replace(task.fewshot, seed=seed),
        system_instruction="Be brief." if seed == 7 else None,
    )


@pytest.fixture(scope="module")
def gsm8k(shared_data):
    read = benchmark_format("gsm8k").read
    folder = shared_data / "benchmarks" / "gsm8k"
    return {
        split: [item.fields for item in read(folder, split=split)] for split in ("test", "train")
    }


@pytest.mark.parametrize(
    ("text", "seed", "expected"),
    [
        (
            GSM8K,
            1234,
            (
                "74a5f89848dd908bd981d437a9c8289f",
                "fcaa7d1b720c54bfee03469db8a7c5c6",
                "5e1d7b41738e7f035960a0abaed0bc96",
            ),
        ),
        (
            GSM8K,
            7,
            (
                "910e91f689789a2819c9ce745f56d5c9",
                "f8b7492185f39c172d10d6a8c129bd2a",
                "40b5cd577c026367677745807bd41b3d",
            ),
        ),
        (
            GSM8K + FIRST_N,
            1234,
            (
                "1f9f1483720310d5fd37fa822c4cb0d0",
                "2b26f994eec3f359cc33abb00cddcc84",
                "aa9273e80ac92845b0555e50f7194a3f",
            ),
        ),
        (
            GSM8K + FIRST_N,
            7,
            (
                "009361603919a01457a97ec030a116bd",
                "c6d19f6eda6b8595790d7a48b722948e",
                "3c0091cb01083b1c1da1be6dc0a5dfcd",
            ),
        ),
        (
            SAME_SPLIT.replace("fewshot: 5", "fewshot: 8"),
            1234,
            (
                "0cd82a631589ee1807814c0230613b2e",
                "ba8c109b636d5e6e927ea396fd91b652",
                "ee2ba136810eacfc15984fa460e05323",
            ),
        ),
        (
            SAME_SPLIT.replace("fewshot: 5", "fewshot: 8"),
            7,
            (
                "7cb757d841291cdc9cc2a7d9fa8a8360",
                "c98fb7177900bb01cfb092bdc911ee17",
                "913498e43d99a45209b08bb992d91251",
            ),
        ),
        (
            SAME_SPLIT.replace("fewshot: 5", "fewshot: 4") + FIRST_N,
            1234,
            (
                "60c458e948754e152150c8548e8993e1",
                "8a54d44ea267182e8b34957289b7b603",
                "d8fd707d30d28d393eb1fb5f09b04624",
            ),
        ),
        (
            SAME_SPLIT.replace("fewshot: 5", "fewshot: 4") + FIRST_N,
            7,
            (
                "cecb8224f3d6295f3aaaa4b2395114e7",
                "fd89a3cdaf4f0bb19de4647d02ca78f9",
                "b78b1cb6082e64dec348613db8ffe9af",
            ),
        ),
        (
            GSM8K + PREFIXED,
            1234,
            (
                "df407d88211f8bd2758b6418748b41ea",
                "bc6c120372f4fd785b7911b8fb335a6d",
                "67acc7af43c0978efc2a29716a6be7ee",
            ),
        ),
        (
            GSM8K + PREFIXED,
            7,
            (
                "d001babd5bd1259666a6ed75d39e3db0",
                "5db507e2fb0541cd7b713734443f834a",
                "42f63a391bde36de88e63e9d82d6febf",
            ),
        ),
        (
            GSM8K + OVERRIDDEN,
            1234,
            (
                "9bd9db2dc7fcf9bd092474e33272e7b2",
                "1fee7eb8070a6c9618786a23fdc3b4d5",
                "2b6fba799c546995bdd0b78d1e955ca8",
            ),
        ),
        (
            GSM8K + OVERRIDDEN,
            7,
            (
                "9e736693aa9c50cb95d914ceed3ec862",
                "2ea08fc2f1e0b8ae303455a105ecde41",
                "8b8323bb10bbfddaa0f3db5d559f5f1f",
            ),
        ),
    ],
)
def test_fifty_gsm8k_prompts_are_those_of_lm_eval(gsm8k, text, seed, expected):
    task = parse(text)
    pool = gsm8k[task.dataset.fewshot_split]
    assert digests(seeded(task, seed), gsm8k["test"], pool) == expected


@pytest.mark.parametrize(
    ("text", "items", "seed", "expected"),
    [
        (
            COPIES,
            COPIES_ITEMS,
            1234,
            (
                "2b37be992bd9af99558aec4dbb025173",
                "3927ec1b84cbfd0757a9569af14d4fb5",
                "88631ffdc0f139d394ea76dd2b36d834",
            ),
        ),
        (
            COPIES,
            COPIES_ITEMS,
            7,
            (
                "b9e7243eae61646abc0301739a6e3db7",
                "071c3976856fc4c3c4e790fb59932eb6",
                "5f831b7fc1d6ef7b69bd2145b1de362a",
            ),
        ),
        (
            CHOICES,
            CHOICES_ITEMS,
            1234,
            (
                "55df4aff73dc95428ee6c024ed960f1f",
                "c786e178cd659f65f9f58ece6302570d",
                "b7bbdcf4944435896af62d278e4487e9",
            ),
        ),
        (
            CHOICES,
            CHOICES_ITEMS,
            7,
            (
                "62ddec59145afadbfd0a6271411457f2",
                "e02ca9aacab518b4706773edd80b519d",
                "2085ce4d6599d6036ec2f61215ae09f8",
            ),
        ),
    ],
)
def test_prompts_of_small_datasets_are_those_of_lm_eval(text, items, seed, expected):
    assert digests(seeded(parse(text), seed), items, items) == expected


ITEM = {"question": "1 + 1?", "answer": "2", "choices": ["1", "2"], "n": 3, "empty": []}


def messages(more, examples=(), item=ITEM):
    return [
        (one["role"][0], one["content"])
        for one in build_prompt(parse(BASE + more), item, examples).messages
    ]


def test_examples_are_turns_of_their_own():
    assert messages("system_instruction: Be brief.", [ITEM]) == [
        ("s", "Be brief."),
        ("u", "Q: 1 + 1?\nA:"),
        ("a", "2"),
        ("u", "Q: 1 + 1?\nA:"),
    ]


def test_examples_in_one_turn_are_parted_by_the_delimiters():
    assert messages("fewshot_config: {as_multiturn: false}", [ITEM]) == [
        ("u", "Q: 1 + 1?\nA: 2\n\nQ: 1 + 1?\nA:")
    ]


def test_the_description_follows_the_system_instruction():
    assert messages("system_instruction: Be brief.\ndescription: About {{n}}.")[0] == (
        "s",
        "Be brief.\n\nAbout 3.",
    )


def test_the_beginning_of_the_answer_is_the_last_message():
    assert messages("gen_prefix: Well,")[-1] == ("a", "Well,")
    assert messages("gen_prefix: Well,\nfewshot_config: {as_multiturn: false}", [ITEM]) == [
        ("u", "Q: 1 + 1?\nA: Well, 2\n\nQ: 1 + 1?\nA:"),
        ("a", "Well,"),
    ]


def with_keys(**keys):
    lines = BASE.strip().splitlines()
    kept = [line for line in lines if line.partition(":")[0] not in keys]
    return parse(
        "\n".join([*kept, *(f"{key}: {json.dumps(value)}" for key, value in keys.items())])
    )


@pytest.mark.parametrize(
    ("keys", "target"),
    [
        ({"doc_to_target": "answer"}, "2"),
        ({"doc_to_target": "n"}, 3),
        ({"doc_to_target": "choices"}, ["1", "2"]),
        ({"doc_to_target": "{{choices}}"}, ["1", "2"]),
        ({"doc_to_target": "[{{answer}}, see"}, "[2, see"),
        ({"doc_to_target": "[{{answer}} or so]"}, "[2 or so]"),
        ({"doc_to_target": "{{n}}"}, "3"),
        ({"doc_to_target": "{{n}}", "doc_to_choice": ["a", "b"]}, 3),
        ({"doc_to_target": 1, "doc_to_choice": ["a", "b"]}, 1),
        ({"doc_to_target": ["x", "y"]}, ["x", "y"]),
    ],
)
def test_a_target_is_a_text_a_list_or_a_place(keys, target):
    assert target_of(with_keys(**keys), ITEM) == target


@pytest.mark.parametrize(
    ("choice", "choices"),
    [
        (None, None),
        (["a", "b"], ["a", "b"]),
        ({"first": "a", "second": "b"}, ["a", "b"]),
        ("choices", ["1", "2"]),
        ("{{choices}}", ["1", "2"]),
    ],
)
def test_choices_are_a_list_a_field_or_a_template(choice, choices):
    assert choices_of(with_keys(doc_to_choice=choice), ITEM) == choices


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"doc_to_text": "{{missing}}"}, "doc_to_text: 'missing' is undefined"),
        ({"doc_to_text": "n"}, "doc_to_text: the field 'n' is not a text"),
        ({"doc_to_text": "{{n}}", "doc_to_choice": ["a", "b"]}, "doc_to_text: gives a number"),
        ({"doc_to_target": "empty"}, "doc_to_target: '[]' is not a list"),
        (
            {"doc_to_target": 5, "doc_to_choice": ["a", "b"]},
            "doc_to_target: 5 is none of 2 choices",
        ),
        ({"doc_to_target": 5}, "doc_to_target: gives 5, a place, and there are no choices"),
        ({"doc_to_choice": "{{question}}"}, "'1 + 1?' is not a list"),
        ({"doc_to_choice": "empty"}, "doc_to_choice: '[]' is not a list"),
        ({"doc_to_choice": "{{[" + "1," * 60_000 + "]}}"}, "doc_to_choice: a template of more"),
    ],
)
def test_an_item_that_does_not_fit_says_why(keys, reason):
    with pytest.raises((Unrenderable, InvalidTask)) as refused:
        build_prompt(with_keys(**keys), ITEM, [ITEM])
    assert reason.removeprefix("doc_to_choice: ") in str(refused.value)


def test_the_place_of_an_item_that_does_not_fit_is_told():
    with pytest.raises(Unrenderable, match="item 1: doc_to_text: 'question' is undefined"):
        list(build_prompts(parse(BASE), [ITEM, {"answer": "2"}]))


def test_scorers_get_the_item_with_its_target_and_choices():
    scored = scored_item(with_keys(doc_to_choice="choices", doc_to_target="{{answer}}"), ITEM)
    assert scored == ITEM | {"target": 2, "choices": ["1", "2"]}


def test_the_hash_of_a_prompt_is_of_its_messages():
    one, same, other = build_prompts(parse(BASE), [ITEM, ITEM, ITEM | {"question": "2?"}])
    assert one.hash == same.hash != other.hash


def test_a_preview_shows_the_first_items_whole():
    shown = preview(parse(BASE), [ITEM] * 9)
    assert len(shown) == 5
    assert shown[0].prompt.messages[-1]["content"] == "Q: 1 + 1?\nA:"
    assert shown[0].target == "2"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"doc_to_text": "{{missing}}"}, "item 0: doc_to_text: 'missing' is undefined"),
        ({"doc_to_target": "{{missing}}"}, "item 0: doc_to_target: 'missing' is undefined"),
        (
            {"output_type": "multiple_choice", "doc_to_choice": ["red", "1"], "doc_to_target": 0},
            "doc_to_text: item 0: the prompt does not show the choice 'red'; a model that answers "
            "by writing cannot know it",
        ),
        (
            {"output_type": "multiple_choice", "doc_to_choice": ["1", "Q"], "doc_to_target": 7},
            "doc_to_target: item 0: 7 is none of the choices",
        ),
    ],
)
def test_a_preview_refuses_what_cannot_be_answered(keys, reason):
    with pytest.raises(InvalidTask) as refused:
        preview(with_keys(**keys), [ITEM])
    assert str(refused.value) == reason


def test_a_task_of_the_hub_runs_on_the_official_file(gsm8k):
    hub = GSM8K.replace("dataset: {name: gsm8k, split: test, fewshot_split: train}\n", "")
    task = parse(
        hub + "dataset_path: openai/gsm8k\n", dataset=DatasetRef("gsm8k", "test", None, "train")
    )
    assert len(preview(task, gsm8k["test"], gsm8k["train"])) == 5
