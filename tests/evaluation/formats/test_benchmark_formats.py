"""What each format makes of a row, and which rows it refuses."""

from __future__ import annotations

import json

import pytest

from evaluation.formats.catalogue import FORMATS, benchmark_format
from evaluation.formats.items import BadRow, Item, Unreadable

GSM8K = {"question": "1 + 1?", "answer": "1 + 1 = <<1+1=2>>2\n#### 2"}
ARC = {
    "id": "A1",
    "question": {
        "stem": "Which?",
        "choices": [{"text": "x", "label": "1"}, {"text": "y", "label": "2"}],
    },
    "answerKey": "2",
}
HELLASWAG = {
    "ind": 3,
    "activity_label": "Rowing",
    "ctx_a": "A boat is on the lake.",
    "ctx_b": "it",
    "ctx": "A boat is on the lake. it",
    "endings": ["sinks.", "turns.", "flies.", "sings."],
    "label": 1,
    "split": "val",
    "split_type": "indomain",
    "source_id": "wikihow~1",
}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def one():\n",
    "canonical_solution": "    return 1\n",
    "test": "def check(f):\n    assert f() == 1\n",
    "entry_point": "one",
}
IFEVAL = {
    "key": 1,
    "prompt": "Use no commas.",
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{"num_words": None}],
}
MT_BENCH = {"question_id": 81, "category": "math", "turns": ["a", "b"], "reference": ["1", "2"]}
ARENA_HARD = {"uid": "u", "category": "c", "cluster": "k", "prompt": "Do."}


def read(tmp_path, name, *lines, file="rows.jsonl", split=None):
    path = tmp_path / file
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    )
    return list(benchmark_format(name).read(path, split=split))


@pytest.mark.parametrize(
    ("name", "row", "broken", "reason"),
    [
        ("gsm8k", GSM8K, {"answer": "two"}, "'answer' has no number after '#### '"),
        ("gsm8k", GSM8K, {"question": " "}, "'question' is empty"),
        ("gsm8k", GSM8K, {"question": 3}, "'question' is not a text"),
        ("arc", ARC, {"answerKey": "C"}, "the answer 'C' is none of the labels"),
        ("arc", ARC, {"question": "Which?"}, "'question' is not an object"),
        ("hellaswag", HELLASWAG, {"label": 4}, "the label 4 is none of 4 endings"),
        (
            "hellaswag",
            HELLASWAG,
            {"label": ""},
            "no label: the answers of the test file are not public",
        ),
        ("hellaswag", HELLASWAG, {"endings": "x"}, "'endings' is not a list of texts"),
        (
            "humaneval",
            HUMANEVAL,
            {"entry_point": "a; b"},
            "'entry_point' is not the name of a function",
        ),
        ("ifeval", IFEVAL, {"kwargs": []}, "1 instructions with 0 kwargs"),
        ("ifeval", IFEVAL, {"key": True}, "'key' is not a whole number"),
        ("mt_bench", MT_BENCH, {"turns": []}, "'turns' has 0 elements, at least 1 are needed"),
        ("mt_bench", MT_BENCH, {"reference": ["1"]}, "not one reference for each turn"),
        ("arena_hard", ARENA_HARD, {"prompt": None}, "'prompt' is not a text"),
    ],
)
def test_a_row_that_is_no_item_is_refused_with_its_line(tmp_path, name, row, broken, reason):
    good, bad = read(tmp_path, name, row, row | broken)
    assert isinstance(good, Item)
    assert bad == BadRow(2, reason, "rows.jsonl")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gsm8k", GSM8K),
        ("arc", ARC),
        ("hellaswag", HELLASWAG),
        ("humaneval", HUMANEVAL),
        ("ifeval", IFEVAL),
        ("mt_bench", MT_BENCH),
        ("arena_hard", ARENA_HARD),
    ],
)
def test_a_field_that_is_missing_is_named(tmp_path, name, row):
    key = next(iter(row))
    (bad,) = read(tmp_path, name, {k: v for k, v in row.items() if k != key})
    assert bad.reason == f"no field {key!r}"


def test_items_without_a_name_are_counted_as_lm_eval_counts_documents(tmp_path):
    first, bad, third = read(tmp_path, "gsm8k", GSM8K, "{}\n", GSM8K | {"question": "2 + 0?"})
    assert (first.id, bad.line, third.id) == ("0", 2, "2")


def test_arc_labels_may_be_digits(tmp_path):
    (item,) = read(tmp_path, "arc", ARC)
    assert item.fields["choices"] == {"text": ["x", "y"], "label": ["1", "2"]}


def test_a_label_of_hellaswag_may_be_a_text_as_on_the_hub(tmp_path):
    one, other = read(tmp_path, "hellaswag", HELLASWAG, HELLASWAG | {"label": "1"})
    assert one.hash == other.hash


def test_parameters_of_ifeval_that_are_null_count_as_absent(tmp_path):
    (item,) = read(tmp_path, "ifeval", IFEVAL)
    assert item.fields["kwargs"] == [{}]


def test_an_mmlu_answer_outside_the_letters_is_refused(tmp_path):
    good, bad = read(
        tmp_path, "mmlu", 'Why?,1,"2, or 3",4,5,B\n', "Why?,1,2,3,4,E\n", file="law_test.csv"
    )
    assert (good.id, good.fields["answer"], good.fields["subject"]) == ("law/0", 1, "law")
    assert bad == BadRow(2, "the answer 'E' is none of A, B, C, D", "law_test.csv")


def test_bbh_without_examples_is_refused_as_a_file(tmp_path):
    assert read(tmp_path, "bbh", {"canary": "x"}) == [
        BadRow(0, "no field 'examples'", "rows.jsonl")
    ]


def test_truthfulqa_needs_a_right_answer(tmp_path):
    header = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
    good, bad = read(
        tmp_path, "truthfulqa", header, "t,c,q,b,x; y;,z,s\n", "t,c,q,b, ; ,z,s\n", file="t.csv"
    )
    assert good.fields["correct_answers"] == ["x", "y"]
    assert bad.reason == "'Correct Answers' lists nothing"


def test_alpaca_eval_is_an_array(tmp_path):
    rows = [{"instruction": "Do.", "output": "Done.", "generator": "m", "datasplit": "eval"}, {}]
    good, bad = read(tmp_path, "alpaca_eval", rows, file="model_outputs.json")
    assert good.fields == {"instruction": "Do.", "output": "Done.", "generator": "m"}
    assert bad == BadRow(2, "no field 'instruction'", "model_outputs.json")


@pytest.mark.parametrize("lines", [['{"id": "a", "q": 1}\n', '{"id": 7, "q": 2}\n', '{"q": 3}\n']])
def test_json_lines_and_a_json_array_of_the_same_objects_are_one_dataset(tmp_path, lines):
    from_lines = read(tmp_path, "json", *lines)
    from_array = read(tmp_path, "json", "[" + ",".join(lines) + "]", file="rows.json")
    assert [one.id for one in from_lines] == ["a", "7", "2"]
    assert [one.hash for one in from_lines] == [one.hash for one in from_array]


def test_csv_with_and_without_a_header(tmp_path):
    (item,) = read(tmp_path, "csv", "id,q\nx,why\n", file="a.csv")
    assert (item.id, item.fields) == ("x", {"id": "x", "q": "why"})
    first, _ = read(tmp_path, "csv_headless", "id,q\nx,why\n", file="a.csv")
    assert first.fields == {"column_1": "id", "column_2": "q"}


def test_the_files_of_a_split_are_found_by_their_official_names(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("b_test.csv", "a_test.csv", "a_dev.csv"):
        (tmp_path / "data" / name).write_text("q,1,2,3,4,A\n")
    mmlu = benchmark_format("mmlu")
    assert [one.id for one in mmlu.read(tmp_path)] == ["a/0", "b/0"]
    assert [one.id for one in mmlu.read(tmp_path, split="dev")] == ["a/0"]
    with pytest.raises(Unreadable, match=r"no \*_val.csv"):
        list(mmlu.read(tmp_path, split="val"))
    with pytest.raises(Unreadable, match="no split 'other'; there are: test, dev, val"):
        list(mmlu.read(tmp_path, split="other"))


def test_a_folder_with_two_candidates_has_to_be_told_which(tmp_path):
    for folder in ("v1", "v2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "question.jsonl").write_text(json.dumps(ARENA_HARD))
    with pytest.raises(Unreadable, match=r"could be any of v1/question\.jsonl, v2/question\.jsonl"):
        list(benchmark_format("arena_hard").read(tmp_path))


def test_a_file_that_breaks_off_costs_its_rest_only(tmp_path):
    read_ = read(tmp_path, "csv", 'a\n1\n2\n"3\n', file="a.csv")
    assert [one.fields["a"] for one in read_ if isinstance(one, Item)] == ["1", "2"]
    assert [type(one) for one in read_] == [Item, Item, BadRow]


def test_an_unknown_format_is_told_which_there_are():
    with pytest.raises(Unreadable, match="no format 'glue'; there are: gsm8k, mmlu"):
        benchmark_format("glue")


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith(("json", "csv"))])
def test_every_benchmark_says_its_licence_and_its_official_counts(name):
    known = benchmark_format(name)
    assert known.licence
    assert known.counts[known.default_split] > 0
