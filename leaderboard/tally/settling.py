"""Votes into pair counts: exactly once in effect, whatever Redis, Celery or a kill -9 does.

A vote row says itself whether the counts hold it (`tallied`), so claiming rows, changing the
counts of every category the vote belongs to, and marking the rows is one transaction that either
happened or did not. What a vote belongs to follows from its stored features, which never change,
and from the categories' rules, which may; hence the one lock of this module.

The counting lock is the row of the overall category. Who settles votes shares it (any number at
once); who changes a rule, makes a category or rebuilds one (`leaderboard.categories`) has it
alone, for a moment. So while anybody settles, the rules stand still, and who reads the tallied
votes under the lock knows that the counts hold exactly those. SQLite has one writer, and a
transaction takes its place at BEGIN: there the lock is had by being in a transaction.

A category whose counts are being made anew (`stale`) holds the votes up to `rebuilt_through`, and
no others; settling a vote changes it only where the vote's id is not beyond that. What is beyond,
the rebuilding comes to.

Locks are taken in this order: votes, voters by their ids, the counting lock, pair counts by their
keys.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import chain, islice
from operator import attrgetter
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Case, Count, F, Q, Value, When
from django.db.models.functions import Greatest, Least

from arena.leaks import Identity, Said, Scanner
from arena.models import Answer, Battle, Contestant, Slot, Turn, Vote, Voter
from leaderboard.features import Message, features_of, prompt_key
from leaderboard.models import OVERALL, Category, PairCount, VoteFeatures
from leaderboard.rules import FLAGS, NUMBERS, Rule, compile_rule, cut_points

logger = logging.getLogger(__name__)

BATCH = 1_000
TEXTS = 100  # conversations in memory at a time
ROWS = 400  # of pair counts in one statement
STORED = 5_000  # the same, where each has its own and nothing is added up

# Of this arena's own votes at most so many count on one and the same first prompt.
REPEATS = 50
REPEATS_PER_VOTE = 1_000  # or one in a thousand of all

RATED = (Vote.Status.PENDING, Vote.Status.COUNTED)


class Key(NamedTuple):
    """A row of PairCount. Ordered: rows are always locked in this order, against deadlock."""

    category: int
    lo: int
    hi: int
    outcome: str


def lock_counting(*, alone: bool) -> None:
    """Take the counting lock until the transaction ends: alone, or shared with who settles.

    Read what it protects after this, in statements of their own: PostgreSQL shows a statement
    what was there when it began, which may be before it got the lock.
    """
    if alone:
        # By its row, not by a list of rows: an UPDATE of the row must wait for it as well.
        Category.objects.select_for_update().get(slug=OVERALL)
    elif connection.features.has_select_for_update:
        table = connection.ops.quote_name(Category._meta.db_table)
        with connection.cursor() as cursor:  # Django has no word for FOR SHARE
            cursor.execute(
                f"SELECT id FROM {table} WHERE slug = %s FOR SHARE",  # noqa: S608
                [OVERALL],
            )


def lock_voters(due: Iterable[Vote]) -> None:
    """Whoever settles other votes of the same people waits: how many of them count is limited."""
    people = {vote.voter_id for vote in due if vote.voter_id and vote.status in RATED}
    if people and (settings.VOTES_COUNTED_PER_DAY or settings.SAME_PROMPT_COUNTS_ONCE):
        # Not their keys: votes that are being cast refer to them and need not wait.
        list(
            Voter.objects.select_for_update(no_key=True)
            .filter(pk__in=people)
            .order_by("pk")
            .values_list("pk", flat=True)
        )


class Rules:
    """Every category's rule, compiled once a batch; votes with equal features are matched once."""

    def __init__(self, categories: Iterable[Category]) -> None:
        categories = list(categories)
        cuts = [cut_points(category.rule) for category in categories]
        # By number: where some rule's answer may change, descending.
        self.cuts = {
            name: sorted(set().union(*(cut[name] for cut in cuts)), reverse=True)
            for name in NUMBERS
        }
        self._rules: list[tuple[int, float, Rule]] = [
            (
                category.pk,
                category.rebuilt_through if category.stale else float("inf"),
                compile_rule(category.rule),
            )
            for category in categories
        ]
        self._matching: dict[tuple[Any, ...], list[tuple[int, float]]] = {}

    def categories_of(self, vote_id: int, traits: tuple[Any, ...]) -> Iterator[int]:
        """The categories whose counts hold the vote if it is tallied; traits as `traits_of`."""
        found = self._matching.get(traits)
        if found is None:
            known = dict(zip(TRAITS, traits, strict=True))
            found = [(pk, through) for pk, through, rule in self._rules if rule(known)]
            self._matching[traits] = found
        return (pk for pk, through in found if vote_id <= through)


FEATURE_TRAITS = ("language", *NUMBERS, *FLAGS)
TRAITS = (*FEATURE_TRAITS, "outcome")
_features_traits = attrgetter(*FEATURE_TRAITS)


def traits_of(features: VoteFeatures, outcome: str) -> tuple[Any, ...]:
    """All that rules look at, in the order of TRAITS."""
    return (*_features_traits(features), outcome)


def outcome_of(vote: Vote) -> tuple[int, int, str]:
    """(lo, hi, outcome) of a vote with its battle loaded."""
    left, right = vote.battle.contestant_a_id, vote.battle.contestant_b_id
    assert right is not None
    lo, hi = sorted((left, right))
    if vote.choice in (Vote.Choice.TIE, Vote.Choice.BOTH_BAD):
        return lo, hi, vote.choice
    winner = left if vote.choice == Vote.Choice.A else right
    return lo, hi, PairCount.Outcome.LO if winner == lo else PairCount.Outcome.HI


def settle(limit: int = BATCH) -> int:
    """Bring the pair counts in line with up to `limit` votes that are due. Returns how many."""
    with transaction.atomic():
        due = list(
            Vote.objects.due()
            # `of` leaves the joined rows unlocked; SQLite has one writer and ignores both.
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("battle")
            .only(*LOADED)[:limit]
        )
        if not due:
            return 0
        lock_voters(due)
        lock_counting(alone=False)
        rules = Rules(Category.objects.all())
        features = ensure_features(due)
        refused = refusals(due, features)
        changes: Counter[Key] = Counter()
        counted: list[int] = []
        leaked: list[int] = []  # in the counts of the categories that ask for them
        uncounted: dict[str, list[int]] = defaultdict(list)  # by the reason found here
        for vote in due:
            leak = features[vote.pk].identity_leak
            wanted = vote.pk not in refused and (
                vote.status in RATED
                or (leak and vote.exclusion_reason == Vote.Exclusion.IDENTITY_LEAK)
            )
            if wanted:
                (leaked if leak else counted).append(vote.pk)
            else:
                uncounted[refused.get(vote.pk, "")].append(vote.pk)
            if wanted != vote.tallied:
                lo, hi, outcome = outcome_of(vote)
                traits = traits_of(features[vote.pk], outcome)
                for category in rules.categories_of(vote.pk, traits):
                    changes[Key(category, lo, hi, outcome)] += 1 if wanted else -1
        apply(changes)
        marked = Vote.objects.filter(pk__in=counted).update(
            status=Vote.Status.COUNTED, tallied=True, tally_due=False
        )
        marked += Vote.objects.filter(pk__in=leaked).update(
            status=Vote.Status.EXCLUDED,
            exclusion_reason=Vote.Exclusion.IDENTITY_LEAK,
            tallied=True,
            tally_due=False,
        )
        for reason, ids in uncounted.items():
            excluded: dict[str, Any] = (
                {"status": Vote.Status.EXCLUDED, "exclusion_reason": reason} if reason else {}
            )
            marked += Vote.objects.filter(pk__in=ids).update(
                tallied=False, tally_due=False, **excluded
            )
        if marked != len(due):
            raise RuntimeError(f"claimed {len(due)} votes but marked {marked}: rolled back")
        return len(due)


LOADED = (
    *("status", "exclusion_reason", "choice", "turn", "tallied", "voter_id", "created_at"),
    *("battle__contestant_a_id", "battle__contestant_b_id", "battle__mode", "battle__source_id"),
)


def settle_all() -> int:
    """Settle until nothing is due that another worker has not claimed."""
    total = 0
    while settled := settle():
        total += settled
    return total


# --- features and what follows from them --------------------------------------------------------


def ensure_features(votes: Sequence[Vote]) -> dict[int, VoteFeatures]:
    """The features of each vote, by its id, made and stored where there are none.

    Votes with `battle` selected, and not with their features: PostgreSQL joins a thousand votes
    with those by walking through the features of all votes before them. Two workers may make the
    same ones at the same time: from the same texts, so whose are stored does not matter.
    """
    found = VoteFeatures.objects.only("prompt_key", *FEATURE_TRAITS).in_bulk(
        [vote.pk for vote in votes]
    )
    missing = [vote for vote in votes if vote.pk not in found]
    with_text = set(
        Turn.objects.order_by()
        .filter(battle__in=[vote.battle_id for vote in missing])
        .values_list("battle_id", flat=True)
        if missing
        else ()
    )
    made = [
        VoteFeatures(vote_id=vote.pk, turns=vote.turn)
        for vote in missing
        if vote.battle_id not in with_text
    ]
    judged = [vote for vote in missing if vote.battle_id in with_text]
    who = Identities() if judged else None
    for start in range(0, len(judged), TEXTS):
        part = judged[start : start + TEXTS]
        texts = conversations(part)
        for vote in part:
            turns = texts[vote.battle_id]
            # Whoever published other votes had rules of their own.
            own = vote.battle.source_id is None
            made.append(
                VoteFeatures(
                    vote_id=vote.pk,
                    prompt_key=prompt_key(turns[0][0]) if own and turns else "",
                    identity_leak=own and who is not None and who.leaked(vote.battle, turns),
                    **asdict(features_of(turns)),
                )
            )
    VoteFeatures.objects.bulk_create(made, ignore_conflicts=True)
    return found | {features.vote_id: features for features in made}


class Identities:
    """Who might be named, and whether an answer does it."""

    def __init__(self) -> None:
        everybody = Contestant.objects.only("name", "organisation", "aliases")
        self._of = {contestant.pk: contestant.identity() for contestant in everybody}
        self._scanner = _scanner(frozenset(self._of.values()))

    def leaked(self, battle: Battle, turns: Sequence[Message]) -> bool:
        assert battle.contestant_b_id is not None
        sides = {
            Slot.A.value: self._of[battle.contestant_a_id],
            Slot.B.value: self._of[battle.contestant_b_id],
        }
        said = [Said(prompt, {Slot.A.value: a, Slot.B.value: b}) for prompt, a, b in turns]
        return self._scanner.leaks(said, sides)


@lru_cache(maxsize=2)
def _scanner(everybody: frozenset[Identity]) -> Scanner:
    """Compiled once, not with each batch: it changes only when a model comes or is renamed."""
    return Scanner(everybody)


def conversations(votes: Sequence[Vote]) -> dict[int, list[Message]]:
    """The judged turns of each vote's battle, by the battle's id: two queries, however many."""
    judged = {vote.battle_id: vote.turn for vote in votes}
    answers: dict[tuple[int, str], str] = {
        (turn, slot): text
        for turn, slot, text in Answer.objects.order_by()
        .filter(turn__battle__in=judged)
        .values_list("turn_id", "slot", "text")
    }
    found: dict[int, list[Message]] = defaultdict(list)
    for battle, number, turn, prompt in (
        Turn.objects.filter(battle__in=judged)
        .order_by("battle_id", "number")
        .values_list("battle_id", "number", "id", "prompt")
    ):
        if number <= judged[battle]:
            found[battle].append(
                (prompt, answers.get((turn, Slot.A), ""), answers.get((turn, Slot.B), ""))
            )
    return found


class PersonalLimits:
    """How many votes of each person count already, by the day and by the prompt.

    Only of this arena's own votes: whoever published others had rules of their own.
    """

    def __init__(self, due: Iterable[Vote], features: dict[int, VoteFeatures]) -> None:
        self._prompts = {vote.pk: features[vote.pk].prompt_key for vote in due}
        self._per_day: Counter[tuple[int | None, date]] = Counter()
        self._asked: set[tuple[int | None, str]] = set()
        own = [vote for vote in due if _limited(vote)]
        if not own:
            return
        people = {vote.voter_id for vote in own}
        if settings.VOTES_COUNTED_PER_DAY:
            days = [day_of(vote) for vote in own]
            lately = Vote.objects.order_by().filter(
                voter__in=people,
                tallied=True,
                created_at__gte=datetime.combine(min(days), time(), UTC),
                created_at__lt=datetime.combine(max(days) + timedelta(days=1), time(), UTC),
            )
            self._per_day.update(
                (voter, at.astimezone(UTC).date())
                for voter, at in lately.values_list("voter", "created_at")
            )
        keys = {self._prompts[vote.pk] for vote in own} - {""}
        if settings.SAME_PROMPT_COUNTS_ONCE and keys:
            asked = VoteFeatures.objects.order_by().filter(
                prompt_key__in=keys, vote__voter__in=people, vote__tallied=True
            )
            self._asked.update(asked.values_list("vote__voter", "prompt_key"))

    def objection(self, vote: Vote) -> str:
        """Why this vote must not count, empty if it may: then it is one of those that do."""
        if not _limited(vote):
            return ""
        prompt = self._prompts[vote.pk]
        person, day = (vote.voter_id, prompt), (vote.voter_id, day_of(vote))
        if settings.SAME_PROMPT_COUNTS_ONCE and prompt and person in self._asked:
            return Vote.Exclusion.SAME_PROMPT
        if 0 < settings.VOTES_COUNTED_PER_DAY <= self._per_day[day]:
            return Vote.Exclusion.DAILY_LIMIT
        self._asked.add(person)
        self._per_day[day] += 1
        return ""


def _limited(vote: Vote) -> bool:
    """Whether it would be one more of a person's votes."""
    return (
        vote.status in RATED
        and not vote.tallied
        and vote.voter_id is not None
        and vote.battle.source_id is None
    )


def day_of(vote: Vote) -> date:
    return vote.created_at.astimezone(UTC).date()


def refusals(due: Iterable[Vote], features: dict[int, VoteFeatures]) -> dict[int, str]:
    """Votes that would be counted now but must not be: {vote: reason}.

    Of one person's votes only so many count a day, and only the first on one prompt.
    Repeated prompts are down-sampled, so that one prompt, pasted again and again, does not become
    the benchmark. Two workers at once may each count the last one that is allowed: the limit is
    about a prompt's weight, not about a vote.
    """
    refused: dict[int, str] = {}
    candidates: list[tuple[int, str]] = []
    people = PersonalLimits(due, features)
    for vote in due:
        if vote.status not in RATED:
            continue
        if vote.battle.mode != Battle.Mode.BATTLE:
            refused[vote.pk] = Vote.Exclusion.NAMES_SHOWN
        elif reason := people.objection(vote):
            refused[vote.pk] = reason
        elif not vote.tallied and vote.battle.source_id is None and features[vote.pk].prompt_key:
            candidates.append((vote.pk, features[vote.pk].prompt_key))
    if not candidates:
        return refused
    own = VoteFeatures.objects.exclude(prompt_key="").order_by()
    counted = Counter(
        dict(
            own.filter(prompt_key__in={key for _, key in candidates}, vote__tallied=True)
            .values_list("prompt_key")
            .annotate(n=Count("pk"))
        )
    )
    limit: int | None = None
    for vote_id, key in candidates:
        if counted[key] >= REPEATS:
            if limit is None:  # rarely needed, and a scan of an index
                limit = max(REPEATS, own.count() // REPEATS_PER_VOTE)
            if counted[key] >= limit:
                refused[vote_id] = Vote.Exclusion.REPEATED_PROMPT
                continue
        counted[key] += 1
    return refused


# --- the counts ---------------------------------------------------------------------------------


def apply(changes: Counter[Key]) -> None:
    """Add to the counts, creating rows as needed. Call inside a transaction.

    Raw SQL because Django's upsert cannot add to what is there; both databases take this form.
    All in the order of the keys, sums and differences alike: rows are locked in that order.
    """
    table = connection.ops.quote_name(PairCount._meta.db_table)
    rows = [(key, change) for key, change in sorted(changes.items()) if change]
    with connection.cursor() as cursor:
        start = 0
        while start < len(rows):
            key, change = rows[start]
            if change < 0:
                # An upsert of a negative count would meet the check constraint before the row.
                cursor.execute(
                    f"UPDATE {table} SET n = n + %s "  # noqa: S608
                    "WHERE category_id = %s AND lo_id = %s AND hi_id = %s AND outcome = %s",
                    [change, *key],
                )
                if cursor.rowcount != 1:
                    raise IntegrityError(f"{key} holds no votes to take {-change} from")
                start += 1
                continue
            end = start
            while end < min(len(rows), start + ROWS) and rows[end][1] > 0:
                end += 1
            cursor.execute(
                f"INSERT INTO {table} (category_id, lo_id, hi_id, outcome, n) "  # noqa: S608
                f"VALUES {', '.join(['(%s, %s, %s, %s, %s)'] * (end - start))} "
                "ON CONFLICT (category_id, lo_id, hi_id, outcome) "
                f"DO UPDATE SET n = {table}.n + EXCLUDED.n",
                [value for key, change in rows[start:end] for value in (*key, change)],
            )
            start = end


def store(counts: Mapping[Key, int]) -> None:
    """Set these counts, whatever they were. With the counting lock, alone."""
    rows = (
        PairCount(category_id=key.category, lo_id=key.lo, hi_id=key.hi, outcome=key.outcome, n=n)
        for key, n in sorted(counts.items())
    )
    while batch := list(islice(rows, STORED)):
        PairCount.objects.bulk_create(
            batch,
            update_conflicts=True,
            unique_fields=["category", "lo", "hi", "outcome"],
            update_fields=["n"],
        )


def votes_by_traits(
    votes: models.QuerySet[Vote], rules: Rules
) -> models.QuerySet[Vote, dict[str, Any]]:
    """Rows of (lo, hi, outcome, *FEATURE_TRAITS, total): votes grouped by all that the rules see.

    Of a number they see which cut points it has reached; it is replaced by the last of those. By
    its exact length hardly a prompt is like another, and a million votes made a million groups.
    """
    traits: dict[str, F | Case] = {trait: F(f"features__{trait}") for trait in FEATURE_TRAITS}
    for name, cuts in rules.cuts.items():
        field = f"features__{name}"
        traits[name] = Case(
            When(**{f"{field}__isnull": True}, then=None),
            *(When(**{f"{field}__gte": cut}, then=Value(cut)) for cut in cuts),
            default=Value(0),
            output_field=models.IntegerField(),
        )
    left, right = F("battle__contestant_a_id"), F("battle__contestant_b_id")
    return (
        votes.order_by()
        .values(
            lo=Least(left, right),
            hi=Greatest(left, right),
            # The same as `outcome_of`, said in SQL: a million votes in a second.
            outcome=Case(
                When(choice__in=[Vote.Choice.TIE, Vote.Choice.BOTH_BAD], then=F("choice")),
                When(
                    Q(choice=Vote.Choice.A, battle__contestant_a__lt=right)
                    | Q(choice=Vote.Choice.B, battle__contestant_a__gt=right),
                    then=Value(PairCount.Outcome.LO),
                ),
                default=Value(PairCount.Outcome.HI),
                output_field=models.CharField(),
            ),
            **traits,
        )
        .annotate(total=Count("id"))
    )


def differences() -> dict[Key, tuple[int, int]]:
    """Where the cache and the votes disagree: {key: (in the cache, by the votes)}.

    The cache and the votes come from one statement, so that both are of the same moment while
    votes are being settled; no lock is held. Stale categories are left out, those too that have
    become stale since.
    """
    before = {category.pk: category for category in Category.objects.filter(stale=False)}
    rules = Rules(before.values())
    columns = ("category", "lo", "hi", "outcome", *FEATURE_TRAITS, "total")
    by_votes = votes_by_traits(Vote.objects.filter(tallied=True), rules).annotate(category=Value(0))
    blank = VoteFeatures()
    cached = PairCount.objects.filter(n__gt=0, category__in=before).annotate(
        **{trait: Value(getattr(blank, trait)) for trait in FEATURE_TRAITS}
    )
    cached_columns = ("category_id", "lo_id", "hi_id", "outcome", *FEATURE_TRAITS, "n")
    in_cache: Counter[int] = Counter()
    in_votes: Counter[int] = Counter()
    rows = cached.values_list(*cached_columns).union(by_votes.values_list(*columns), all=True)
    for category, lo, hi, outcome, *traits, n in rows.iterator(chunk_size=5_000):
        if category:
            in_cache[_packed(category, lo, hi, outcome)] = n
            continue
        if traits[0] is None:  # a vote without features, counted before there were any
            traits = list(_features_traits(blank))
        for match in rules.categories_of(0, (*traits, outcome)):
            in_votes[_packed(match, lo, hi, outcome)] += n
    same = {
        category.pk
        for category in Category.objects.filter(stale=False, pk__in=before)
        if category.rule == before[category.pk].rule
    }
    apart = {
        _unpacked(at): (in_cache[at], in_votes[at])
        for at in chain(in_cache, in_votes)
        if in_cache[at] != in_votes[at]
    }
    return {key: apart[key] for key in sorted(apart) if key.category in same}


# A key as one number: a large arena has a million cells, and as tuples they took 400 MB.
_OUTCOMES = PairCount.Outcome.values
_ID = 1 << 32


def _packed(category: int, lo: int, hi: int, outcome: str) -> int:
    return ((category * _ID + lo) * _ID + hi) * len(_OUTCOMES) + _OUTCOMES.index(outcome)


def _unpacked(packed: int) -> Key:
    packed, outcome = divmod(packed, len(_OUTCOMES))
    packed, hi = divmod(packed, _ID)
    category, lo = divmod(packed, _ID)
    return Key(category, lo, hi, _OUTCOMES[outcome])


def check() -> int:
    """Compare the cache with the votes, and say so in the log where they disagree."""
    found = differences()
    if found:
        logger.error(
            "the pair counts disagree with the votes in %d rows, the first %s: "
            "`manage.py recount` shows them, `manage.py recount --rebuild` corrects them",
            len(found),
            next(iter(found.items())),
        )
    return len(found)


def excluded_by_reason() -> dict[str, int]:
    return dict(
        Vote.objects.filter(status=Vote.Status.EXCLUDED)
        .values_list("exclusion_reason")
        .annotate(n=models.Count("id"))
        .order_by("exclusion_reason")
    )
