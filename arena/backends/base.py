"""What every backend adapter takes and gives.

An adapter turns one chat request into one HTTP request and the bytes of its response into typed
events. Adapters are sans-IO: they never open a socket, so a recorded exchange can be replayed
through them cut at any byte. `client.py` does the talking.

Nothing in this package imports Django.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol


class FinishReason(StrEnum):
    """Why a model stopped, in one vocabulary for all providers."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"
    OTHER = "other"


class ErrorKind(StrEnum):
    """What went wrong, as far as the arena has to act on it."""

    CONNECT = "connect"  # refused, reset before an answer, DNS, connect time-out
    TLS = "tls"  # certificate not trusted or expired
    BLOCKED_ADDRESS = "blocked_address"  # the address guard refused to connect
    REDIRECT = "redirect"  # 3xx: never followed
    AUTHENTICATION = "authentication"  # 401, 403
    NOT_FOUND = "not_found"  # 404: wrong path or unknown model
    BAD_REQUEST = "bad_request"  # any other 4xx
    CONTEXT_LENGTH = "context_length"  # the prompt does not fit the model
    CONTENT_FILTER = "content_filter"  # the provider declined
    RATE_LIMITED = "rate_limited"  # 429
    UNAVAILABLE = "unavailable"  # 408, 5xx, 529, "Loading model"
    QUOTA = "quota"  # 402, insufficient_quota: only the administrator can mend it
    EMPTY = "empty"  # a success without a single visible character
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105 (not that kind of token)
    STALLED = "stalled"  # the gap between two chunks grew too long
    TOTAL_TIMEOUT = "total_timeout"
    DISCONNECTED = "disconnected"  # the stream ended before the answer did
    PROTOCOL = "protocol"  # not the dialect it should be, or over a size cap
    UPSTREAM = "upstream"  # an error object inside a stream


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    url: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reports them; `None` where it does not say.

    A stream may hold several: each one replaces those before it. Counts nobody can have meant
    (below 1, above 10 million, not whole) are reported as `None`.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer is complete. `raw` is the provider's own word, for the administrator only."""

    reason: FinishReason
    raw: str = ""


@dataclass(frozen=True, slots=True)
class UpstreamId:
    """The provider's id of this exchange. It names the provider: never sent to a browser."""

    id: str


Event = TextDelta | ReasoningDelta | Citation | Usage | Finish | UpstreamId


class BackendError(Exception):
    """A failed exchange.

    `detail` is upstream text and may name the provider: it goes to the administrator's log and
    nowhere else.
    """

    def __init__(
        self,
        kind: ErrorKind,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}" if detail else str(kind))
        self.kind = kind
        self.detail = detail
        self.status = status
        self.retry_after = retry_after  # seconds


Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that goes with a message: a PNG, a JPEG or a WebP, which every dialect takes."""

    content_type: str
    data: bytes = field(repr=False)

    def base64(self) -> str:
        return b64encode(self.data).decode("ascii")

    def data_url(self) -> str:
        return f"data:{self.content_type};base64,{self.base64()}"


@dataclass(frozen=True, slots=True)
class Message:
    """`images` go with a user's message, and are sent before its text."""

    role: Role
    content: str
    images: Sequence[Image] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One turn to answer. `max_tokens` is always sent: an unbounded answer is unbounded cost."""

    model: str
    messages: Sequence[Message]
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    stream: bool = True


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 5.0
    first_token: float = 30.0
    gap: float = 20.0
    total: float = 180.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send a request. `base_url` is what the provider's documentation calls so."""

    kind: str  # a key of registry.ADAPTERS
    base_url: str
    api_key: str = field(default="", repr=False)
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(repr=False)
    json: Mapping[str, Any] | None = None


class Parser(Protocol):
    """Turns the body of one response into events. Made anew for each response.

    `feed` until `done` or the end of the body, then `close` once. The events are the same however
    the bytes are cut, also those before a failure: hence only `close` raises.
    """

    @property
    def done(self) -> bool:
        """Nothing that could follow belongs to this answer: stop reading and `close`."""
        ...

    @property
    def ended(self) -> bool:
        """The model has finished; what may still follow is its usage."""
        ...

    def feed(self, data: bytes) -> list[Event]:
        """The events these bytes complete; never `Finish`. Does not raise."""
        ...

    def close(self) -> list[Event]:
        """The rest of the answer, `Finish` last.

        Raises BackendError: DISCONNECTED or EMPTY if the body ended before the answer did,
        otherwise whatever made the parser stop (PROTOCOL, UPSTREAM, CONTENT_FILTER, …).
        """
        ...


class Adapter(Protocol):
    """One provider dialect."""

    kind: str
    title: str  # as an administrator reads it
    default_base_url: str

    def chat(self, target: Target, request: ChatRequest) -> HttpRequest: ...

    def models(self, target: Target) -> HttpRequest:
        """The request that lists the models. Optional in practice: servers may answer an error."""
        ...

    def model_names(self, body: bytes) -> list[str]: ...

    def parser(self, content_type: str) -> Parser:
        """A parser for a successful response, by what the body is, not by what was asked for."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        """The error a response that is not 2xx stands for."""
        ...
