import numpy as np
import pytest

from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import Outcome, PairCounts
from leaderboard.ratings.fit import ELO_PER_LOG_ODDS
from leaderboard.ratings.needs import pair_needs
from leaderboard.ratings.simulate import draw_population

from .synthetic import random_counts

MANY = 1_000_000


def even(pairs, models):
    """Counts in which each of the pairs has this many votes, half of them for either."""
    counts = PairCounts(models)
    for (a, b), n in pairs.items():
        counts.add(a, b, Outcome.FIRST, n // 2)
        counts.add(a, b, Outcome.SECOND, n // 2)
    return counts


def test_needs_are_symmetric_positive_and_none_with_oneself():
    needs = pair_needs(random_counts(1))
    assert np.array_equal(needs, needs.T)
    assert (needs[~np.eye(len(needs), dtype=bool)] > 0).all()
    assert not np.diagonal(needs).any()


def test_a_pair_alone_needs_what_equation_9_says():
    """Two equal models with n votes between them, and a prior so wide that it says nothing."""
    for n in (10, 1_000):
        need = pair_needs(even({("a", "b"): n}, "ab"), prior_sd=1e5)[0, 1]
        variance = 4.0  # 1 / (p (1 - p)) of a single vote, at p = 1/2
        assert need == pytest.approx(np.sqrt(variance / n) - np.sqrt(variance / (n + 1)), rel=1e-4)


def test_need_is_the_fall_of_the_published_standard_error():
    """On counts of every pair the prior hardly matters, and the ratings' own intervals agree."""
    counts = random_counts(3, models=6, votes=60_000)
    counts = PairCounts(counts.models, counts.wins)  # half wins vary less, as the ratings know
    fit = fit_bt(counts)
    for a, b in ((0, 1), (2, 5)):
        error = fit.diff(a, b).standard_error / ELO_PER_LOG_ODDS
        told = error**2 * fit.win_prob(a, b) * (1 - fit.win_prob(a, b))
        fall = error - error / np.sqrt(1 + told)
        assert pair_needs(counts)[a, b] == pytest.approx(fall, rel=0.1)


def test_a_model_without_votes_needs_them_most():
    needs = pair_needs(even({("a", "b"): 500, ("b", "c"): 500, ("a", "c"): 500}, "abcd"))
    assert needs[:3, :3].max() < needs[3, :3].min() / 100


def test_votes_on_other_pairs_tell_about_a_pair_that_never_met():
    links = {("a", "b"): 400, ("b", "c"): 400}
    needs = pair_needs(even(links, "abcd"))
    assert needs[0, 1] < needs[0, 2] < needs[0, 3] / 100


def test_an_unequal_pair_tells_less_than_an_equal_one():
    counts = even({("a", "b"): 200, ("a", "c"): 200, ("b", "c"): 200}, "abc")
    lopsided = even({("a", "b"): 200}, "abc")
    lopsided.add("a", "c", Outcome.FIRST, 200)
    lopsided.add("b", "c", Outcome.FIRST, 200)
    assert pair_needs(counts)[0, 1] == pytest.approx(pair_needs(counts)[0, 2])
    assert pair_needs(lopsided)[0, 2] > pair_needs(counts)[0, 2]  # its distance is less certain


def test_a_model_that_has_only_won_has_a_finite_need():
    counts = even({("a", "b"): 100}, "abc")
    counts.add("c", "a", Outcome.FIRST, 30)
    assert np.isfinite(pair_needs(counts)).all()


@pytest.mark.parametrize("models", ["", "a"])
def test_fewer_than_two_models_have_no_pairs(models):
    assert pair_needs(PairCounts(models)).shape == (len(models), len(models))


# --- the effect --------------------------------------------------------------------------------


class Campaign:
    """Votes on a population that come in by the sampler's odds."""

    def __init__(self, *, models, seed, active, floor=0.25):
        self.size, self.active, self.floor = models, active, floor
        population = draw_population(models, seed=seed, spread=150)
        wins, ties = population.outcome_probabilities()
        self.pairs = np.triu_indices(models, k=1)
        self.outcomes = np.stack([wins[self.pairs], wins.T[self.pairs], ties[self.pairs]], axis=1)
        self.rng = np.random.default_rng(seed)
        self.counts = PairCounts(range(models))

    def vote(self, votes, chances):
        drawn = self.rng.multinomial(votes, chances / chances.sum())
        first, second, tied = self.rng.multinomial(drawn, self.outcomes).T
        i, j = self.pairs
        self.counts.wins[i, j] += first
        self.counts.wins[j, i] += second
        self.counts.ties[i, j] += tied
        self.counts.ties[j, i] += tied

    def votes_until(self, width, *, batch):
        """Votes in batches, the odds worked out anew before each, until no interval is wider."""
        votes, alike = 0, np.full(len(self.pairs[0]), 1 / len(self.pairs[0]))
        while votes == 0 or not (self.widths() <= width).all():
            chances = alike
            if self.active:
                needs = pair_needs(self.counts)[self.pairs]
                chances = self.floor * alike + (1 - self.floor) * needs / needs.sum()
            self.vote(batch, chances)
            votes += batch
            assert votes < MANY
        return votes

    def widths(self):
        interval = fit_bt(self.counts).interval()
        return interval.upper - interval.lower


def test_a_newcomer_is_known_with_far_fewer_votes_when_the_sampler_is_active():
    """It joins nineteen that share 20,000 votes; until no interval is wider than 45 Elo."""
    needed = {}
    for active in (False, True):
        needed[active] = 0
        for seed in range(5):
            campaign = Campaign(models=20, seed=seed, active=active)
            known = (campaign.pairs[1] < 19).astype(float)
            campaign.vote(20_000, known)
            needed[active] += campaign.votes_until(45.0, batch=250)
    assert needed[True] < 0.4 * needed[False]


def test_from_an_even_start_the_active_sampler_is_no_worse():
    needed = {
        active: sum(
            Campaign(models=12, seed=seed, active=active).votes_until(60.0, batch=200)
            for seed in range(8)
        )
        for active in (False, True)
    }
    assert needed[True] < 1.05 * needed[False]
