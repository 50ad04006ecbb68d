"""Requests that arrive together are worked on together: the fixed price of a pass is paid once, however small they are.

Two requests, one after the other, are a request with both (repeated fields concatenate). Each is still answered for itself: where one
of them is malformed, or holds a span that is refused, all are worked on one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from otel_ext.errors import MalformedPayload
from otel_ext.model import Receipt
from otel_ext.wire import Codec
from otel_ext.wire.table import Flag, Scan

# Above this a request pays its own way, and copying it would cost more than a pass saves.
JOINED_BYTES_MAX: Final = 64 * 1024
JOINED_REQUESTS_MAX: Final = 64
WAIT_S: Final = 0.002  # for company, where the pass before was called for less than BUSY_S ago
BUSY_S: Final = 0.01

Work = Callable[[bytes, Scan, Any], Receipt]
_Waiting = tuple[bytes, "asyncio.Future[Receipt]"]


class Intake:
    """In front of *work*, which takes a payload, its scan and its origin, and raises where it keeps nothing. One event loop.

    An origin is whatever requests must share to be worked on together: those of another one wait apart.
    """

    def __init__(self, codec: Codec, work: Work) -> None:
        self._codec = codec
        self._work = work
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._origin: object = None  # of those that wait
        self._flushed_s = 0.0  # when the last pass was called for

    async def take(self, payload: bytes, origin: object = None) -> Receipt:
        """The receipt of *payload*; raises what *work* or the codec does."""
        if len(payload) > JOINED_BYTES_MAX // 2:
            return self._one(payload, origin)
        loop = asyncio.get_running_loop()
        if origin is not self._origin:
            self._flush()
            self._origin = origin
        if self._waiting_bytes + len(payload) > JOINED_BYTES_MAX or len(self._waiting) >= JOINED_REQUESTS_MAX:
            self._flush()
        if not self._waiting:
            self._call_flush(loop)
        receipt: asyncio.Future[Receipt] = loop.create_future()
        self._waiting.append((payload, receipt))
        self._waiting_bytes += len(payload)
        return await receipt

    def _call_flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """At once after a pause; while small requests keep coming, a moment later, so that more of them share the pass."""
        now_s = loop.time()
        if now_s - self._flushed_s < BUSY_S:
            loop.call_later(WAIT_S, self._flush)
        else:
            loop.call_soon(self._flush)
        self._flushed_s = now_s

    def _one(self, payload: bytes, origin: object) -> Receipt:
        return self._work(payload, self._codec.scan(payload), origin)

    def _flush(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if len(waiting) < 2 or not self._together(waiting):
            for payload, receipt in waiting:
                self._answer(payload, receipt)

    def _together(self, waiting: list[_Waiting]) -> bool:
        """Work on all at once; False, and nothing done, where they must be told apart."""
        joined = b"".join(payload for payload, _ in waiting)
        try:
            scan = self._codec.scan(joined)
        except MalformedPayload:
            return False
        if np.any(scan.spans["flags"] & np.uint32(Flag.INVALID_ID)):
            return False
        try:
            total = self._work(joined, scan, self._origin)
        except Exception as error:
            _settle_all(waiting, error)
        else:
            # Only the sum is ever shown: the first answers for all.
            for number, (_, receipt) in enumerate(waiting):
                if not receipt.done():
                    receipt.set_result(total if number == 0 else Receipt(0))
        return True

    def _answer(self, payload: bytes, receipt: asyncio.Future[Receipt]) -> None:
        try:
            result = self._one(payload, self._origin)
        except Exception as error:
            _settle_all([(payload, receipt)], error)
        else:
            if not receipt.done():
                receipt.set_result(result)


def _settle_all(waiting: list[_Waiting], error: Exception) -> None:
    for _, receipt in waiting:
        if not receipt.done():
            receipt.set_exception(error)
