"""Votes out of the database into the formats that others read, filtered, as a stream of any length.

Votes are read by ascending id, a page at a time: memory holds one page, and no cursor stays open
while a slow reader takes the next piece.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from django.db.models import Prefetch, Q, QuerySet

from arena.models import Answer, Battle, Turn, Vote
from leaderboard import public_votes
from leaderboard.formats import arena, arena_55k, arena_140k, plain, preferences
from leaderboard.formats.records import VoteRecord, Winner
from leaderboard.models import Category
from leaderboard.rules import FLAGS, NUMBERS, compile_rule
from leaderboard.tally import belonging
from leaderboard.transfer.occurrences import Occurrences

PAGE = 500
PUBLIC_PAGE = 5000  # of votes without texts, looked up in fewer tables
SHOWN = 5  # records of a preview

_WINNERS: dict[str, Winner] = {
    Vote.Choice.A: "model_a",
    Vote.Choice.B: "model_b",
    Vote.Choice.TIE: "tie",
    Vote.Choice.BOTH_BAD: "both_bad",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which votes to export; the defaults are all that count.

    `since` is inclusive, `until` is not. `turns` is an exact number and `multi_turn` two or more.
    `licences` are those that both models must have, in any case of letters. `agreed_only` keeps a
    vote when the same prompts, answered by the same two models, were judged at least twice and
    always alike: in which of the two is better, or that neither is. `include_excluded` adds the
    votes that are excluded or held, in formats that can take them.
    """

    category: str = ""
    since: datetime | None = None
    until: datetime | None = None
    turns: int | None = None
    multi_turn: bool = False
    language: str = ""
    licences: tuple[str, ...] = ()
    agreed_only: bool = False
    include_excluded: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write votes. `blind` ones take only votes that count and saw no names.

    `write` is None for the public export, which is every vote there is and knows no filters.
    """

    name: str
    title: str
    extension: str
    write: Callable[[Iterable[VoteRecord], IO[bytes]], int] | None
    texts: bool = True
    blind: bool = True
    header: bool = False


FORMATS = {
    each.name: each
    for each in (
        Format("55k", arena_55k.title, "csv", arena_55k.write, header=True),
        Format("140k", arena_140k.title, "jsonl", arena_140k.write),
        Format("plain", plain.title, "csv", plain.write, texts=False, blind=False, header=True),
        Format("arena", arena.title, "csv", None, texts=False, blind=False, header=True),
        Format("dpo", "Preference pairs (DPO)", "jsonl", preferences.write_dpo),
        Format("kto", "Single labels (KTO)", "jsonl", preferences.write_kto),
    )
}
DEFAULT = next(iter(FORMATS))


class BadFilter(ValueError):
    """The filters cannot be applied; the text says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the file, with the votes looked at so far, those taken and the rows they gave."""

    content: bytes
    seen: int
    votes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Preview:
    """The file's beginning and how many votes it would be made of; `without_text` are left out."""

    beginning: str
    votes: int
    seen: int
    without_text: int


def count(filters: Filters, *, format: str) -> int:
    """How many votes an export looks at, some of which only their content rules out."""
    target = FORMATS[format]
    if target.write is None:
        return Vote.objects.count()
    return _queryset(filters, target).count()


def without_text(filters: Filters, *, format: str) -> int:
    """How many votes a format that holds the texts leaves out because they came without."""
    target = FORMATS[format]
    if not target.texts:
        return 0
    return _filtered(filters, target).exclude(battle__turns__number=1).count()


def export_votes(
    stream: IO[bytes],
    *,
    format: str,
    filters: Filters,
    on_progress: Callable[[Piece], None] | None = None,
) -> Piece:
    """Write the votes; returns the last piece, with the totals. Raises BadFilter."""
    piece = Piece(b"", 0, 0, 0)
    for piece in pieces(format=format, filters=filters):
        stream.write(piece.content)
        if on_progress is not None:
            on_progress(piece)
    return piece


def pieces(*, format: str, filters: Filters) -> Iterator[Piece]:
    """The file in pieces of one page of votes each, at least one. Raises BadFilter, at once."""
    target = FORMATS[format]
    if target.write is None:
        _refuse_filters(filters)
        return _public_pieces()
    return _pieces(_pages(filters, target), target, target.write)


def preview(*, format: str, filters: Filters) -> Preview:
    """The first records, and the number of votes of the whole. Raises BadFilter."""
    target = FORMATS[format]
    buffer = io.BytesIO()
    if target.write is None:
        _refuse_filters(filters)
        writer = arena.Writer(buffer)
        for vote in itertools.islice(public_votes.public_votes(), SHOWN):
            writer.row(vote)
        votes = seen = count(filters, format=format)
    else:
        records = itertools.chain.from_iterable(page for _, page in _pages(filters, target))
        target.write(itertools.islice(records, SHOWN), buffer)
        votes = seen = count(filters, format=format)
        if filters.category or filters.agreed_only:
            votes = sum(len(chosen) for _, chosen in _chosen(filters, target, texts=False))
    return Preview(buffer.getvalue().decode(), votes, seen, without_text(filters, format=format))


def _refuse_filters(filters: Filters) -> None:
    if filters != Filters():
        raise BadFilter("The public export is all votes, those that do not count too: no filters.")


def _public_pieces() -> Iterator[Piece]:
    buffer = io.BytesIO()
    writer = arena.Writer(buffer)
    seen = last = 0
    while True:
        following = Vote.objects.filter(pk__gt=last).order_by("pk")
        ids = list(following.values_list("pk", flat=True)[:PUBLIC_PAGE])
        if ids:
            last = ids[-1]
            for vote in public_votes.public_votes(Vote.objects.filter(pk__range=(ids[0], last))):
                writer.row(vote)
                seen += 1
        elif seen:
            return
        yield Piece(buffer.getvalue(), seen, seen, seen)
        if not ids:
            return
        buffer.seek(0)
        buffer.truncate()


def _pieces(
    pages: Iterator[tuple[int, list[VoteRecord]]],
    target: Format,
    write: Callable[[Iterable[VoteRecord], IO[bytes]], int],
) -> Iterator[Piece]:
    seen = votes = rows = 0
    empty: tuple[int, list[VoteRecord]] = (0, [])
    for looked_at, records in itertools.chain(pages, [empty]):
        if seen and not looked_at:
            return
        buffer = io.BytesIO()
        rows += write(records, buffer)
        content = buffer.getvalue()
        if target.header and seen:
            content = content.partition(b"\n")[2]  # only the first piece has the header
        seen += looked_at
        votes += len(records)
        yield Piece(content, seen, votes, rows)


def _pages(filters: Filters, target: Format) -> Iterator[tuple[int, list[VoteRecord]]]:
    """(votes looked at, records of those that pass), page after page. Raises BadFilter, at once."""
    pages = _chosen(filters, target, texts=target.texts)
    pseudonym = public_votes.pseudonyms()
    return (
        (seen, [_record(vote, pseudonym, texts=target.texts) for vote in chosen])
        for seen, chosen in pages
    )


def _chosen(filters: Filters, target: Format, *, texts: bool) -> Iterator[tuple[int, list[Vote]]]:
    """(votes looked at, those that pass), page after page. Raises BadFilter, at once."""
    fits = _category(filters.category)
    queryset = _queryset(filters, target)

    def read() -> Iterator[tuple[int, list[Vote]]]:
        with Occurrences() as judged:
            if filters.agreed_only:
                for page in _paged(_with_prompts(queryset)):
                    for vote in filter(fits, page):
                        judged.add(_question(vote), belonging.outcome_of(vote)[2])
            loaded = queryset
            if texts:
                loaded = _with_texts(queryset)
            elif filters.agreed_only:
                loaded = _with_prompts(queryset)
            for page in _paged(loaded):
                chosen = [vote for vote in page if fits(vote)]
                if filters.agreed_only:
                    chosen = [v for v in chosen if judged.unanimous(_question(v)) >= 2]
                yield len(page), chosen

    return read()


def _category(slug: str) -> Callable[[Vote], bool]:
    if not slug:
        return lambda vote: True
    category = Category.objects.filter(slug=slug).first()
    if category is None:
        known = ", ".join(Category.objects.values_list("slug", flat=True))
        raise BadFilter(f"No category {slug!r}; there are {known}.")
    rule = compile_rule(category.rule)

    def fits(vote: Vote) -> bool:
        features = getattr(vote, "features", None)
        if features is None:  # not settled yet: nobody knows
            return not category.rule
        known: dict[str, Any] = {name: getattr(features, name) for name in (*FLAGS, *NUMBERS)}
        known |= {"language": features.language, "outcome": belonging.outcome_of(vote)[2]}
        return rule(known)

    return fits


def _queryset(filters: Filters, target: Format) -> QuerySet[Vote]:
    queryset = _filtered(filters, target)
    if target.texts or filters.agreed_only:
        queryset = queryset.filter(battle__turns__number=1)  # there is a text
    return queryset


def _filtered(filters: Filters, target: Format) -> QuerySet[Vote]:
    """Whether there is a text to each or not."""
    queryset = Vote.objects.select_related(
        *("battle__source", "battle__contestant_a", "battle__contestant_b"),
        *("voter", "features"),
    ).order_by("pk")
    if filters.include_excluded and not target.blind:
        queryset = queryset.exclude(status=Vote.Status.PENDING)
    else:
        queryset = queryset.filter(status=Vote.Status.COUNTED)
    if target.blind:
        queryset = queryset.filter(battle__mode=Battle.Mode.BATTLE)
    if filters.since is not None:
        queryset = queryset.filter(created_at__gte=filters.since)
    if filters.until is not None:
        queryset = queryset.filter(created_at__lt=filters.until)
    if filters.turns is not None:
        queryset = queryset.filter(turn=filters.turns)
    if filters.multi_turn:
        queryset = queryset.filter(turn__gte=2)
    if filters.language:
        queryset = queryset.filter(features__language=filters.language)
    if filters.licences:
        for side in ("battle__contestant_a", "battle__contestant_b"):
            licensed = Q()
            for licence in filters.licences:
                licensed |= Q(**{f"{side}__licence__iexact": licence})
            queryset = queryset.filter(licensed)
    return queryset


def _with_prompts(queryset: QuerySet[Vote]) -> QuerySet[Vote]:
    return queryset.prefetch_related(
        Prefetch(
            "battle__turns",
            Turn.objects.filter(state=Turn.State.DONE)
            .order_by("number")
            .only("battle_id", "number", "prompt"),
        )
    )


def _with_texts(queryset: QuerySet[Vote]) -> QuerySet[Vote]:
    return _with_prompts(queryset).prefetch_related(
        Prefetch("battle__turns__answers", Answer.objects.only("turn_id", "slot", "text"))
    )


def _paged(queryset: QuerySet[Vote]) -> Iterator[list[Vote]]:
    last = 0
    while page := list(queryset.filter(pk__gt=last)[:PAGE]):
        last = page[-1].pk
        yield page


def _judged_turns(vote: Vote) -> list[Turn]:
    return [turn for turn in vote.battle.turns.all() if turn.number <= vote.turn]


def _question(vote: Vote) -> bytes:
    """The same for votes on the same prompts and the same two models, whichever side they sat."""
    lo, hi, _ = belonging.outcome_of(vote)
    digest = hashlib.sha256(b"%d %d" % (lo, hi))
    for turn in _judged_turns(vote):
        digest.update(hashlib.sha256(turn.prompt.encode()).digest())
    return digest.digest()


def _record(vote: Vote, pseudonym: Callable[[str], str], *, texts: bool) -> VoteRecord:
    battle = vote.battle
    assert battle.contestant_b is not None
    features = getattr(vote, "features", None)
    turns = []
    for turn in _judged_turns(vote) if texts else ():
        said = {answer.slot: answer.text for answer in turn.answers.all()}
        turns.append((turn.prompt, said.get("a", ""), said.get("b", "")))
    return VoteRecord(
        model_a=battle.contestant_a.name,
        model_b=battle.contestant_b.name,
        winner=_WINNERS[vote.choice],
        external_id=f"{battle.source.name}:{battle.external_id}"
        if battle.source
        else battle.public_id,
        judge=pseudonym(vote.voter.key) if vote.voter else "",
        timestamp=vote.created_at,
        language=features.language if features else "",
        turns=vote.turn,
        turn_messages=tuple(turns),
        anonymous=battle.mode == Battle.Mode.BATTLE,
        pair_probability=battle.pair_probability,
        extra={"is_code": features.code} if features else {},
    )
