"""Generations: one request for 1-10 pictures, everything that became of it, and the events that tell it live.

    QUEUED -> PREPARING -> GENERATING -> STORING -> SUCCEEDED
                     └────────────┴──────────┴---> FAILED | REFUSED | CANCELLED

Some pictures may succeed while others fail: the generation then SUCCEEDED, and lists the failures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.costs import Cost, CostBasis, total
from domain.failures import REFUSALS, GenerationFailure
from domain.pictures import Picture
from domain.prompts import StructuredPrompt
from domain.providers import ImageOptions, ProviderKind, ReferenceRole
from domain.routes import Route
from domain.tags import Tag


class GenerationState(StrEnum):
    """How far a generation has come."""

    QUEUED = "QUEUED"
    PREPARING = "PREPARING"
    GENERATING = "GENERATING"
    STORING = "STORING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self in TERMINAL


TERMINAL = frozenset(
    {GenerationState.SUCCEEDED, GenerationState.FAILED, GenerationState.REFUSED, GenerationState.CANCELLED}
)

STAGES = {
    GenerationState.QUEUED: "Waiting for a free place",
    GenerationState.PREPARING: "Reading the reference images",
    GenerationState.GENERATING: "The provider is making the pictures",
    GenerationState.STORING: "Storing the pictures",
    GenerationState.SUCCEEDED: "Done",
    GenerationState.FAILED: "Failed",
    GenerationState.REFUSED: "Refused by the provider's content policy",
    GenerationState.CANCELLED: "Cancelled",
}
"""Each state in words for a person."""


@dataclass(frozen=True, slots=True)
class PinnedReference:
    """A reference image as it was when the work began: this copy, made for providers, and no other is sent.

    `sha256` is that of the original the person uploaded.
    """

    key: str
    sha256: str
    name: str
    role: ReferenceRole
    media_type: str
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Generation:
    """One request for pictures. `prompt` is what the provider is told; `identity` is a snapshot for the recipe.

    `tags` are those that the images get, `step_id` the step whose background the first one becomes. Provider, model,
    options, profile and `price` (of one picture) are those of the first route. A profile may be gone by now. `retry_of_id`
    is the generation that was asked for again with this one.
    """

    id: UUID
    community_id: UUID
    owner_id: UUID
    requested_by_id: UUID
    identity_id: UUID | None
    provider: ProviderKind
    model: str
    prompt: str
    structured_prompt: StructuredPrompt | None
    prompt_version: int | None
    identity: Mapping[str, object] | None
    options: ImageOptions
    parent_image_id: UUID | None
    save_to_identity: bool
    idempotency_key: str | None
    input_hash: str
    state: GenerationState
    event_seq: int
    references: tuple[PinnedReference, ...]
    failures: tuple[GenerationFailure, ...]
    expected_s: float | None
    actual_cost: Cost | None
    created_at: datetime
    finished_at: datetime | None
    prompt_id: UUID | None = None
    step_id: UUID | None = None
    tags: tuple[Tag, ...] = ()
    profile_id: UUID | None = None
    price: Cost | None = None
    fallbacks: tuple[Route, ...] = ()
    retry_of_id: UUID | None = None

    @property
    def routes(self) -> tuple[Route, ...]:
        """The ways in which its pictures may be made, in order."""
        return (Route(self.provider, self.model, self.options, self.profile_id, self.price), *self.fallbacks)

    @property
    def estimated_cost_micro_usd(self) -> int | None:
        """What all its pictures should cost by the first route; None when nobody can tell."""
        return None if self.price is None else self.price.micro_usd * self.options.n

    @property
    def reserved_price(self) -> Cost:
        """What one picture may cost by any of the routes."""
        return max((route.assumed_price for route in self.routes), key=lambda price: price.micro_usd)

    def seconds_left(self, now: datetime) -> int | None:
        """An estimate from the measured times of this model; None when there is none or nothing is left to wait for."""
        return seconds_left(self.expected_s, self.created_at, now, self.state)


def seconds_left(expected_s: float | None, created_at: datetime, now: datetime, state: GenerationState) -> int | None:
    """Whole seconds until a generation that began at `created_at` should be done."""
    if expected_s is None or state.is_terminal:
        return None
    return max(0, round(expected_s - (now - created_at).total_seconds()))


@dataclass(frozen=True, slots=True)
class GenerationEvent:
    """One step of progress. `seq` counts from 1 without gaps; the order of numbers is the order of commits."""

    generation_id: UUID
    seq: int
    at: datetime
    state: GenerationState
    stage: str
    index: int | None = None
    preview: Picture | None = None
    image_id: UUID | None = None
    failure: GenerationFailure | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether this is the last event."""
        return self.state.is_terminal


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event before its number is drawn. A `state` of None keeps the generation's."""

    state: GenerationState | None = None
    stage: str | None = None
    index: int | None = None
    preview: Picture | None = None
    image_id: UUID | None = None
    failure: GenerationFailure | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to a provider, recorded before and after. `outcome` is STARTED, SUCCEEDED, CANCELLED or a FailureCode.

    `is_charged` means that the provider may have taken money for a call that failed. `route` counts from 0.
    `detail` is what the provider said on failure, redacted: for admins.
    """

    id: UUID
    generation_id: UUID
    index: int
    number: int
    provider: ProviderKind
    model: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    provider_request_id: str | None
    cost: Cost | None
    is_charged: bool = False
    route: int = 0
    profile_id: UUID | None = None
    detail: str | None = None

    @property
    def is_paid_for(self) -> bool:
        """Whether it counts: it brought a picture, or may have been charged without one."""
        return self.is_charged or self.outcome == SUCCEEDED


STARTED = "STARTED"
SUCCEEDED = "SUCCEEDED"
CANCELLED = "CANCELLED"


def final_state(images: int, failures: Sequence[GenerationFailure]) -> GenerationState:
    """Where a generation ends: any picture is a success; refusals alone are a refusal; all else has failed."""
    if images:
        return GenerationState.SUCCEEDED
    if failures and all(failure.code in REFUSALS for failure in failures):
        return GenerationState.REFUSED
    return GenerationState.FAILED


def final_stage(state: GenerationState, images: int, requested: int) -> str:
    """The last event's words."""
    if state is GenerationState.SUCCEEDED and images < requested:
        return f"Done: {images} of {requested} pictures"
    return STAGES[state]


def cancelled_stage(images: int, requested: int, lost: int) -> str:
    """The last words of a generation that was cancelled: what is there, and what was paid for all the same."""
    there = f": {images} of {requested} pictures" if images else ""
    paid = f"; {lost} {'more ' if images else ''}may have been charged" if lost else ""
    return f"{STAGES[GenerationState.CANCELLED]}{there}{paid}"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed call is made again: only what is safe and likely to help, with growing pauses."""

    max_attempts: int = 4
    first_pause_s: float = 1.0
    max_pause_s: float = 60.0

    def pause_s(self, failure: GenerationFailure, attempts_made: int, jitter: float) -> float | None:
        """Seconds to wait before the next call, or None to give up. `jitter` is between 0 and 1.

        A provider's Retry-After is kept to the second, and is given up on when it is longer than `max_pause_s`.
        """
        if not failure.is_retryable or failure.is_charged or attempts_made >= self.max_attempts:
            return None
        if failure.retry_after_s is not None:
            return failure.retry_after_s + jitter if failure.retry_after_s <= self.max_pause_s else None
        return min(self.max_pause_s, self.first_pause_s * 2.0 ** (attempts_made - 1)) * (0.5 + jitter / 2)


def cost_of(attempts: Sequence[Attempt], generation: Generation) -> Cost | None:
    """What the calls cost, as it is counted; None when no price was to be had for any of them, told or expected."""
    prices = (attempt.cost or (attempt.is_charged and generation.routes[attempt.route].price) for attempt in attempts)
    return spent(attempts, generation) if any(prices) else None


def spent(attempts: Sequence[Attempt], generation: Generation) -> Cost:
    """What the calls cost; one that was paid for without a word of the price counts as was estimated."""
    paid = (attempt for attempt in attempts if attempt.is_paid_for)
    costs = (attempt.cost or generation.routes[attempt.route].assumed_price for attempt in paid)
    return total(costs) or Cost(0, CostBasis.REPORTED)


@dataclass(frozen=True, slots=True)
class RunningGeneration:
    """How far a generation has come that has not ended, or did so shortly after it began."""

    id: UUID
    owner_id: UUID
    event_seq: int
    has_ended: bool = False


class IdempotencyKeyTaken(Exception):
    """The requester has used the idempotency key before; raised by the repository."""


class PictureSettled(Exception):
    """What became of the picture is on record, told by another worker; raised by the repository."""
