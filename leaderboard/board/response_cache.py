"""Finished answers, kept in the process for as long as what they were made from stands.

    return respond(request, query=query.encoded(), build=lambda: render(request, ...))

Everything public about the ratings is a function of the address and of `state()`: the current
snapshots, the models' cards, the categories, the benchmark results. An answer is built once for
each of them, compressed once, and given its ETag from its own bytes, so that any process of any
start gives the same one.

Only for answers that are the same for everybody: no form with a CSRF token, no name of a user.
For somebody who is logged in, pass `shared=False`: it is built anew and not to be kept.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock

from django.conf import settings
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from arena.models import Contestant
from config.version import VERSION
from evaluation.results import published as evaluation
from leaderboard.models import Category, Reliability, Snapshot

MAX_AGE = 10  # seconds a reader may go on without asking again
WORTH_COMPRESSING = 1_000  # bytes
LARGEST_SHARE = 4  # an answer larger than a quarter of the cache is not kept
# Of a model: not its weight, which may change with each draw.
PUBLIC_FIELDS = [
    field.attname
    for field in Contestant._meta.concrete_fields
    if field.name not in ("endpoint", "upstream_model", "weight")
]
KEPT_HEADERS = ("Content-Type", "Content-Disposition", "Link")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as bytes, in both encodings."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    compressed: bytes  # empty: not worth it
    etag: str

    @classmethod
    def of(cls, response: HttpResponse) -> Answer:
        body = response.content
        compressed = b""
        if len(body) >= WORTH_COMPRESSING:
            # No time stamp: the same body gives the same bytes.
            compressed = gzip.compress(body, compresslevel=5, mtime=0)
            if len(compressed) > 0.9 * len(body):
                compressed = b""
        headers = tuple((name, response[name]) for name in KEPT_HEADERS if name in response)
        named = hashlib.sha256(repr(headers).encode() + body).hexdigest()[:24]
        # Weak: the same tag stands for both encodings.
        return cls(headers, body, compressed, f'W/"{named}"')

    @property
    def size(self) -> int:
        return len(self.body) + len(self.compressed) + 500

    def response(self, request: HttpRequest, *, cache_control: str) -> HttpResponse:
        if _matches(request.headers.get("If-None-Match", ""), self.etag):
            response = HttpResponse(status=304)
            del response["Content-Type"]
        elif self.compressed and _accepts_gzip(request):
            response = HttpResponse(self.compressed)
            response["Content-Encoding"] = "gzip"
        else:
            response = HttpResponse(self.body)
        for name, value in self.headers:
            if response.status_code != 304:
                response[name] = value
        response["ETag"] = self.etag
        response["Cache-Control"] = cache_control
        patch_vary_headers(response, ["Accept-Encoding"])
        return response


class Shelf:
    """The most recently used answers, up to a number of bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], Answer] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: tuple[str, ...]) -> Answer | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[str, ...], answer: Answer, *, limit: int) -> None:
        if answer.size * LARGEST_SHARE > limit:
            return
        with self._lock:
            if (former := self._kept.pop(key, None)) is not None:
                self._bytes -= former.size
            self._kept[key] = answer
            self._bytes += answer.size
            while self._bytes > limit:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.size

    @property
    def bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)


shelf = Shelf()


def respond(
    request: HttpRequest,
    *,
    query: str,
    build: Callable[[], HttpResponse],
    max_age: int = 0,
    shared: bool = True,
) -> HttpResponse:
    """The answer to this path and canonical `query`: from the shelf, or built and put there.

    Only a 200 is kept. `max_age` 0 lets a browser keep it but ask each time (304).
    """
    if not shared:
        response = build()
        response["Cache-Control"] = "private, no-store"
        return response
    key = (request.path, query, state())
    answer = shelf.get(key)
    if answer is None:
        response = build()
        if response.status_code != 200:
            return response
        answer = Answer.of(response)
        shelf.put(key, answer, limit=settings.BOARD_CACHE_BYTES)
    return answer.response(request, cache_control=_cache_control(max_age))


def respond_once(request: HttpRequest, response: HttpResponse, *, max_age: int = 0) -> HttpResponse:
    """ETag, 304 and compression for an answer that no other request will ask for."""
    return Answer.of(response).response(request, cache_control=_cache_control(max_age))


def _cache_control(max_age: int) -> str:
    return f"public, max-age={max_age}" if max_age else "public, no-cache"


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison with a list of tags."""
    wanted = etag.removeprefix("W/")
    given = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return wanted in given or given == ["*"]


def _accepts_gzip(request: HttpRequest) -> bool:
    for part in request.headers.get("Accept-Encoding", "").split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return weight.strip().replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


_known: tuple[float, str] = (0.0, "")  # when it was asked, what it was


def state() -> str:
    """A digest of everything public answers are made from; at most BOARD_RECHECK_SECONDS old."""
    global _known
    asked, digest = _known
    if not digest or time.monotonic() - asked >= settings.BOARD_RECHECK_SECONDS:
        digest = _digest()
        _known = (time.monotonic(), digest)
    return digest


def _digest() -> str:
    """Read in six queries: a card, a category or a result may change without a new snapshot."""
    sha = hashlib.sha256()
    parts: Iterable[object] = (
        VERSION,
        (settings.MIN_CATEGORY_BATTLES, settings.MIN_CATEGORY_MODELS, settings.MIN_RATED_VOTES),
        # The time as well: a database put back in time gives the same id twice.
        list(Snapshot.objects.filter(superseded=False).order_by("id")
             .values_list("id", "published_at")),
        list(Category.objects.order_by("id").values_list()),
        list(Contestant.objects.order_by("id").values_list(*PUBLIC_FIELDS)),
        Reliability.objects.aggregate(n=Count("pk"), changed=Max("changed_at")),
        evaluation.state(),
    )  # fmt: skip
    for part in parts:
        sha.update(json.dumps(part, default=str).encode())
    return sha.hexdigest()
