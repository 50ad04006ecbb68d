"""What the API answers, as values: the fields that both generations of the server have, under one name each. `raw` holds the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from otel_ext.errors import PermanentError

T = TypeVar("T")
Raw = Mapping[str, Any]

# Older servers say `calculatedTotalCost`, and `usage` beside `usageDetails`.
_COST_KEYS: Final = ("totalCost", "calculatedTotalCost")


class Unreadable(PermanentError):
    """An answer that is not what the API documents; says where."""


@dataclass(frozen=True, slots=True)
class Health:
    """`version` tells the generation: 3.x or 4.x."""

    status: str
    version: str


@dataclass(frozen=True, slots=True)
class Project:
    """The project of the key pair."""

    id: str
    name: str
    organization: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One span as stored. `input` and `output` are text from newer servers, JSON from older ones; cost is in US dollars."""

    id: str
    trace_id: str
    type: str
    name: str
    parent_id: str
    start: datetime | None
    end: datetime | None
    level: str
    status_message: str
    model: str
    environment: str
    usage: Mapping[str, float] = field(default_factory=dict)
    cost: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    input: Any = None
    output: Any = None
    raw: Raw = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A score, and what it is about."""

    id: str
    name: str
    value: float | str | None
    data_type: str
    trace_id: str
    observation_id: str
    comment: str
    environment: str
    raw: Raw = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A trace: stored as such by older servers, made of its observations on newer ones."""

    id: str
    name: str
    observations: Sequence[Observation]
    scores: Sequence[Score] = ()

    @property
    def cost(self) -> float:
        """US dollars of all observations whose cost is known."""
        return sum(each.cost or 0 for each in self.observations)


@dataclass(frozen=True, slots=True)
class PricingTier:
    """US dollars a token by usage type. Without `above`: the default; else of calls with more input tokens than that."""

    name: str
    prices: Mapping[str, float]
    above: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDefinition:
    """How a server prices the models whose names `pattern` (a regular expression of PostgreSQL) fits. `start`: YYYY-MM-DD, "" always."""

    name: str
    pattern: str
    tiers: Sequence[PricingTier]
    start: str = ""
    managed: bool = False  # it came with the server
    id: str = ""


def health(raw: Raw) -> Health:
    """From GET /health."""
    return Health(_text(raw, "status"), _text(raw, "version"))


def project(raw: Raw) -> Project:
    """From GET /projects."""
    organization = raw.get("organization")
    return Project(_id(raw, "project"), _text(raw, "name"), _text(organization, "name") if isinstance(organization, dict) else "")


def observation(raw: Raw) -> Observation:
    """From either observations route, or from inside a trace."""
    return Observation(
        id=_id(raw, "observation"),
        trace_id=_text(raw, "traceId"),
        type=_text(raw, "type"),
        name=_text(raw, "name"),
        parent_id=_text(raw, "parentObservationId"),
        start=_time(raw, "startTime"),
        end=_time(raw, "endTime"),
        level=_text(raw, "level"),
        status_message=_text(raw, "statusMessage"),
        # v2 routes of 4.16 say `providedModelName`, later ones `model`, as v1 routes do.
        model=_text(raw, "model") or _text(raw, "providedModelName"),
        environment=_text(raw, "environment"),
        usage={key: value for key, value in _mapping(raw, "usageDetails").items() if isinstance(value, int | float)},
        cost=next((float(raw[key]) for key in _COST_KEYS if isinstance(raw.get(key), int | float)), None),
        metadata=_mapping(raw, "metadata"),
        input=raw.get("input"),
        output=raw.get("output"),
        raw=raw,
    )


def score(raw: Raw) -> Score:
    """From either scores route: newer servers name the subject in an object of its own."""
    subject = _mapping(raw, "subject")
    kind, subject_id = _text(subject, "kind") or _text(subject, "type"), _text(subject, "id")
    of_observation = kind.lower() == "observation"
    value = raw.get("value")
    return Score(
        id=_id(raw, "score"),
        name=_text(raw, "name"),
        value=value if isinstance(value, int | float | str) else None,
        data_type=_text(raw, "dataType"),
        trace_id=_text(subject, "traceId") or (subject_id if kind.lower() == "trace" else "") or _text(raw, "traceId"),
        observation_id=subject_id if of_observation else _text(raw, "observationId"),
        comment=_text(raw, "comment"),
        environment=_text(raw, "environment"),
        raw=raw,
    )


def trace(raw: Raw) -> Trace:
    """From GET /traces/{id} of an older server."""
    found = [observation(each) for each in items(raw, "observations", "a trace")]
    scores = [score(each) for each in items(raw, "scores", "a trace") if isinstance(each, dict)]
    return Trace(id=_id(raw, "trace"), name=_text(raw, "name"), observations=found, scores=scores)


def trace_of(trace_id: str, observations: Sequence[Observation]) -> Trace:
    """From what a newer server has of it."""
    known = {each.id for each in observations}
    roots = [each for each in observations if each.parent_id not in known]
    return Trace(id=trace_id, name=roots[0].name if roots else "", observations=observations)


def model_definition(raw: Raw) -> ModelDefinition:
    """From GET /models; conditions other than on tokens are left to `raw` data of the server."""
    return ModelDefinition(
        name=_text(raw, "modelName"),
        pattern=_text(raw, "matchPattern"),
        tiers=[_tier(tier) for tier in items(raw, "pricingTiers", "a model")],
        start=_text(raw, "startDate")[:10],
        managed=raw.get("isLangfuseManaged") is True,
        id=_text(raw, "id"),
    )


def _tier(raw: Raw) -> PricingTier:
    prices = {key: float(value) for key, value in _mapping(raw, "prices").items() if isinstance(value, int | float)}
    values = [condition.get("value") for condition in items(raw, "conditions", "a pricing tier") if isinstance(condition, dict)]
    return PricingTier(_text(raw, "name"), prices, int(values[0]) if values and isinstance(values[0], int | float) else None)


def model_request(definition: ModelDefinition) -> dict[str, Any]:
    """The body of POST /models: exactly one default tier, of priority 0 and without conditions; then the others."""
    body: dict[str, Any] = {
        "modelName": definition.name,
        "matchPattern": definition.pattern,
        "unit": "TOKENS",
        "pricingTiers": [_tier_request(priority, tier) for priority, tier in enumerate(definition.tiers)],
    }
    if definition.start:
        body["startDate"] = f"{definition.start}T00:00:00.000Z"
    return body


def _tier_request(priority: int, tier: PricingTier) -> dict[str, Any]:
    # All buckets of input count together, whatever an SDK calls them: what was read from a cache makes a context long too.
    condition = {"usageDetailPattern": "input|prompt|cache", "operator": "gt", "value": tier.above, "caseSensitive": False}
    return {
        "name": tier.name,
        "isDefault": tier.above is None,
        "priority": priority,
        "conditions": [] if tier.above is None else [condition],
        "prices": dict(tier.prices),
    }


def listed(raw: Raw, what: str, read: Callable[[Raw], T]) -> list[T]:
    """Every entry of `data`; raises Unreadable."""
    return [read(each) for each in items(raw, "data", what)]


def items(raw: Raw, key: str, what: str) -> list[Any]:
    """The list at *key*, empty where there is none; raises Unreadable for anything else, and for entries that are no objects."""
    value = raw.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or (key == "data" and not all(isinstance(each, dict) for each in value)):
        raise Unreadable(f"{what}: {key} is not a list of objects")
    return [each for each in value if isinstance(each, dict)]


def _id(raw: Raw, what: str) -> str:
    if not isinstance(raw.get("id"), str):
        raise Unreadable(f"a {what} without an id")
    return str(raw["id"])


def _text(raw: Raw, key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _mapping(raw: Raw, key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _time(raw: Raw, key: str) -> datetime | None:
    try:
        return datetime.fromisoformat(_text(raw, key))
    except ValueError:
        return None
