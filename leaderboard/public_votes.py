"""The public vote export: every vote, counted or not, without text, address or voter's key."""

from __future__ import annotations

import gzip
import hmac
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from arena.models import Contestant, Source, Vote
from leaderboard.counted_votes import FEATURES, READ_AT_ONCE, Membership
from leaderboard.formats.arena import STYLE_COLUMNS, PublicVote, Writer
from leaderboard.models import Category
from leaderboard.rules import FLAGS

_WINNERS = {
    Vote.Choice.A: "model_a",
    Vote.Choice.B: "model_b",
    Vote.Choice.TIE: "tie",
    Vote.Choice.BOTH_BAD: "both_bad",
}
_FIELDS = (
    *("battle__public_id", "battle__source_id", "battle__external_id", "battle__pair_probability"),
    *("battle__contestant_a_id", "battle__contestant_b_id", "choice", "voter__key", "created_at"),
    *("turn", "status", "exclusion_reason", "tallied"),
    *(f"features__{name}" for name in FEATURES),
    *(f"features__{name}" for name in STYLE_COLUMNS),
)
_FEATURES_AT = _FIELDS.index(f"features__{FEATURES[0]}")
_STYLES_AT = _FEATURES_AT + len(FEATURES)
_FLAGS_AT = FEATURES.index(FLAGS[0])
PSEUDONYM_LENGTH = 12


def pseudonyms() -> Callable[[str], str]:
    """A function from a voter's key to a name that is the same in every export of this arena.

    Keyed: who has a voter's cookie, or a copy of the table of voters, cannot find their votes.
    """
    secret = salted_hmac("leaderboard.public_votes", "", algorithm="sha256").digest()

    @lru_cache(maxsize=50_000)
    def pseudonym(key: str) -> str:
        return hmac.digest(secret, key.encode(), "sha256").hex()[:PSEUDONYM_LENGTH]

    return pseudonym


def public_votes(chosen: QuerySet[Vote] | None = None) -> Iterator[PublicVote]:
    """All votes on public models, or those of them chosen, by id; a few thousand in memory."""
    names = dict(Contestant.objects.values_list("pk", "name"))
    sources = dict(Source.objects.values_list("pk", "name"))
    membership = Membership(Category.objects.all())
    slugs = [category.slug for category in membership.categories]
    pseudonym = pseudonyms()
    votes = Vote.objects.public() if chosen is None else chosen
    for row in votes.order_by("pk").values_list(*_FIELDS).iterator(chunk_size=READ_AT_ONCE):
        public_id, source, external_id, probability, a, b, choice, voter, moment = row[:9]
        turn, status, reason, tallied = row[9:_FEATURES_AT]
        features, styles = row[_FEATURES_AT:_STYLES_AT], row[_STYLES_AT:]
        known = features[0] is not None
        belongs = membership.of(a=a, b=b, choice=choice, turn=turn, features=features)
        yield PublicVote(
            vote_id=f"{sources[source]}:{external_id}" if source else public_id,
            model_a=names[a],
            model_b=names[b],
            winner=_WINNERS[choice],  # type: ignore[arg-type]
            voter=pseudonym(voter) if voter else "",
            timestamp=moment,
            turns=features[1] if known else turn,
            language=features[0] or "",
            prompt_tokens=features[2] or 0,
            flags=_flags(features[_FLAGS_AT:]) if known else (),
            pair_probability=probability,
            source=sources[source] if source else "",
            counted=tallied and not reason,
            # What waits has no reason to be excluded yet; it is named by what it waits for.
            exclusion_reason=reason or ("" if tallied else status),
            categories=tuple(slugs[i] for i in belongs),
            styles=None if None in styles else styles,
        )


def _flags(values: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(flag for flag, yes in zip(FLAGS, values, strict=True) if yes)


def write(stream: IO[bytes], *, each: Callable[[int], object] | None = None) -> int:
    """The export into a stream of bytes; returns the number of votes.

    `each` is called with the number of votes written so far, now and then.
    """
    writer = Writer(stream)
    number = 0
    for number, vote in enumerate(public_votes(), 1):
        writer.row(vote)
        if each and number % READ_AT_ONCE == 0:
            each(number)
    if each:
        each(number)
    return number


def write_file(path: Path, *, each: Callable[[int], object] | None = None) -> int:
    """The same into a file, compressed where its name ends in .gz."""
    with path.open("wb") as file:
        if path.suffix != ".gz":
            return write(file, each=each)
        # Without a name and a time in it, the same votes are the same bytes.
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
            return write(packed, each=each)  # type: ignore[arg-type]
