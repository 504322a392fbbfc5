"""Asking the provider, and what follows from its answer. Nothing here blocks the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from channels.db import database_sync_to_async
from django.conf import settings

from arena.backends import moderations
from arena.backends.base import BackendError, Target, Timeouts
from arena.backends.client import BackendClient
from arena.keys import KeyUnreadable
from arena.models import ModerationCategory, ModerationEvent, ModerationSettings
from arena.moderation import terms
from arena.refusals import Refused

log = logging.getLogger(__name__)

Action = ModerationCategory.Action
Subject = ModerationEvent.Subject
RETRY_SECONDS = 30


class CheckFailed(Exception):
    """Nobody knows whether the text may pass."""


@dataclass(frozen=True, slots=True)
class Finding:
    slot: str  # empty: the prompt
    category: str
    title: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, without the actions that are off."""

    subject: str
    findings: Sequence[Finding] = ()
    failed: str = ""  # why the texts could not be checked
    refuse_unchecked: bool = False

    def titles(self, action: str) -> list[str]:
        """Of the categories with this action, each once."""
        return list(dict.fromkeys(each.title for each in self.findings if each.action == action))

    @property
    def noteworthy(self) -> bool:
        return bool(self.findings or self.failed)

    @property
    def blocked(self) -> bool:
        return bool(self.blocked_slots)

    @property
    def blocked_slots(self) -> set[str]:
        return {each.slot for each in self.findings if each.action == Action.BLOCK}

    @property
    def unchecked(self) -> bool:
        """Whether the texts must wait until they can be checked."""
        return bool(self.failed) and self.refuse_unchecked

    @property
    def notice(self) -> str:
        """What the person is told who may go on all the same."""
        titles = self.titles(Action.WARN)
        return f"Your text was marked as: {', '.join(titles)}. It was sent." if titles else ""


@dataclass(frozen=True, slots=True)
class _Policy:
    house: ModerationSettings
    categories: Mapping[str, ModerationCategory] = field(default_factory=dict)
    target: Target | None = None
    trouble: str = ""


class Moderator:
    """Checks texts as the administrator has set it. One per event loop, over its one client."""

    def __init__(self, client: BackendClient) -> None:
        self._client = client
        self._policy: _Policy | None = None
        self._asked = 0.0

    async def check_prompt(self, prompt: str) -> Verdict:
        """Raises Refused for a prompt that must not be sent to any model."""
        verdict = await self._check(Subject.PROMPT, {"": prompt})
        if verdict.blocked or verdict.unchecked:
            await database_sync_to_async(record)(verdict, turn_id=None)
        if verdict.blocked:
            raise Refused(
                "moderated",
                f"Your text was marked as: {', '.join(verdict.titles(Action.BLOCK))}. "
                "It was not sent to any model.",
            )
        if verdict.unchecked:
            raise Refused(
                "busy",
                f"Texts cannot be checked now, please retry in {RETRY_SECONDS} s.",
                retry_after=RETRY_SECONDS,
            )
        return verdict

    async def check_answers(self, answers: Mapping[str, str]) -> Verdict:
        """Of the answers to one prompt, by their slots."""
        return await self._check(Subject.ANSWER, answers)

    async def _policy_in_force(self) -> _Policy:
        """At most SETTINGS_RECHECK_SECONDS old: two of these questions belong to every battle."""
        loop = asyncio.get_running_loop()
        if self._policy is None or loop.time() - self._asked >= settings.SETTINGS_RECHECK_SECONDS:
            asked = loop.time()
            self._policy = await database_sync_to_async(_policy)()
            self._asked = asked
        return self._policy

    async def _check(self, subject: str, texts: Mapping[str, str]) -> Verdict:
        policy = await self._policy_in_force()
        try:
            match policy.house.provider:
                case ModerationSettings.Provider.LIST:
                    loop = asyncio.get_running_loop()
                    found = await loop.run_in_executor(None, _search, policy, texts)
                case ModerationSettings.Provider.ENDPOINT:
                    found = await self._ask(policy, texts)
                case _:
                    return Verdict(subject)
        except CheckFailed as failure:
            log.warning("a %s could not be checked: %s", subject, failure)
            closed = policy.house.fail_closed
            return Verdict(subject, failed=str(failure), refuse_unchecked=closed)
        return Verdict(subject, [each for each in found if each.action != Action.OFF])

    async def _ask(self, policy: _Policy, texts: Mapping[str, str]) -> list[Finding]:
        if policy.target is None:
            raise CheckFailed(policy.trouble)
        try:
            call = moderations.request(policy.target, policy.house.model, list(texts.values()))
            # The body is small, and still may come drop by drop.
            async with asyncio.timeout(policy.house.timeout):
                body = await self._client.fetch(call, policy.target)
            rated = moderations.read(body, len(texts))
        except (BackendError, TimeoutError) as error:
            raise CheckFailed(str(error) or "no answer in time") from error
        hits = [
            (slot, name, rating)
            for slot, ratings in zip(texts, rated, strict=True)
            for name, rating in ratings.items()
            if _applies(policy.categories.get(name), rating)
        ]
        if unknown := {name for _, name, _ in hits} - policy.categories.keys():
            policy = await database_sync_to_async(_with_categories)(sorted(unknown))
        return [
            _finding(
                policy.categories[name],
                slot,
                "flagged" if rating.score is None else f"score {rating.score:.3f}",
            )
            for slot, name, rating in hits
        ]


def _applies(category: ModerationCategory | None, rating: moderations.Rating) -> bool:
    if category is None or category.threshold is None or rating.score is None:
        return rating.flagged
    return rating.score >= category.threshold


def _finding(category: ModerationCategory, slot: str, reason: str) -> Finding:
    return Finding(slot, category.name, str(category), category.action, reason)


def _search(policy: _Policy, texts: Mapping[str, str]) -> list[Finding]:
    found = []
    for category in policy.categories.values():
        if category.action == Action.OFF:
            continue
        try:
            for slot, text in texts.items():
                if line := terms.read(category.terms).find(text):
                    found.append(_finding(category, slot, line[:300]))
        except terms.TooSlow as error:
            raise CheckFailed(f"a term of {category.name} takes too long") from error
        except terms.BadTerm as error:
            raise CheckFailed(f"the terms of {category.name}: {error}") from error
    return found


def _policy() -> _Policy:
    house = ModerationSettings.current()
    if house.provider == ModerationSettings.Provider.NONE:
        return _Policy(house)
    categories = {category.name: category for category in ModerationCategory.objects.all()}
    if house.provider == ModerationSettings.Provider.LIST:
        return _Policy(house, categories)
    try:
        key = house.api_key()
    except KeyUnreadable as error:
        return _Policy(house, categories, trouble=str(error))
    seconds = house.timeout
    limits = Timeouts(connect=seconds, first_token=seconds, gap=seconds, total=seconds)
    return _Policy(house, categories, Target("openai", house.base_url, key, limits))


def _with_categories(names: Sequence[str]) -> _Policy:
    """Give categories that the endpoint has named for the first time a row to be set."""
    house = ModerationSettings.current()
    ModerationCategory.objects.bulk_create(
        [
            ModerationCategory(house=house, name=name, action=house.new_category_action)
            for name in names
        ],
        ignore_conflicts=True,
    )
    return _policy()


def record(verdict: Verdict, *, turn_id: int | None) -> None:
    """Keep what was found, not the text it was found in."""
    events = [
        ModerationEvent(
            subject=verdict.subject,
            turn_id=turn_id,
            slot=each.slot,
            category=each.category,
            action=each.action,
            reason=each.reason,
        )
        for each in verdict.findings
    ]
    if verdict.failed:
        events.append(
            ModerationEvent(
                subject=verdict.subject,
                turn_id=turn_id,
                action=Action.BLOCK if verdict.refuse_unchecked else Action.LOG,
                reason=verdict.failed[:300],
            )
        )
    ModerationEvent.objects.bulk_create(events)
