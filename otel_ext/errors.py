"""The errors of this package: permanent, retryable, configuration.

One question decides what a receiver answers and what an exporter does next: would the same bytes succeed later?
"""


class OtelExtError(Exception):
    """Root of every error this package raises on purpose."""


class ConfigError(OtelExtError):
    """The configuration cannot be used. `faults` holds one `path.to.key: what is wrong, what is allowed` each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class PermanentError(OtelExtError):
    """The same bytes will never succeed: refuse, count, do not retry."""


class MalformedPayload(PermanentError):
    """The bytes are not a valid OTLP request. `at` is the byte index at which reading failed."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(f"{reason} at byte {at}")
        self.reason = reason
        self.at = at


class TooLarge(PermanentError):
    """A request over a size limit. `limit_bytes` is the limit, `size_bytes` what was seen before reading stopped."""

    def __init__(self, limit_bytes: int, size_bytes: int) -> None:
        super().__init__(f"request of at least {size_bytes} bytes, the limit is {limit_bytes} bytes")
        self.limit_bytes = limit_bytes
        self.size_bytes = size_bytes


class Refused(PermanentError):
    """A destination refused for good. `reason` is a short label (`unauthenticated`), `bad_data` says that the bytes are at fault."""

    def __init__(self, reason: str, message: str, *, bad_data: bool = False) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.bad_data = bad_data


class RetryableError(OtelExtError):
    """The same bytes may succeed later. `retry_after_s` is the delay asked for, in seconds, or None."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(RetryableError):
    """We cannot take this request now; nothing of it was kept."""


class Unreachable(RetryableError):
    """A destination did not answer, or asked us to come back."""
