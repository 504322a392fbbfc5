"""Votes that would be counted and must not be: names were shown, or too many of a kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db.models import Count

from arena.models import Battle, Vote
from leaderboard.models import VoteFeatures

# Of this arena's own votes at most so many count on one and the same first prompt.
REPEATS = 50
REPEATS_PER_VOTE = 1_000  # or one in a thousand of all

RATED = (Vote.Status.PENDING, Vote.Status.COUNTED)


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


def excluded_by_reason() -> dict[str, int]:
    return dict(
        Vote.objects.filter(status=Vote.Status.EXCLUDED)
        .values_list("exclusion_reason")
        .annotate(n=Count("id"))
        .order_by("exclusion_reason")
    )
