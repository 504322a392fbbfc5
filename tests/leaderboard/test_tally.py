import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from arena import votes
from arena.models import Answer, Battle, Turn, Vote
from leaderboard import categories
from leaderboard.models import OVERALL, Category, PairCount, VoteFeatures
from leaderboard.tally import checking, pair_counts, refusals, settling
from tests import factories

pytestmark = pytest.mark.django_db


def counts(slug=OVERALL):
    return {
        (c.lo_id, c.hi_id, c.outcome): c.n
        for c in PairCount.objects.filter(n__gt=0, category__slug=slug)
    }


def test_the_winner_is_the_model_whichever_side_it_sat_on():
    one, two = factories.contestant(), factories.contestant()
    factories.vote("a", contestant_a=one, contestant_b=two)
    factories.vote("b", contestant_a=two, contestant_b=one)
    factories.vote("a", contestant_a=two, contestant_b=one)
    assert settling.settle() == 3
    assert counts() == {(one.pk, two.pk, "lo"): 2, (one.pk, two.pk, "hi"): 1}


def test_both_kinds_of_tie_are_kept_apart():
    one, two = factories.contestant(), factories.contestant()
    for choice in ("tie", "both_bad", "both_bad"):
        factories.vote(choice, contestant_a=two, contestant_b=one)
    settling.settle_all()
    assert counts() == {(one.pk, two.pk, "tie"): 1, (one.pk, two.pk, "both_bad"): 2}


def test_settling_again_counts_nothing_twice():
    vote = factories.vote()
    assert settling.settle_all() == 1
    assert settling.settle_all() == 0
    vote.refresh_from_db()
    assert (vote.status, vote.tallied, vote.tally_due) == (Vote.Status.COUNTED, True, False)
    assert sum(counts().values()) == 1


def test_due_votes_are_claimed_without_a_walk_through_the_features_of_all_others(
    django_assert_max_num_queries,
):
    made = [factories.vote() for _ in range(3)]
    settling.settle_all()
    for vote in made:
        votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    with django_assert_max_num_queries(40) as captured:
        settling.settle_all()
    features = VoteFeatures._meta.db_table
    reads = [query["sql"] for query in captured if f'FROM "{features}"' in query["sql"]]
    assert len(reads) == 1
    assert " IN (" in reads[0]
    # PostgreSQL merges a joined table from its first row on, batch after batch.
    assert not any(f'JOIN "{features}"' in query["sql"] for query in captured)


def test_an_excluded_vote_leaves_the_counts_and_comes_back_when_restored():
    vote = factories.vote()
    settling.settle_all()
    votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    settling.settle_all()
    assert counts() == {}
    votes.restore(vote_id=vote.pk)
    settling.settle_all()
    assert sum(counts().values()) == 1
    assert checking.differences() == {}


def test_a_vote_excluded_before_it_was_counted_never_counts():
    vote = factories.vote()
    votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    assert settling.settle_all() == 1
    assert counts() == {}


def test_a_held_vote_does_not_count_until_it_is_restored():
    vote = factories.vote()
    votes.hold(vote_id=vote.pk)
    settling.settle_all()
    assert counts() == {}
    votes.restore(vote_id=vote.pk)
    settling.settle_all()
    assert sum(counts().values()) == 1


def test_a_failure_in_the_middle_leaves_neither_count_nor_mark(monkeypatch):
    factories.vote()
    monkeypatch.setattr(pair_counts, "apply", lambda changes: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        settling.settle()
    monkeypatch.undo()
    assert settling.settle_all() == 1
    assert sum(counts().values()) == 1


def test_a_drifted_cache_is_found_and_corrected():
    factories.vote()
    factories.vote("tie")
    settling.settle_all()
    PairCount.objects.filter(outcome="tie", category__slug=OVERALL).update(n=5)
    assert list(checking.differences().values()) == [(5, 1)]
    categories.correct()
    assert checking.differences() == {}


def test_the_database_refuses_a_negative_count():
    factories.vote()
    settling.settle_all()
    with pytest.raises(IntegrityError):
        PairCount.objects.update(n=-1)


# --- categories ---------------------------------------------------------------------------------


def says(vote, prompt, a="Yes.", b="No."):
    """The text of a vote's first turn."""
    turn = Turn.objects.get(battle=vote.battle, number=1)
    Turn.objects.filter(pk=turn.pk).update(prompt=prompt)
    Answer.objects.filter(turn=turn, slot="a").update(text=a)
    Answer.objects.filter(turn=turn, slot="b").update(text=b)
    return vote


EVERYBODYS = {"overall", "with-identity-leaks"}  # categories of every counted vote


def slugs_of(vote):
    """The categories that hold a vote which is alone in its pair."""
    lo = min(vote.battle.contestant_a_id, vote.battle.contestant_b_id)
    return set(PairCount.objects.filter(lo=lo, n__gt=0).values_list("category__slug", flat=True))


def test_a_vote_counts_in_every_category_its_texts_and_outcome_belong_to():
    code = says(factories.vote("tie"), "Schreibe eine Funktion in Python, die Zahlen sortiert.")
    poem = says(
        factories.vote("a"), "Write a poem about rain.", a="I'm sorry, but I can't do that."
    )
    settling.settle_all()
    assert slugs_of(code) == EVERYBODYS | {"coding", "german", "no-refusal"}
    assert slugs_of(poem) == EVERYBODYS | {"creative-writing", "english", "exclude-ties"}


def test_a_vote_leaves_every_category_it_was_counted_in():
    vote = says(factories.vote("a"), "Write a poem about rain.")
    settling.settle_all()
    says(vote, "Solve 2x + 3 = 7.")  # what was stored when it was counted decides
    votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    settling.settle_all()
    assert slugs_of(vote) == set()
    assert checking.differences() == {}


def test_features_are_of_the_turns_that_were_judged():
    vote = says(factories.vote(), "Hello, how are you today?", a="**Fine**, thanks.")
    Turn.objects.create(
        battle=vote.battle, number=2, prompt="Write a poem.", heartbeat_at=vote.created_at
    )
    settling.settle_all()
    features = VoteFeatures.objects.get(vote=vote)
    assert (features.turns, features.language, features.creative) == (1, "en", False)
    assert (features.bold_a, features.bold_b) == (1, 0)


def imported(choice="a", **fields):
    battle = factories.imported_battle(**fields)
    return Vote.objects.create(battle=battle, choice=choice, turn=2)


def test_an_imported_vote_without_text_counts_where_its_outcome_and_turns_say():
    vote = imported("tie")
    settling.settle_all()
    assert slugs_of(vote) == EVERYBODYS | {"multi-turn", "no-refusal"}
    assert vote.features.tokens_a is None
    assert vote.features.prompt_key == ""


def test_features_that_came_with_an_import_are_kept():
    vote = imported()
    VoteFeatures.objects.create(vote=vote, language="ja", turns=1, math=True)
    settling.settle_all()
    assert slugs_of(vote) == EVERYBODYS | {"math", "japanese", "exclude-ties", "no-refusal"}


@pytest.mark.parametrize("mode", [Battle.Mode.SIDE_BY_SIDE])
def test_a_vote_on_named_models_is_excluded_even_when_it_says_it_is_pending(mode):
    vote = factories.vote(mode=mode)
    settling.settle_all()
    vote.refresh_from_db()
    assert (vote.status, vote.exclusion_reason) == ("excluded", "names_shown")
    assert counts() == {}


def test_the_number_of_queries_does_not_grow_with_the_votes(django_assert_max_num_queries):
    for number in range(25):
        says(factories.vote(), f"Write a poem about the number {number}.")
    with django_assert_max_num_queries(20):
        assert settling.settle() == 25


def test_a_batch_that_adds_and_takes_away_does_both():
    one, two = factories.contestant(), factories.contestant()
    first = factories.vote("a", contestant_a=one, contestant_b=two)
    settling.settle_all()
    votes.exclude(vote_id=first.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    factories.vote("b", contestant_a=one, contestant_b=two)
    factories.vote("tie", contestant_a=one, contestant_b=two)
    settling.settle_all()
    assert counts() == {(one.pk, two.pk, "hi"): 1, (one.pk, two.pk, "tie"): 1}
    assert checking.differences() == {}


def test_taking_away_what_is_not_there_fails_and_changes_nothing():
    vote = factories.vote()
    settling.settle_all()
    PairCount.objects.all().delete()
    votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    with pytest.raises(IntegrityError, match="holds no votes"):
        settling.settle()
    vote.refresh_from_db()
    assert (vote.tallied, vote.tally_due) == (True, True)


# --- repeated prompts ---------------------------------------------------------------------------


def test_of_many_votes_on_one_prompt_so_many_count(monkeypatch):
    monkeypatch.setattr(refusals, "REPEATS", 3)
    one, two = factories.contestant(), factories.contestant()
    pasted = [
        says(factories.vote(contestant_a=one, contestant_b=two), prompt)
        for prompt in ("Who are you?", "who are  you?", "WHO ARE YOU?", "Who are you?\n")
    ]
    for _ in range(3):  # other prompts than these are as ever
        factories.vote(contestant_a=one, contestant_b=two)
    settling.settle_all()
    assert sum(counts().values()) == 6
    pasted[-1].refresh_from_db()
    assert (pasted[-1].status, pasted[-1].exclusion_reason) == ("excluded", "repeated_prompt")

    later = says(factories.vote(contestant_a=one, contestant_b=two), "Who are you?")
    settling.settle_all()
    later.refresh_from_db()
    assert later.exclusion_reason == "repeated_prompt"

    votes.exclude(vote_id=pasted[0].pk, reason=Vote.Exclusion.ADMINISTRATOR)
    settling.settle_all()
    votes.restore(vote_id=later.pk)
    settling.settle_all()
    later.refresh_from_db()
    assert later.status == Vote.Status.COUNTED  # there is room again


def test_the_limit_on_a_prompt_grows_with_the_votes(monkeypatch):
    monkeypatch.setattr(refusals, "REPEATS", 1)
    monkeypatch.setattr(refusals, "REPEATS_PER_VOTE", 2)
    for number in range(6):
        says(factories.vote(), f"Question {number}?")
    for _ in range(6):
        says(factories.vote(), "Who are you?")
    settling.settle_all()
    # Twelve votes on prompts of this arena: half of them, six, may share one.
    assert Vote.objects.filter(exclusion_reason="repeated_prompt").count() == 0
    says(factories.vote(), "Who are you?")
    settling.settle_all()
    assert Vote.objects.filter(exclusion_reason="repeated_prompt").count() == 1


def test_imported_votes_are_not_held_against_a_prompt(monkeypatch):
    monkeypatch.setattr(refusals, "REPEATS", 1)
    for vote in (imported(), imported()):
        turn = Turn.objects.create(
            battle=vote.battle, number=1, prompt="Why?", heartbeat_at=vote.created_at
        )
        assert turn.prompt == "Why?"
    factories.vote()
    settling.settle_all()
    assert Vote.objects.filter(status=Vote.Status.COUNTED).count() == 3


# --- several at once ----------------------------------------------------------------------------


@pytest.fixture
def two_categories(transactional_db):
    """Tests with real transactions leave empty tables behind, without what the migrations made."""
    for slug, rule in ((OVERALL, {}), ("exclude-ties", {"outcomes": ["lo", "hi"]})):
        Category.objects.get_or_create(slug=slug, defaults={"name": slug, "rule": rule})


def in_thread(work):
    """Run in a thread with a database connection of its own; join() gives back what it returned."""

    class Thread(threading.Thread):
        def run(self):
            try:
                self.result = work()
            except BaseException as error:
                self.result = error
            finally:
                connection.close()

        def outcome(self):
            self.join(30)
            if isinstance(self.result, BaseException):
                raise self.result
            return self.result

    thread = Thread()
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_workers_settling_at_once_count_each_vote_once(two_categories):
    one, two = factories.contestant(), factories.contestant()
    for number in range(40):
        says(factories.vote("a", contestant_a=one, contestant_b=two), f"Question {number}?")
        says(factories.vote("tie", contestant_a=two, contestant_b=one), f"Riddle {number}?")

    def work():
        total = 0
        while settled := settling.settle(limit=7):
            total += settled
        return total

    workers = [in_thread(work) for _ in range(3)]
    assert sum(worker.outcome() for worker in workers) == 80
    assert sum(counts().values()) == 80
    assert checking.differences() == {}


@pytest.mark.django_db(transaction=True)
def test_votes_settled_cast_and_excluded_during_a_rebuild_are_all_right_after_it(two_categories):
    made = [factories.vote(choice) for choice in ("a", "b", "tie") * 10]
    settling.settle_all()
    categories.mark_stale(Category.objects.values_list("pk", flat=True))

    def rebuild():
        while categories.rebuild_step(limit=3) is not None:
            pass

    def change():
        for vote in made[::4]:
            votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
            settling.settle_all()
            votes.restore(vote_id=made[0].pk)
            settling.settle_all()

    workers = [in_thread(rebuild), in_thread(rebuild), in_thread(change)]
    for _ in range(10):
        factories.vote("both_bad")
        settling.settle_all()
    for worker in workers:
        worker.outcome()
    settling.settle_all()
    categories.rebuild_stale()
    assert not Category.objects.filter(stale=True).exists()
    assert sum(counts().values()) == Vote.objects.filter(status=Vote.Status.COUNTED).count()
    assert checking.differences() == {}


@pytest.mark.django_db(transaction=True)
def test_who_rebuilds_waits_for_who_settles(two_categories):
    """A vote that is being counted while a category is made is not lost between the two."""
    factories.vote()
    waiting = threading.Event()

    def rebuild():
        waiting.set()
        while categories.rebuild_step() is not None:
            pass

    with transaction.atomic():
        settling.settle()
        category = Category(slug="all-again", name="All again", stale=True)
        if connection.features.has_select_for_update:  # there the settling could not see it
            in_thread(category.save).outcome()
        else:
            category.save()
        worker = in_thread(rebuild)
        waiting.wait(10)
        worker.join(0.2)  # gives a rebuild that does not wait the time to go wrong
        assert worker.is_alive()
    worker.outcome()
    assert sum(counts("all-again").values()) == 1


@pytest.mark.django_db(transaction=True)
def test_two_corrections_at_once_while_votes_are_settled_correct_each_count_once(two_categories):
    one, two = factories.contestant(), factories.contestant()
    for choice in ("a", "b", "tie", "both_bad") * 5:
        factories.vote(choice, contestant_a=one, contestant_b=two)
    settling.settle_all()
    PairCount.objects.update(n=F("n") + 7)
    wrong = PairCount.objects.count()
    workers = [in_thread(categories.correct), in_thread(categories.correct)]
    for choice in ("a", "b", "tie") * 5:
        factories.vote(choice, contestant_a=two, contestant_b=one)
        settling.settle_all()
    assert sorted(worker.outcome() for worker in workers) == [0, wrong]
    settling.settle_all()
    assert checking.differences() == {}
    assert sum(counts().values()) == 35


@pytest.mark.django_db(transaction=True)
def test_who_corrects_waits_for_who_settles(two_categories):
    """A vote that is being counted would be added to a count that holds it already."""
    factories.vote()
    with transaction.atomic():
        settling.settle()
        worker = in_thread(categories.correct)
        worker.join(0.3)  # gives a correction that does not wait the time to go wrong
        assert worker.is_alive()
    assert worker.outcome() == 0
    assert sum(counts().values()) == 1


# --- what one person may count for ----------------------------------------------------------------


@pytest.fixture
def limited(settings):
    settings.VOTES_COUNTED_PER_DAY = 3
    settings.SAME_PROMPT_COUNTS_ONCE = True


def reasons(*made):
    for vote in made:
        vote.refresh_from_db()
    return [vote.exclusion_reason for vote in made]


def on(day, vote):
    Vote.objects.filter(pk=vote.pk).update(created_at=f"2026-03-0{day}T23:59:59Z")
    return vote


def test_so_many_votes_of_one_person_count_a_day(limited):
    voter, other = factories.voter(), factories.voter()
    first = [on(1, factories.vote(voter=voter)) for _ in range(2)]
    settling.settle_all()
    later = [on(1, factories.vote(voter=voter)) for _ in range(3)]
    others = [on(1, factories.vote(voter=other)), on(2, factories.vote(voter=voter))]
    settling.settle_all()
    assert reasons(*first, *later) == ["", "", "", "daily_limit", "daily_limit"]
    assert reasons(*others) == ["", ""]
    assert sum(counts().values()) == 5


def test_the_same_prompt_counts_once_for_one_person(limited):
    voter = factories.voter()
    pasted = [
        says(factories.vote(voter=voter), prompt) for prompt in ("Who are you?", "WHO  are you?")
    ]
    another = says(factories.vote(), "Who are you?")
    settling.settle_all()
    third = says(factories.vote(voter=voter), "Who are you?")
    settling.settle_all()
    assert reasons(*pasted, another, third) == ["", "same_prompt", "", "same_prompt"]
    assert refusals.excluded_by_reason() == {"same_prompt": 2}
    assert checking.differences() == {}


def test_a_place_that_a_withdrawn_vote_leaves_is_free_again(limited):
    voter = factories.voter()
    made = [says(factories.vote(voter=voter), "Who are you?") for _ in range(2)]
    settling.settle_all()
    votes.exclude(vote_id=made[0].pk, reason=Vote.Exclusion.ADMINISTRATOR)
    settling.settle_all()
    votes.restore(vote_id=made[1].pk)
    settling.settle_all()
    assert reasons(*made) == ["administrator", ""]
    votes.restore(vote_id=made[0].pk)
    settling.settle_all()
    assert reasons(*made) == ["same_prompt", ""]


def test_a_vote_that_counts_already_is_not_held_against_itself(limited):
    vote = says(factories.vote(), "Who are you?")
    settling.settle_all()
    Vote.objects.update(tally_due=True)
    settling.settle_all()
    assert reasons(vote) == [""]


def test_imported_votes_and_votes_that_are_held_take_no_place(limited):
    voter = factories.voter()
    held = [factories.vote(voter=voter) for _ in range(3)]
    for vote in held:
        votes.hold(vote_id=vote.pk)
    counted = [factories.vote(voter=voter) for _ in range(3)]
    for _ in range(5):
        Vote.objects.create(battle=factories.imported_battle(), choice="a", turn=1)
    settling.settle_all()
    assert reasons(*counted) == ["", "", ""]
    assert sum(counts().values()) == 8


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_count_no_more_of_one_person_than_one_would(limited, two_categories):
    voter = factories.voter()
    for _ in range(12):
        factories.vote(voter=voter)

    def work():
        total = 0
        while settled := settling.settle(limit=2):
            total += settled
        return total

    workers = [in_thread(work) for _ in range(4)]
    assert sum(worker.outcome() for worker in workers) == 12
    assert Vote.objects.filter(tallied=True).count() == 3
    assert Vote.objects.filter(exclusion_reason="daily_limit").count() == 9
