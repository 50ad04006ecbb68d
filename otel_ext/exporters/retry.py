"""When to try again: exponential backoff with full jitter, and the delay that a destination asked for.

Full jitter, because many senders that lost one destination at the same moment would else come back at the same moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otel_ext.exporters.base import Runtime

NS_PER_S = 1_000_000_000
EXPONENT_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays in seconds. A delay that the destination asked for is a minimum, obeyed up to `asked_max_s` (it may be a typing error)."""

    initial_s: float = 0.5
    max_s: float = 30.0
    asked_max_s: float = 3_600.0

    def delay_s(self, attempt: int, asked_s: float | None, random: Callable[[], float]) -> float:
        """The pause after failure number *attempt*, counted from 0."""
        ceiling_s = min(self.max_s, self.initial_s * 2.0 ** min(attempt, EXPONENT_MAX))
        jittered_s = random() * ceiling_s
        return jittered_s if asked_s is None else max(jittered_s, min(asked_s, self.asked_max_s))


DEFAULT_BACKOFF: Final = Backoff()


class Gate:
    """Holds all requests to one destination for as long as it asked: a rate limit is the destination's, not one request's."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._closed_at_ns = 0
        self._closed_for_ns = 0

    def close_for(self, delay_s: float) -> None:
        """Hold requests for *delay_s* from now, or longer where an earlier wish asks it."""
        delay_ns = int(delay_s * NS_PER_S)
        if delay_ns > self._left_ns():
            self._closed_at_ns, self._closed_for_ns = self._runtime.now_ns(), delay_ns

    async def pass_through(self) -> None:
        """Wait until requests may leave."""
        while (left_ns := self._left_ns()) > 0:
            await self._runtime.sleep(left_ns / NS_PER_S)

    def _left_ns(self) -> int:
        if not self._closed_for_ns:
            return 0
        now_ns = self._runtime.now_ns()
        # A clock set back must not lengthen the pause: count from the new now.
        self._closed_at_ns = min(self._closed_at_ns, now_ns)
        if now_ns - self._closed_at_ns >= self._closed_for_ns:
            self._closed_for_ns = 0
            return 0
        return self._closed_for_ns - (now_ns - self._closed_at_ns)


async def sleep_unless(event: asyncio.Event, seconds: float, runtime: Runtime) -> bool:
    """Sleep *seconds*, less when *event* is set meanwhile; True when it was."""
    waits = (asyncio.ensure_future(event.wait()), asyncio.ensure_future(runtime.sleep(seconds)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(waits)
    return event.is_set()


async def cancel(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel all and wait for their end, whatever it is."""
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)
