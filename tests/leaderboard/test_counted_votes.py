import numpy as np
import pytest

from leaderboard import counted_votes
from leaderboard.models import Category, PairCount, VoteFeatures
from leaderboard.tally import settling
from tests.leaderboard.imported import imported_votes

pytestmark = pytest.mark.django_db


@pytest.fixture
def votes():
    made = imported_votes(90)
    settling.settle_all()
    return made


def test_each_category_has_the_votes_that_its_pair_counts_hold(votes):
    Category.objects.create(slug="rather-long", name="Long", rule={"min": {"prompt_tokens": 20}})
    Category.objects.create(
        slug="middling", name="Middling", rule={"min": {"prompt_tokens": 5}, "max": {"turns": 1}}
    )
    for vote, tokens in zip(VoteFeatures.objects.order_by("pk"), range(90), strict=True):
        VoteFeatures.objects.filter(pk=vote.pk).update(prompt_tokens=tokens)
    read = counted_votes.read(Category.objects.all())
    assert read.table.first.size == 90
    assert read.of(Category.objects.get(slug="overall").pk).all()
    assert read.of(Category.objects.get(slug="rather-long").pk).tolist() == [
        tokens >= 20 for tokens in range(90)
    ]
    middling = read.of(Category.objects.get(slug="middling").pk)
    turns = np.array(VoteFeatures.objects.order_by("pk").values_list("turns", flat=True))
    assert middling.tolist() == ((np.arange(90) >= 5) & (turns <= 1)).tolist()
    for category in Category.objects.exclude(slug__in=["rather-long", "middling"]):
        if "prompt_tokens" not in str(category.rule):
            counted = PairCount.objects.filter(category=category).values_list("n", flat=True)
            assert read.of(category.pk).sum() == sum(counted), category


def test_the_longest_of_answers_is_read_to_the_token(votes):
    longest = VoteFeatures.objects.order_by("pk")[40]
    VoteFeatures.objects.filter(pk=longest.pk).update(tokens_a=70_001)
    styles = counted_votes.read(Category.objects.all()).table.styles
    assert styles[40, 0, 0] == 70_001
    assert styles.max() == 70_001


def test_no_votes_are_read_as_none():
    read = counted_votes.read(Category.objects.all())
    assert read.table.first.size == 0
    assert read.of(Category.objects.get(slug="overall").pk).tolist() == []
