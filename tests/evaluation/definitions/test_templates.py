"""Templates that are used, and templates that want more than a prompt."""

from __future__ import annotations

import pytest

from evaluation.definitions import templates
from evaluation.definitions.problems import Unrenderable
from evaluation.definitions.templates import BadTemplate, render

ITEM = {
    "question": "Which one? ",
    "choices": ["red", "blue"],
    "answer": 1,
    "long": "x" * 100_000,
    "nested": {"text": ["u", "v"], "label": ["A", "B"]},
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Q: {{question.strip()}}\nA:", "Q: Which one?\nA:"),
        ("{{choices[answer]}}\n", "blue\n"),
        ("{% for c in choices %}{{loop.index}}. {{c}}\n{% endfor %}", "1. red\n2. blue\n"),
        ("{{nested.text[nested.label.index('B')]}}", "v"),
        ("{{choices | join(', ')}}", "red, blue"),
        ("{{', '.join(choices)}}", "red, blue"),
        ("{{choices | map('upper') | list}}", "['RED', 'BLUE']"),
        ("{{question.replace('Which', 'What') | trim}}", "What one?"),
        ("{{question | regex_replace('[^a-z]', '')}}", "hichone"),
        ("{{ question.split(' ')[-2] if answer == 1 else 'none' }}", "one?"),
        ("{{ ['A', 'B', 'C', 'D'][answer] }}", "B"),
        ("{{ 'ab' * 3 }}{{ 2 ** 5 }}{{ answer + 1 }}", "ababab322"),
        ("{{ '<b>' }}", "<b>"),
    ],
)
def test_what_task_files_use_works(source, text):
    assert render(source, ITEM) == text


@pytest.mark.parametrize(
    "source",
    [
        "{{ question.__class__ }}",
        "{{ question.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ render.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ loop.__class__ }}",
        "{{ choices.append(3) }}",
        "{{ nested.update({'a': 1}) }}",
        "{{ question | attr('__class__') }}",
        "{{ choices | map(attribute='__class__') | join }}",
        "{{ cycler }}",
        "{{ lipsum() }}",
        "{{ range.__self__ }}",
        "{{ '{0.__class__}'.format(1) }}",
    ],
)
def test_nothing_of_python_can_be_reached(source):
    with pytest.raises((BadTemplate, Unrenderable)):
        render(source, ITEM)


def test_an_item_is_not_changed_by_its_template():
    render("{{ choices }}{{ nested.get('text') }}", ITEM)
    assert ITEM["choices"] == ["red", "blue"]


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * 'a' }}",
        "{{ [1] * 1000000000 }}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 100 }}",
        "{{ 99999999999 * 99999999999 }}",
        "{{ long.replace('x', long) }}",
        "{{ long | replace('x', long) }}",
        "{{ long.replace('', long) }}",
        "{{ ([long] * 100) | join(long) }}",
        "{{ long.join([long] * 100) }}",
        "{{ ''.join([long] * 100) }}",
        "{{ (['x' * 4000000] * 1000) | map('upper') | list | length }}",
        "{{ long.center(1000000000) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ range(1000000000) | list }}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
        "{% for a in long %}{{ long }}{% endfor %}",
        "{{ long | regex_replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') }}",
    ],
)
def test_a_template_cannot_ask_for_a_huge_text(source):
    with pytest.raises(Unrenderable):
        render(source, ITEM)


def test_a_pattern_that_would_run_for_ever_is_given_up():
    with pytest.raises(Unrenderable, match="takes too long"):
        render("{{ long | regex_replace('(x+x+)+y', '') }}", ITEM)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% set a = 1 %}", "line 1: {% set %} is not supported"),
        ("\n{% macro a() %}{% endmacro %}", "line 2: {% macro %} is not supported"),
        ("{% include 'x' %}", "line 1: {% include %} is not supported"),
        ("{% import 'x' as x %}", "line 1: {% import %} is not supported"),
        ("{% extends 'x' %}", "line 1: {% extends %} is not supported"),
        ("{% with a = 1 %}{% endwith %}", "line 1: {% with %} is not supported"),
        ("{% for a in b recursive %}{% endfor %}", "a recursive loop is not supported"),
        ("{{ question", "not a template: unexpected end of template"),
        ("{{ a | shell }}", "not a template: No filter named 'shell'"),
        ("{{ " + "(" * 300 + "1" + ")" * 300 + " }}", "a template nested too deeply"),
        ("x" * (templates.MAX_SOURCE + 1), "a template of more than 20000 characters"),
    ],
)
def test_what_is_no_template_here_is_refused_before_it_is_used(source, reason):
    with pytest.raises(BadTemplate) as refused:
        templates.compiled(source)
    assert str(refused.value).startswith(reason)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ qestion }}", "'qestion' is undefined"),
        ("{{ nested.txt }}", "has no attribute 'txt'"),
        ("{{ choices['a'] }}", "has no attribute 'a'"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ nested.label.index('Z') }}", "ValueError"),
    ],
)
def test_what_an_item_does_not_have_is_named(source, reason):
    with pytest.raises(Unrenderable) as refused:
        render(source, ITEM)
    assert reason in str(refused.value)


def test_renderings_have_budgets_of_their_own():
    source = "{{ 'a' * 3000000 }}"
    assert len(render("{{ ('a' * 1000000) | length }}", ITEM)) == 7
    with pytest.raises(Unrenderable):
        render(source, ITEM)  # made once, and written once more
    assert render("{{ answer }}", ITEM) == "1"


def test_a_rendering_has_a_time_limit(monkeypatch):
    monkeypatch.setattr(templates, "TIME_LIMIT", 0)
    with pytest.raises(Unrenderable, match="takes more than 0 seconds"):
        render("{% for c in choices %}{% endfor %}", ITEM)


def test_many_slow_patterns_share_the_time_of_the_rendering(monkeypatch):
    monkeypatch.setattr(templates, "TIME_LIMIT", 0.05)
    slow = "{% for c in range(1000) %}{{ long | regex_replace('(x+x+)+y', '') }}{% endfor %}"
    with pytest.raises(Unrenderable, match="takes"):
        render(slow, ITEM)
