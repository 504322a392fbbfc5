"""Quantised siblings side by side."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from leaderboard import covariance
from leaderboard.board.families import families
from tests import factories
from tests.evaluation import factories as evaluation
from tests.leaderboard.boards import published

pytestmark = pytest.mark.django_db

WORDS = [f"word{number}" for number in range(20)]


def sibling(quantisation: str, **fields):
    name = f"X 7B {quantisation}".strip()
    return factories.contestant(name=name, quantisation=quantisation, parameters="7B", **fields)


def test_each_is_set_against_the_one_with_the_most_bits():
    small, large = sibling("Q2_K", memory_gb=3.1), sibling("Q8_0")
    factories.contestant(name="Other")
    (family,) = families()
    assert family.name == "X 7B"
    assert [member.model for member in family.members] == [large, small]
    assert [member.bits for member in family.members] == [8, 2]


def test_the_rating_difference_has_the_interval_of_the_difference():
    large, small = sibling("Q8_0"), sibling("Q2_K")
    names = [large.name, small.name]
    packed = covariance.pack(names, np.array([[9.0, 4.0], [4.0, 16.0]]))
    published([large, small], covariance=packed)
    (family,) = families()
    gap = family.members[1].gap
    error = (9 + 16 - 2 * 4) ** 0.5
    assert gap.difference == pytest.approx(-10)
    assert (gap.lower, gap.upper) == pytest.approx((-10 - 1.96 * error, -10 + 1.96 * error), 0.001)
    assert gap.clear
    assert family.members[0].gap is None


def test_the_benchmark_difference_is_paired():
    large, small = sibling("Q8_0"), sibling("Q2_K")
    task = evaluation.task(evaluation.dataset(WORDS), publish={"column": "Say it"})
    evaluation.answered_run(WORDS, task=task, contestant=large)
    evaluation.answered_run([*WORDS[:12], *["no"] * 8], task=task, contestant=small)
    (family,) = families()
    (cell,) = family.members[1].cells
    assert (cell.column.title, cell.result.value) == ("Say it", 0.6)
    assert cell.difference == pytest.approx(-0.4)
    assert cell.lower < cell.difference < cell.upper < 0
    assert cell.gap.clear


def test_speed_is_that_of_writing_in_battles():
    large, _ = sibling("Q8_0"), sibling("Q2_K")
    battle = factories.battle(contestant_a=large)
    answer = battle.turns.get().answers.get(slot="a")
    answer.output_tokens, answer.first_token_ms, answer.duration_ms = 100, 500, 2_500
    answer.save()
    (family,) = families()
    assert [member.tokens_per_second for member in family.members] == [pytest.approx(50), None]


def test_hidden_siblings_are_not_named(client):
    sibling("Q8_0")
    sibling("Q2_K", status="preview")
    assert families() == []
    page = client.get("/leaderboard/families/").content.decode()
    assert "Q2_K" not in page.replace("Q4_K_M", "")
    assert "No model is listed in two quantisations yet" in page


def test_the_page_shows_a_family(client):
    sibling("Q8_0", memory_gb=8.1)
    sibling("Q2_K")
    page = client.get("/leaderboard/families/").content.decode()
    for part in ("X 7B Q8_0", "X 7B Q2_K", "8.1 GB", "what the others are set against"):
        assert part in page


def test_the_queries_do_not_grow_with_the_families():
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            families()
        return len(captured)

    task = evaluation.task(evaluation.dataset(WORDS), publish={"column": "Say it"})

    def another(name: str) -> None:
        for quantisation in ("Q8_0", "Q2_K"):
            model = factories.contestant(name=f"{name} {quantisation}", quantisation=quantisation)
            evaluation.answered_run(WORDS, task=task, contestant=model)

    another("X")
    few = queries()
    another("Y")
    another("Z")
    assert queries() <= few


def test_a_models_page_leads_to_its_family(client):
    large, small = sibling("Q8_0"), sibling("Q2_K")
    sibling("Q4_K_M", status="preview")
    alone = factories.contestant(name="Other")
    page = client.get(f"/leaderboard/models/{small.slug}/").content.decode()
    said = page.partition('<p class="siblings">')[2].partition("</p>")[0]
    assert f'href="/leaderboard/models/{large.slug}/"' in said
    assert f'href="/leaderboard/families/#{large.slug}"' in said
    assert "Q4_K_M" not in said
    assert f'id="{large.slug}"' in client.get("/leaderboard/families/").content.decode()
    page = client.get(f"/leaderboard/models/{alone.slug}/").content.decode()
    assert 'class="siblings"' not in page
