"""What battles may cost: held before the models are asked, settled when they have answered.

A turn first holds the most it can cost (`reserve`, in the transaction that makes the turn), and is
refused if a budget of the day does not have that much. When it ends, what it used takes the place
of what it held (`settle`, in the transaction that ends the turn). So what the arena, a voter or a
network has spent and holds together never exceeds its limit, whatever the number of processes; only
a turn that asked more often than planned (a retry, another model) may go beyond it, by what those
requests cost. A turn whose process was killed is settled by the sweep that ends it.

An endpoint's own limit refuses nobody: its models are not drawn any more once it is reached
(`Contestant.objects.drawable`), so turns that are drawn at the same moment may go beyond it by
what they hold.

Counters are rows of the database, changed by one conditional UPDATE each, always in the same order
and as the last thing of their transaction: the arena's row is one for all, and is locked only until
the commit that follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from itertools import chain

from django.conf import settings
from django.db import connection
from django.utils import timezone

from arena import networks
from arena.models import Contestant, Endpoint, NetworkSalt, Reservation, Spending, Turn
from arena.models.spending import MILLIONTHS
from arena.refusals import Refused

BUSY_SECONDS = 30  # until running turns have probably given back what they hold
# A message has a role and some marks around it that are tokens too.
TOKENS_AROUND_A_MESSAGE = 16
TOKENS_OF_AN_IMAGE = 4_000  # of a large one, at the providers that count most generously
CHARS_PER_TOKEN = 4  # about
KEPT_DAYS = 7  # reservations that are settled


@dataclass(frozen=True, slots=True)
class Charge:
    """One request to a model: planned, what it may cost; afterwards, what it did cost."""

    endpoint: int
    millionths: int


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one day; 0 is none."""

    requests: int = 0
    millionths: int = 0

    def __bool__(self) -> bool:
        return bool(self.requests or self.millionths)


def limit_of(scope: str) -> Limit:
    """By the settings. An endpoint has its own fields."""
    match scope:
        case Spending.Scope.ARENA:
            requests, usd = settings.DAILY_REQUESTS_ARENA, settings.DAILY_USD_ARENA
        case Spending.Scope.VOTER:
            requests, usd = settings.DAILY_REQUESTS_VOTER, settings.DAILY_USD_VOTER
        case Spending.Scope.NETWORK:
            requests, usd = settings.DAILY_REQUESTS_NETWORK, settings.DAILY_USD_NETWORK
        case _:
            requests, usd = 0, 0.0
    return Limit(requests, round(usd * MILLIONTHS))


# --- what a request costs ------------------------------------------------------------------------


def estimated_tokens(characters: int) -> int:
    """What a provider does not report."""
    return -(-characters // CHARS_PER_TOKEN)


def cost(contestant: Contestant, *, input_tokens: int, output_tokens: int) -> int:
    """Millionths of a dollar. A model without a price has its endpoint's, or none."""
    endpoint = contestant.endpoint
    price_in, price_out = contestant.price_input, contestant.price_output
    if endpoint is not None:
        price_in = endpoint.price_input if price_in is None else price_in
        price_out = endpoint.price_output if price_out is None else price_out
    exact = (price_in or Decimal(0)) * input_tokens + (price_out or Decimal(0)) * output_tokens
    return int(exact.to_integral_value(ROUND_CEILING))


def highest_cost(
    contestant: Contestant, *, texts: Iterable[str], max_tokens: int, images: int = 0
) -> int:
    """The most that one request can cost: no tokeniser makes more tokens of a text than bytes."""
    tokens = sum(len(text.encode()) + TOKENS_AROUND_A_MESSAGE for text in texts)
    tokens += TOKENS_OF_AN_IMAGE * images
    return cost(contestant, input_tokens=tokens, output_tokens=max_tokens)


# --- reserving and settling ----------------------------------------------------------------------


@dataclass(slots=True)
class _Change:
    requests: int = 0
    held: int = 0
    spent: int = 0

    def less(self, other: _Change) -> _Change:
        return _Change(
            self.requests - other.requests, self.held - other.held, self.spent - other.spent
        )


def reserve(
    *, turn: Turn, voter_id: int | None, network: str, planned: Sequence[Charge]
) -> Reservation:
    """Hold what the turn may cost, or raise Refused, which says when to come back.

    Called in the transaction that makes the turn, as its last step. `network` is a prefix, as
    `networks.prefix_of` gives it; empty where nobody is to be limited by it.
    """
    day = _today()
    reservation = Reservation(
        turn=turn,
        day=day,
        voter=str(voter_id) if voter_id and limit_of(Spending.Scope.VOTER) else "",
        network=(
            networks.key_of(network, day) if network and limit_of(Spending.Scope.NETWORK) else ""
        ),
        charges=[[charge.endpoint, charge.millionths] for charge in planned],
    )
    reservation.save()
    _apply(reservation, _contribution(reservation), limited=True)
    return reservation


def settle(*, turn_id: int, charges: Sequence[Charge]) -> None:
    """Put what the turn used in the place of what it held.

    Called in the transaction that ends the turn. A turn may be settled again, by its owner, after
    the sweep took the owner for dead: then the later word counts.
    """
    reservation = Reservation.objects.select_for_update().filter(turn=turn_id).order_by("pk").last()
    if reservation is None:  # begun by a release that knew no budgets
        return
    before = _contribution(reservation)
    reservation.charges = [[charge.endpoint, charge.millionths] for charge in charges]
    reservation.settled = True
    reservation.save(update_fields=["charges", "settled"])
    after = _contribution(reservation)
    nothing = _Change()
    _apply(
        reservation,
        {
            counter: after.get(counter, nothing).less(before.get(counter, nothing))
            for counter in before | after
        },
        limited=False,
    )


Counter = tuple[str, str]  # scope and key


def _contribution(reservation: Reservation) -> dict[Counter, _Change]:
    """What a reservation adds to each counter."""
    total = _Change()
    found: dict[Counter, _Change] = defaultdict(_Change)
    for endpoint, millionths in reservation.charges:
        for change in (total, found[Spending.Scope.ENDPOINT, str(endpoint)]):
            change.requests += 1
            if reservation.settled:
                change.spent += millionths
            else:
                change.held += millionths
    if reservation.voter:
        found[Spending.Scope.VOTER, reservation.voter] = total
    if reservation.network:
        found[Spending.Scope.NETWORK, reservation.network] = total
    found[Spending.Scope.ARENA, ""] = total
    return found


# Counters are locked in this order, against deadlock; the one that all share comes last.
_ORDER = (
    Spending.Scope.ENDPOINT, Spending.Scope.VOTER, Spending.Scope.NETWORK, Spending.Scope.ARENA,
)  # fmt: skip
_OF_PEOPLE = (Spending.Scope.VOTER, Spending.Scope.NETWORK)


def _apply(reservation: Reservation, changes: dict[Counter, _Change], *, limited: bool) -> None:
    for scope, key in sorted(changes, key=lambda counter: (_ORDER.index(counter[0]), counter)):
        change = changes[scope, key]
        limit = limit_of(scope) if limited else Limit()
        counter = (str(scope), key)
        if _add(reservation.day, counter, change, limit):
            continue
        if not limited and scope in _OF_PEOPLE:
            continue  # its day is over and forgotten
        Spending.objects.bulk_create(
            [Spending(day=reservation.day, scope=scope, key=key)], ignore_conflicts=True
        )
        if not _add(reservation.day, counter, change, limit):
            row = Spending.objects.get(day=reservation.day, scope=scope, key=key)
            _refuse(row, change, limit)


_ADD = (
    f"UPDATE {Spending._meta.db_table}"  # noqa: S608
    " SET requests = requests + %s, held = held + %s, spent = spent + %s"
    " WHERE day = %s AND scope = %s AND key = %s"
)


def _add(day: date, counter: Counter, change: _Change, limit: Limit) -> bool:
    """One statement: it waits for whoever changes the row, and then looks at what it has become.

    Four to eight of these belong to every battle: the ORM would take as long as all the rest.
    """
    sql = _ADD
    values: list[int | str] = [change.requests, change.held, change.spent, str(day), *counter]
    if limit.requests:
        sql += " AND requests <= %s"
        values.append(limit.requests - change.requests)
    if limit.millionths and change.held:  # what costs nothing needs no money
        sql += " AND spent + held <= %s"
        values.append(limit.millionths - change.held)
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return bool(cursor.rowcount)


_USED_UP = {
    Spending.Scope.VOTER: "You have asked all that one person may ask on one day.",
    Spending.Scope.NETWORK: "Your network has asked all that it may ask on one day.",
    Spending.Scope.ARENA: "The arena has spent its budget of today.",
}


def _refuse(row: Spending, change: _Change, limit: Limit) -> None:
    out_of_requests = limit.requests and row.requests + change.requests > limit.requests
    if not out_of_requests and row.spent + change.held <= limit.millionths:
        # Not spent yet, only held: turns that are running now will give most of it back.
        raise Refused("busy", f"Busy, please retry in {BUSY_SECONDS} s.", retry_after=BUSY_SECONDS)
    seconds = seconds_of_the_day_left()
    raise Refused(
        f"limit_{row.scope}",
        f"{_USED_UP[Spending.Scope(row.scope)]} Please come back after midnight UTC, "
        f"in {_in_words(seconds)}.",
        retry_after=seconds,
    )


def _today() -> date:
    return timezone.now().date()


def seconds_of_the_day_left() -> int:
    now = timezone.now()
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    return int((midnight - now).total_seconds()) + 1


def _in_words(seconds: int) -> str:
    minutes = -(-seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h"


# --- looking at it, and forgetting ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """How one budget stands today."""

    scope: str
    name: str
    requests: int
    spent: int
    held: int
    limit: Limit

    @property
    def requests_left(self) -> int | None:
        return max(0, self.limit.requests - self.requests) if self.limit.requests else None

    @property
    def left(self) -> int | None:
        if not self.limit.millionths:
            return None
        return max(0, self.limit.millionths - self.spent - self.held)


def standings(*, people: int = 10) -> list[Standing]:
    """Today's: the arena, every endpoint, and the voters and networks that asked most."""
    return list(chain(_of_the_arena(), _of_endpoints(), _of_people(people)))


def _of_the_arena() -> Iterator[Standing]:
    row = Spending.objects.filter(day=_today(), scope=Spending.Scope.ARENA).first() or Spending()
    yield _standing(row, Spending.Scope.ARENA, "All battles", limit_of(Spending.Scope.ARENA))


def _of_endpoints() -> Iterator[Standing]:
    rows = {
        row.key: row for row in Spending.objects.filter(day=_today(), scope=Spending.Scope.ENDPOINT)
    }
    for endpoint in Endpoint.objects.order_by("name"):
        limit = Limit(endpoint.daily_requests or 0, int((endpoint.daily_budget or 0) * MILLIONTHS))
        row = rows.get(str(endpoint.pk)) or Spending()
        if limit or row.requests:
            yield _standing(row, Spending.Scope.ENDPOINT, endpoint.name, limit)


def _of_people(most: int) -> Iterator[Standing]:
    for scope in _OF_PEOPLE:
        rows = Spending.objects.filter(day=_today(), scope=scope).with_total()
        for row in rows.order_by("-total", "-requests", "key")[:most]:
            yield _standing(row, scope, f"{scope.value} {row.key[:8]}", limit_of(scope))


def _standing(row: Spending, scope: str, name: str, limit: Limit) -> Standing:
    return Standing(scope, name, row.requests, row.spent, row.held, limit)


def prune() -> int:
    """Forget who asked how much on earlier days, the salts, and settled reservations.

    Yesterday's networks and voters stay while a turn of yesterday still runs.
    """
    today = _today()
    running = set(
        Reservation.objects.filter(settled=False, day__lt=today).values_list("day", flat=True)
    )
    people = Spending.objects.filter(scope__in=_OF_PEOPLE, day__lt=today).exclude(day__in=running)
    NetworkSalt.objects.filter(day__lt=today).delete()
    old = Reservation.objects.filter(settled=True, day__lt=today - timedelta(days=KEPT_DAYS))
    return people.delete()[0] + old.delete()[0]
