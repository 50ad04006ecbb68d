"""What a log of batches, a destination and their surroundings must offer. No I/O here.

The log is an interface because the in-memory one can be replaced by a durable one: nothing below `BatchLog` knows where bytes are kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Clock, sleep and randomness, handed in so that tests own time.

    `now_ns` is nanoseconds since the epoch, `sleep` takes seconds, `random` yields [0, 1).
    """

    now_ns: Callable[[], int]
    sleep: Callable[[float], Awaitable[object]]
    random: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Record:
    """One batch as each destination shall see it: a payload and its number of spans per destination; b"" means nothing for it."""

    payloads: tuple[bytes, ...]
    spans: tuple[int, ...]


class Lease(Protocol):
    """Consecutive payloads of one destination, kept by the log until `done`.

    Joining is concatenation: the bytes of two ExportTraceServiceRequests are one with both, since repeated fields concatenate.
    """

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The payloads."""
        ...

    @property
    def payload(self) -> bytes:
        """The same, joined."""
        ...

    @property
    def spans(self) -> int:
        """Spans in `payload`."""
        ...

    @property
    def records(self) -> int:
        """Payloads joined."""
        ...

    def done(self) -> None:
        """The destination answered for good (delivered, or refused and counted): the log may forget the payload. Idempotent."""
        ...


class LogReader(Protocol):
    """One destination's cursor. One caller at a time may wait; many leases may be open, and end in any order."""

    @property
    def depth(self) -> int:
        """Payloads not done yet, leased ones included."""
        ...

    @property
    def capacity(self) -> int:
        """The bound of `depth`."""
        ...

    @property
    def spans(self) -> int:
        """Spans in the payloads not done yet, leased ones included."""
        ...

    @property
    def ready_bytes(self) -> int:
        """Bytes that `take` could lease now."""
        ...

    async def ready(self) -> None:
        """Return once there is something to take."""
        ...

    async def take(self, bytes_max: int) -> Lease:
        """Lease the oldest payloads up to *bytes_max* together, and one at least; waits for the first."""
        ...


class BatchLog(Protocol):
    """A bounded log of records with a cursor per destination."""

    def check(self) -> None:
        """Raise Overloaded if `append` would. After it, without an await between, `append` is sure to succeed."""
        ...

    def append(self, record: Record) -> None:
        """Keep *record* for every destination that has a payload in it; raises Overloaded, with a delay, and keeps nothing, when full."""
        ...

    def reader(self, index: int) -> LogReader:
        """The cursor of the destination at *index* of `Record.payloads`; the same object every time."""
        ...


@dataclass(frozen=True, slots=True)
class SendResult:
    """A success. `rejected_spans` of the request were refused by the destination for good, `message` says why."""

    rejected_spans: int = 0
    message: str = ""


class Destination(Protocol):
    """Sends one request to one place, once. It never retries, so that the rules of retry are in one place."""

    @property
    def name(self) -> str:
        """A short label for metrics and logs."""
        ...

    async def start(self) -> None:
        """Open what must be opened inside a running loop; no connection is needed to succeed."""
        ...

    async def send(self, payload: bytes) -> SendResult:
        """Send one ExportTraceServiceRequest.

        Raises Refused (`bad_data` where fewer or other bytes may be accepted) or RetryableError (with the delay asked for, if any).
        """
        ...

    async def close(self) -> None:
        """Give connections back. Idempotent."""
        ...


@runtime_checkable
class PartsDestination(Destination, Protocol):
    """One that need not copy a request's parts into one."""

    async def send_parts(self, parts: Sequence[bytes]) -> SendResult:
        """`send` of *parts* joined."""
        ...


@dataclass(frozen=True, slots=True)
class Undelivered:
    """What a destination had not confirmed when the time to shut down was over. Some of it may have arrived."""

    destination: str
    records: int
    spans: int
