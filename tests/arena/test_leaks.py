"""Answers that say who wrote them, and those that only seem to."""

from __future__ import annotations

import gzip
import json

import pytest

from arena.leaks import Identity, Said, Scanner

MISTRAL = Identity("Mistral 7B Instruct", "Mistral AI")
GPT = Identity("GPT-4o mini", "OpenAI", aliases=("o200k-small",))
SMALL = Identity("Small", "Apple")
NOBODY = Identity("Model 1", "Org")
EVERYBODY = Scanner([MISTRAL, GPT, SMALL, NOBODY])


@pytest.mark.parametrize(
    ("own", "text", "name"),
    [
        (MISTRAL, "I am Mistral 7B Instruct.", "Mistral 7B Instruct"),
        (MISTRAL, "Ask mistral-7b-instruct again.", "mistral-7b-instruct"),
        (MISTRAL, "Paris, by the way, is where Mistral AI sits.", "Mistral AI"),
        (GPT, "OpenAI's policies do not allow that.", "OpenAI"),
        (GPT, "As o200k-small I cannot say.", "o200k-small"),
        (GPT, "**OpenAI** made me", "OpenAI"),
        # A mistaken introduction is one, too.
        (MISTRAL, "I'm ChatGPT, how can I help?", "ChatGPT"),
        (MISTRAL, "Hello! I am a large language model, trained by Google.", "Google"),
        (MISTRAL, "As an AI developed by OpenAI, I have no opinions.", "OpenAI"),
        (MISTRAL, "I was created by a team at Anthropic to be helpful.", "Anthropic"),
        (MISTRAL, "I’m an AI assistant called Claude.", "Claude"),
        (MISTRAL, "As Claude, I try to be careful.", "Claude"),
        (MISTRAL, "My name is Bard.", "Bard"),
        (MISTRAL, "I'm based on GPT-4.", "GPT-4"),
        (MISTRAL, "Je suis ChatGPT.", "ChatGPT"),
        (MISTRAL, "Ich bin Claude, ein Modell.", "Claude"),
        (MISTRAL, "我是ChatGPT，很高兴认识你", "ChatGPT"),
        (MISTRAL, "我是Qwen。", "Qwen"),
        (SMALL, "I am Small, a model.", "Small"),
        (SMALL, "I was made by Apple.", "Apple"),
    ],
)
def test_an_answer_that_says_who_wrote_it(own, text, name):
    assert EVERYBODY.named(text, own) == name


@pytest.mark.parametrize(
    ("own", "text"),
    [
        (SMALL, "A small apple a day. Small steps count."),
        (SMALL, "Apple, Samsung and Google make phones."),
        (MISTRAL, "The mistral blows from the north-west."),
        (MISTRAL, "OpenAI, Anthropic and DeepMind publish papers."),
        (MISTRAL, "Claude Monet painted water lilies; Gemini is a sign of the zodiac."),
        (MISTRAL, "Android was developed by Google."),
        (MISTRAL, "I am fond of Monet. Claude was his first name."),
        (MISTRAL, "I am an AI language model, so I have no name."),
        (MISTRAL, "I metallise the phial; I am applied to opera."),  # names inside of words
        (NOBODY, "The organisation of the model 10 is good."),
        (NOBODY, ""),
    ],
)
def test_an_answer_that_does_not(own, text):
    assert EVERYBODY.named(text, own) is None


def test_what_the_person_named_first_tells_them_nothing():
    assert EVERYBODY.named("Yes, I'm ChatGPT.", MISTRAL, asked="Are you chatgpt?") is None
    assert EVERYBODY.named("I'm ChatGPT, by OpenAI.", GPT, asked="Are you ChatGPT?") == "OpenAI"


def test_a_name_counts_where_it_came_before_the_person_used_it():
    answers = {"a": "I am Claude.", "b": "I am an assistant."}
    sides = {"a": MISTRAL, "b": GPT}
    early = [Said("Who are you?", answers), Said("Claude, say more", {"a": "Yes.", "b": "Yes."})]
    late = [Said("Is Claude good?", {"a": "Yes.", "b": "Yes."}), Said("And you?", answers)]
    assert EVERYBODY.leaks(early, sides)
    assert not EVERYBODY.leaks(late, sides)


def test_either_side_may_leak():
    sides = {"a": MISTRAL, "b": GPT}
    assert EVERYBODY.leaks([Said("Hi", {"a": "Hi", "b": "OpenAI greets you"})], sides)
    assert not EVERYBODY.leaks([Said("Hi", {"a": "OpenAI has rivals", "b": "Hi"})], sides)


def test_a_hostile_answer_is_scanned_in_linear_time():
    """Openings of an introduction without an end, each as long as the cap of an answer."""
    for part in ("I am a large language model ", "as an ", "I was ", "GPT - - - ", "我是"):
        text = part * (64_000 // len(part))
        EVERYBODY.named(text, MISTRAL)


def test_answers_of_seventy_models_raise_no_false_alarm(shared_data):
    """None of these introduces itself; they speak of Google, Apple and coherentism."""
    with gzip.open(shared_data / "votes" / "llmfao_responses.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    identities = {row["model"]: Identity(row["model"], row["org"] or "") for row in rows}
    scanner = Scanner(identities.values())
    found = [
        scanner.named(row["response"], identities[row["model"]], row["prompt"]) for row in rows
    ]
    assert len(rows) > 1_000
    assert found == [None] * len(rows)


def test_of_a_chat_models_answers_a_few_in_a_thousand_leak(shared_data):
    folder = shared_data / "benchmarks" / "alpaca_eval"
    rows = json.loads((folder / "gpt4_1106_preview_model_outputs.json").read_text())
    gpt4 = Identity("GPT-4 Turbo", "OpenAI")
    scanner = Scanner([gpt4])
    leaks = sum(scanner.named(row["output"], gpt4, row["instruction"]) is not None for row in rows)
    assert 0.002 < leaks / len(rows) < 0.012
