"""The letter a model chose."""

from __future__ import annotations

import json

import pytest

from evaluation.scorers import Response, scorer

CHOICE = scorer("multiple_choice")
ANIMALS = {"choices": ["a cat", "a dog", "a dog and a cat", "none"], "target": "B"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("answer: (b) no: Answer: B", "B"),
        ("**Answer:** B", "B"),
        ("**Answer: B**", "B"),
        ("The correct answer is (B).", "B"),
        ("The answer is option B, since A is wrong.", "B"),
        ("The answer is A because it purrs.", "A"),
        ("First I thought the answer is C. The answer is B.", "B"),
        (r"So \boxed{B}", "B"),
        (r"\boxed{\text{(B)}}", "B"),
        ("Not (A), rather (B)", "B"),
        ("B", "B"),
        ("b", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("B) a dog", "B"),
        ("2", "B"),
        ("Answer: 2", "B"),
        ("It barks.\n\nB", "B"),
        ("It must be a dog.", "B"),
        ("Clearly a dog and a cat", "C"),
    ],
)
def test_the_letter_is_read(text, letter):
    assert CHOICE(Response(text), ANIMALS).answer == letter


@pytest.mark.parametrize(
    "text", ["", "I am not sure.", "a cat? none? who knows", "The answer is a matter of taste."]
)
def test_an_answer_that_names_no_choice_is_wrong_and_unparsed(text):
    score = CHOICE(Response(text), ANIMALS)

    assert (score.value, score.unparsed) == (0.0, True)


@pytest.mark.parametrize("target", ["B", "(B)", "b", 1, "2", "a dog"])
def test_the_target_is_a_label_an_index_or_a_text(target):
    assert CHOICE(Response("(B)"), {**ANIMALS, "target": target}).value == 1.0


def test_labels_may_be_digits():
    item = {"choices": ["x", "y"], "labels": ["1", "2"], "target": "2"}

    assert CHOICE(Response("Answer: 2"), item).value == 1.0


def test_more_than_four_choices_have_letters_too():
    item = {"choices": list("klmnopqrst"), "target": 9}

    assert CHOICE(Response("The answer is (J)."), item).value == 1.0


def test_a_target_that_is_no_choice_is_a_fault_of_the_task():
    with pytest.raises(ValueError, match="target 'E' names none of the choices A, B, C, D"):
        CHOICE(Response("B"), {**ANIMALS, "target": "E"})


def test_arc_answers_are_read_from_each_of_the_usual_forms(shared_data):
    read = wrong = 0
    for line in (shared_data / "benchmarks/arc/ARC-Challenge-Dev.jsonl").read_text().splitlines():
        row = json.loads(line)
        choices = row["question"]["choices"]
        item = {
            "choices": [c["text"] for c in choices],
            "labels": [c["label"] for c in choices],
            "target": row["answerKey"],
        }
        gold = next(c["text"] for c in choices if c["label"] == row["answerKey"])
        for text in (f"Answer: {row['answerKey']}", f"({row['answerKey']}) {gold}", gold):
            read += 1
            wrong += CHOICE(Response(text), item).value != 1.0

    assert (read, wrong) == (882, 0)
