"""IFEval's verifiers: what each asks, and what it lets pass."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scorers import Response, scorer
from evaluation.scorers.ifeval import VERIFIERS, accuracies, follows, variants
from evaluation.scorers.languages import language_of
from evaluation.scorers.sentences import sentences

IFEVAL = scorer("ifeval")

CASES = [
    ("keywords:existence", {"keywords": ["Mom", "tea"]}, "My mommy drinks Tea", "My mom"),
    ("keywords:frequency", {"keyword": "war", "frequency": 2, "relation": "at least"},
     "War and warriors", "War and peace"),
    ("keywords:frequency", {"keyword": "war", "frequency": 2, "relation": "less than"},
     "War and peace", "War and warriors"),
    ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, "A rocket", "A Rock."),
    ("keywords:letter_frequency", {"letter": "Q", "let_frequency": 2, "let_relation": "at least"},
     "Quick quiz", "Quick"),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "at least"},
     "## A", "# A"),
    ("language:response_language", {"language": "de"},
     "Der schnelle braune Fuchs springt über den faulen Hund.", "The fox jumps over the dog."),
    ("language:response_language", {"language": "hi"}, "यह एक छोटा सा वाक्य है।", "A sentence."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"},
     "Dr. No came. He left!", "Mr. No came at 3 p.m. today"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"},
     "We have 3.5 kg, e.g. of rice.", "One. Two."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2},
     "One\n***\nTwo\n***", "One\n***\n\n***\nTwo"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"},
     "I don't", "Two words"),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "summary"},
     'One.\n\n"Summary": all.', "One.\n\nIn summary."),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "one"},
     "One.\n\nTwo.", "One.\n\nTwo.\n\nThree."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2},
     "[name] of [city]", "[name\n] and []["),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"},
     "Bye\nP. P. S: tea", "P.S. tea"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye\np.s. tea", "PS tea"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2},
     "* one\n  - two\n**bold**", "* one\n* two\n* three"),
    ("detectable_format:constrained_response", {}, "Well. My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2},
     "*one* and **two**", "*one* and **"),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2},
     "SECTION 1\na\nSECTION 2\nb", "SECTION one\nSECTION 2"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "Here: {}"),
    ("detectable_format:title", {}, "<<Tea>>\nIt is hot.", "<< >>\n<Tea>"),
    ("combination:two_responses", {}, "One.\n******\nTwo.", "One.\n******\nOne."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write a poem."},
     "write a poem. Roses", "Sure. Write a poem."),
    ("startend:end_checker", {"end_phrase": "Peace!"}, 'He said "so. peace!"', "Peace! Bye."),
    ("startend:quotation", {}, ' "All of it." ', '"'),
    ("change_case:capital_word_frequency",
     {"capital_frequency": 3, "capital_relation": "at least"}, "I'M NOT here", "I AM here"),
    ("change_case:english_capital", {}, "THIS IS A SHORT SENTENCE.", "This is a sentence."),
    ("change_case:english_lowercase", {}, "this is a short sentence.", "This is a sentence."),
    ("punctuation:no_comma", {}, "One; two", "One, two"),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "arguments", "good", "bad"), CASES)
def test_an_instruction_is_followed_or_not(instruction, arguments, good, bad):
    assert follows(instruction, arguments, good)
    assert not follows(instruction, arguments, bad)


def test_every_instruction_has_a_case():
    assert {case[0] for case in CASES} == set(VERIFIERS)
    assert len(VERIFIERS) == 25


@pytest.mark.parametrize("instruction", VERIFIERS)
def test_an_empty_response_follows_nothing(instruction):
    assert not follows(instruction, {}, " \n")


def test_the_loose_reading_forgives_an_opening_a_farewell_and_asterisks():
    item = {
        "instruction_id_list": ["startend:quotation", "punctuation:no_comma"],
        "kwargs": [{}, {}],
    }

    score = IFEVAL(Response('Sure, here:\n**"All of it."**\nBye, now.'), item)

    assert score.value == 0.0
    assert score.details["strict"] == [False, False]
    assert score.details["loose"] == [True, True]


def test_there_are_eight_readings_and_the_first_is_the_text():
    assert variants("a\n*b*\nc") == [
        "a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*", "a\nb\nc", "b\nc", "a\nb", "b",
    ]  # fmt: skip


def test_the_four_accuracies_weigh_prompts_or_instructions():
    def score(text, *instructions):
        item = {"instruction_id_list": list(instructions), "kwargs": [{}] * len(instructions)}
        return IFEVAL(Response(text), item)

    scores = [
        score("One; two", "punctuation:no_comma"),
        score("One, two", "punctuation:no_comma", "startend:quotation", "detectable_format:title"),
    ]

    assert accuracies(scores) == {
        "prompt_level_strict_acc": 0.5,
        "inst_level_strict_acc": 0.25,
        "prompt_level_loose_acc": 0.5,
        "inst_level_loose_acc": 0.25,
    }


def test_the_value_is_the_metric_that_was_asked_for():
    item = {
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
        "kwargs": [{}, {}],
    }

    assert IFEVAL(Response("One"), item, {"metric": "inst_level_strict_acc"}).value == 0.5
    with pytest.raises(ValueError, match="ifeval measures prompt_level_strict_acc"):
        IFEVAL.check({"metric": "accuracy"})


@pytest.mark.parametrize(
    ("instruction", "arguments", "complaint"),
    [
        ("keywords:rhyme", {}, "no IFEval instruction 'keywords:rhyme'"),
        ("keywords:existence", {}, "keywords:existence: .*keywords"),
        ("length_constraints:number_words", {"num_words": 3, "relation": "around"}, "no relation"),
    ],
)
def test_a_faulty_instruction_is_the_tasks_fault(instruction, arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        follows(instruction, arguments, "a b c")


def official(shared_data):
    lines = (shared_data / "benchmarks/ifeval/input_data.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_official_instruction_can_be_verified(shared_data):
    verdicts = [
        kept
        for item in official(shared_data)
        for kept in IFEVAL(Response("A short answer, in English."), item).details["loose"]
    ]

    assert len(verdicts) == 834
    assert 0 < sum(verdicts) < 834


@given(st.text(alphabet="ab *[]<>\n\"'.,-P?SECTION1`{}", max_size=200))
def test_no_text_makes_a_verifier_raise(text):
    for instruction, arguments, *_ in CASES:
        follows(instruction, arguments, text)


@pytest.mark.parametrize("unit", ["[", "<<", "*", "\n", " ", "p.", "- \n", "a.", '"', "***", "#"])
def test_a_long_monotonous_text_is_verified_in_linear_work(unit):
    # Quadratic work on 300,000 characters would run into the suite's time limit.
    text = unit * (300_000 // len(unit))

    for instruction, arguments, *_ in CASES:
        if "language" not in instruction and "english" not in instruction:
            follows(instruction, arguments, text)


# Sentences and languages ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("No stop", 1),
        ("One. Two! Three?", 3),
        ("Really?! Yes.", 2),
        ('He said "no." She left.', 2),
        ("Mr. J. Smith of the U.S. army paid $3.50, i.e. little.", 1),
        ("Wait... what? Wait... What?", 3),
        ("all small. still two.", 2),
        ("See example.com for more. Bye.", 2),
        ("第一句。第二句！", 2),
        ("यह एक है। यह दो है।", 2),
        ("...", 0),
        ("Line one\nline two.", 1),
    ],
)
def test_sentences_are_counted(text, count):
    assert len(sentences(text)) == count


@given(st.text(alphabet="aB .!?…\"')\n1", max_size=100))
def test_splitting_loses_no_letter(text):
    letters = [c for c in text if c.isalnum()]

    assert [c for sentence in sentences(text) for c in sentence if c.isalnum()] == letters


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("kn", "ಇದು ಒಂದು ಸಣ್ಣ ವಾಕ್ಯ. ನಾನು ಪ್ರತಿದಿನ ಶಾಲೆಗೆ ಹೋಗುತ್ತೇನೆ."),
        ("mr", "मी दररोज सकाळी लवकर उठतो आणि शाळेत जातो. माझे नाव राहुल आहे."),
        ("vi", "Tôi thích uống cà phê vào mỗi buổi sáng trước khi đi làm."),
        ("ko", "저는 매일 아침 커피를 마시는 것을 좋아합니다."),
        ("sw", "Ninapenda kunywa chai kila asubuhi kabla ya kwenda kazini kwangu."),
        ("pa", "ਮੈਂ ਹਰ ਰੋਜ਼ ਸਵੇਰੇ ਸਕੂਲ ਜਾਂਦਾ ਹਾਂ।"),
        ("fa", "من هر روز صبح قبل از رفتن به کار چای می‌نوشم."),
        ("ru", "Каждое утро я пью чай перед работой."),
        ("bg", "Всяка сутрин пия чай, преди да отида на работа, и чета вестник."),
        ("pt", "Eu gosto de beber café todas as manhãs antes de ir trabalhar."),
        ("gu", "હું દરરોજ સવારે શાળાએ જાઉં છું."),
        ("te", "నేను ప్రతిరోజూ ఉదయం పాఠశాలకు వెళ్తాను."),
        ("it", "Mi piace bere il caffè ogni mattina prima di andare al lavoro."),
        ("ar", "أحب أن أشرب القهوة كل صباح قبل الذهاب إلى العمل."),
        ("ta", "நான் தினமும் காலையில் பள்ளிக்குச் செல்கிறேன்."),
        ("fi", "Juon kahvia joka aamu ennen kuin lähden töihin."),
        ("ur", "میں ہر روز صبح کام پر جانے سے پہلے چائے پیتا ہوں۔"),
        ("th", "ฉันชอบดื่มกาแฟทุกเช้าก่อนไปทำงาน"),
        ("ne", "नेपाल एक सुन्दर देश हो। यहाँ धेरै हिमालहरू छन् र मानिसहरू मिलेर बस्छन्।"),
        ("bn", "আমি প্রতিদিন সকালে কাজে যাওয়ার আগে চা পান করি।"),
        ("de", "Ich trinke jeden Morgen Kaffee, bevor ich zur Arbeit gehe."),
        ("hi", "मैं हर सुबह काम पर जाने से पहले चाय पीता हूँ।"),
        ("en", "THIS IS WRITTEN IN CAPITAL LETTERS FROM BEGINNING TO END."),
    ],
)
def test_the_languages_of_the_data_are_told_apart(code, text):
    assert language_of(text) == code


def test_a_text_without_a_letter_is_in_no_language():
    assert language_of("1 + 1 = 2 ***") is None
