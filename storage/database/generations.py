"""Questions about generations, their events and their attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from statistics import fmean
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    insert,
    literal_column,
    null,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.costs import Cost
from domain.errors import Conflict, NotFound
from domain.failures import FailureCode, GenerationFailure
from domain.generations import (
    STAGES,
    STARTED,
    SUCCEEDED,
    TERMINAL,
    Attempt,
    EventDraft,
    Generation,
    GenerationEvent,
    GenerationState,
    IdempotencyKeyTaken,
    PictureSettled,
    PinnedReference,
    RunningGeneration,
)
from domain.pages import Page, PageRequest
from domain.prompts import StructuredPrompt
from domain.providers import ImageOptions, OutputFormat, ProviderKind, ReferenceRole
from domain.routes import Route
from domain.tags import Tag, TagKind
from domain.users import Scope, Viewer
from storage.database.costs import cost_of_row, cost_values
from storage.database.keysets import Keyset
from storage.database.pictures import picture_of_json
from storage.database.reaches import reached
from storage.database.refusals import refused_as
from storage.database.tables import IS_OUTCOME, TELLS_A_COST, generation, generation_event, provider_attempt

TYPICAL_CALLS = 20
_POINTS_AT = ("fk_generation_identity_id", "fk_generation_step_id", "fk_generation_parent_image_id")
_GONE = Conflict("The identity, the step or the parent image was removed just now. Ask again without it.")

_c, _e, _a = generation.c, generation_event.c, provider_attempt.c
_PLAIN = (
    _c.id,
    _c.community_id,
    _c.owner_id,
    _c.requested_by_id,
    _c.identity_id,
    _c.provider,
    _c.model,
    _c.prompt,
    _c.structured_prompt,
    _c.prompt_version,
    _c.identity,
    _c.options,
    _c.parent_image_id,
    _c.save_to_identity,
    _c.idempotency_key,
    _c.input_hash,
    _c.state,
    _c.event_seq,
    _c.references,
    _c.failures,
    _c.expected_s,
    _c.created_at,
    _c.finished_at,
    _c.prompt_id,
    _c.step_id,
    _c.tags,
    _c.profile_id,
    _c.fallbacks,
    _c.retry_of_id,
)
_FIELDS = tuple(column.name for column in _PLAIN)
_GENERATION = (
    *_PLAIN,
    _c.estimated_cost_micro_usd,
    _c.estimated_cost_basis,
    _c.actual_cost_micro_usd,
    _c.actual_cost_basis,
)
_EVENT = (
    _e.generation_id,
    _e.seq,
    _e.at,
    _e.state,
    _e.stage,
    _e.index,
    _e.preview,
    _e.image_id,
    _e.failure,
)
_PLAIN_ATTEMPT = (
    _a.id,
    _a.generation_id,
    _a.index,
    _a.number,
    _a.provider,
    _a.model,
    _a.started_at,
    _a.finished_at,
    _a.outcome,
    _a.provider_request_id,
    _a.is_charged,
    _a.route,
    _a.profile_id,
    _a.detail,
)
_ATTEMPT_FIELDS = tuple(column.name for column in _PLAIN_ATTEMPT)
_ATTEMPT = (*_PLAIN_ATTEMPT, _a.cost_micro_usd, _a.cost_basis)
_RUNNING = tuple(state for state in GenerationState if state not in TERMINAL)


def _generation(row: Sequence[Any]) -> Generation:
    *plain, estimated, estimated_basis, actual, actual_basis = row
    values = dict(zip(_FIELDS, plain, strict=True))
    structured = values["structured_prompt"]
    values["provider"] = ProviderKind(values["provider"])
    values["structured_prompt"] = StructuredPrompt(**structured) if structured else None
    values["options"] = _options(**values["options"])
    values["state"] = GenerationState(values["state"])
    values["references"] = tuple(_reference(**reference) for reference in values["references"])
    values["failures"] = tuple(_failure(**failure) for failure in values["failures"])
    values["tags"] = tuple(Tag(TagKind(tag["kind"]), tag["value"]) for tag in values["tags"])
    values["fallbacks"] = tuple(_route(**route) for route in values["fallbacks"])
    estimate = cost_of_row(estimated, estimated_basis)
    values["price"] = estimate and replace(estimate, micro_usd=estimate.micro_usd // values["options"].n)
    values["actual_cost"] = cost_of_row(actual, actual_basis)
    return Generation(**values)


def _options(output_format: str | None = None, **others: Any) -> ImageOptions:
    return ImageOptions(output_format=OutputFormat(output_format) if output_format else None, **others)


def _reference(role: str, **others: Any) -> PinnedReference:
    return PinnedReference(role=ReferenceRole(role), **others)


def _route(
    provider: str, model: str, options: dict[str, Any], profile_id: str | None, price: dict[str, Any] | None
) -> Route:
    return Route(
        ProviderKind(provider),
        model,
        _options(**options),
        UUID(profile_id) if profile_id else None,
        cost_of_row(**price) if price else None,
    )


def _failure(code: str, **others: Any) -> GenerationFailure:
    return GenerationFailure(code=FailureCode(code), **others)


def _event(row: Sequence[Any]) -> GenerationEvent:
    generation_id, seq, at, state, stage, index, preview, image_id, failure = row
    return GenerationEvent(
        generation_id,
        seq,
        at,
        GenerationState(state),
        stage,
        index,
        picture_of_json(preview) if preview else None,
        image_id,
        _failure(**failure) if failure else None,
    )


def _attempt(row: Sequence[Any]) -> Attempt:
    *plain, micro_usd, basis = row
    values = dict(zip(_ATTEMPT_FIELDS, plain, strict=True))
    values["provider"] = ProviderKind(values["provider"])
    return Attempt(**values, cost=cost_of_row(micro_usd, basis))


_PAGE = Keyset(generation, _GENERATION, lambda rows: rows.c.owner_id == bindparam("owner_id"), _generation)


class Generations:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, new: Generation) -> None:
        """Store a generation."""
        estimate = new.price and replace(new.price, micro_usd=new.price.micro_usd * new.options.n)
        values = {
            **{name: getattr(new, name) for name in _FIELDS},
            **cost_values("estimated_cost", estimate),
            **cost_values("actual_cost", new.actual_cost),
        }
        with refused_as(
            {"uq_generation_requested_by_id_idempotency_key": IdempotencyKeyTaken(), **dict.fromkeys(_POINTS_AT, _GONE)}
        ):
            await self._connection.execute(insert(generation), values)

    async def of_key(self, requested_by_id: UUID, idempotency_key: str) -> Generation | None:
        """The one with the key."""
        statement = select(*_GENERATION).where(
            _c.requested_by_id == requested_by_id, _c.idempotency_key == idempotency_key
        )
        return await self._first(statement)

    async def get(self, scope: Scope, id: UUID) -> Generation:
        """One in reach."""
        found = await self.by_ids(scope, [id])
        if not found:
            raise NotFound("Generation", id)
        return found[0]

    async def load(self, id: UUID, *, for_update: bool = False) -> Generation | None:
        """One of anybody's."""
        statement = select(*_GENERATION).where(_c.id == id)
        return await self._first(statement.with_for_update(key_share=True) if for_update else statement)

    async def by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[Generation]:
        """Those in reach."""
        return await self._all(select(*_GENERATION).where(_c.id.in_(ids), reached(scope, _c.community_id, _c.owner_id)))

    async def page(self, viewer: Viewer, page: PageRequest) -> Page[Generation]:
        """One page of the viewer's."""
        return await _PAGE.page(self._connection, page, owner_id=viewer.id)

    async def _first(self, statement: Select[Any]) -> Generation | None:
        row = (await self._connection.execute(statement)).first()
        return _generation(row) if row else None

    async def _all(self, statement: Select[Any]) -> Sequence[Generation]:
        return [_generation(row) for row in await self._connection.execute(statement)]

    async def append(self, id: UUID, at: datetime, draft: EventDraft) -> GenerationEvent | None:
        """Store one step."""
        return await self._append(id, at, draft, {})

    async def finish(
        self,
        id: UUID,
        at: datetime,
        draft: EventDraft,
        failures: Sequence[GenerationFailure],
        cost: Cost | None,
    ) -> GenerationEvent | None:
        """Store the last step and the outcome."""
        outcome = {"failures": list(failures), "finished_at": at, **cost_values("actual_cost", cost)}
        return await self._append(id, at, draft, outcome)

    async def _append(
        self, id: UUID, at: datetime, draft: EventDraft, outcome: Mapping[str, object]
    ) -> GenerationEvent | None:
        # The update holds the row until the commit: whoever draws the next number waits, so numbers have no gaps.
        statement = (
            update(generation)
            .where(_c.id == id, _may_take(draft.state))
            .values({"event_seq": _c.event_seq + 1, "state": draft.state or _c.state, **outcome})
            .returning(_c.event_seq, _c.state)
        )
        drawn = (await self._connection.execute(statement)).first()
        if drawn is None:
            return None
        state = GenerationState(drawn.state)
        event = GenerationEvent(
            id,
            drawn.event_seq,
            at,
            state,
            STAGES[state] if draft.stage is None else draft.stage,
            draft.index,
            draft.preview,
            draft.image_id,
            draft.failure,
        )
        values = {column.name: getattr(event, column.name) for column in _EVENT}
        with refused_as({"uq_generation_event_outcome": PictureSettled()}):
            await self._connection.execute(insert(generation_event), values)
        return event

    async def pin_references(self, id: UUID, references: Sequence[PinnedReference]) -> None:
        """Store what the work sends."""
        await self._connection.execute(update(generation).where(_c.id == id).values({"references": list(references)}))

    async def events(self, id: UUID, after: int, limit: int) -> Sequence[GenerationEvent]:
        """Events above a number."""
        statement = select(*_EVENT).where(_e.generation_id == id, _e.seq > after).order_by(_e.seq).limit(limit)
        return [_event(row) for row in await self._connection.execute(statement)]

    async def outcomes(self, id: UUID) -> Sequence[GenerationEvent]:
        """What became of single pictures."""
        statement = select(*_EVENT).where(_e.generation_id == id, text(f"({IS_OUTCOME})")).order_by(_e.seq)
        return [_event(row) for row in await self._connection.execute(statement)]

    async def last_seqs(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """Where each generation's events end."""
        rows = await self._connection.execute(select(_c.id, _c.event_seq).where(_c.id.in_(ids)))
        return {row.id: row.event_seq for row in rows}

    async def add_attempt(self, attempt: Attempt) -> None:
        """Store the beginning of a call."""
        values = {
            **{name: getattr(attempt, name) for name in _ATTEMPT_FIELDS},
            **cost_values("cost", attempt.cost),
            "community_id": select(_c.community_id).where(_c.id == attempt.generation_id).scalar_subquery(),
        }
        await self._connection.execute(insert(provider_attempt).values(values))

    async def finish_attempt(self, attempt: Attempt) -> None:
        """Store the end of a call, the first that is told."""
        statement = update(provider_attempt).where(_a.id == attempt.id, _a.outcome == STARTED)
        await self._connection.execute(
            statement.values(
                finished_at=attempt.finished_at,
                outcome=attempt.outcome,
                provider_request_id=attempt.provider_request_id,
                is_charged=attempt.is_charged,
                detail=attempt.detail,
                **cost_values("cost", attempt.cost),
            )
        )

    async def attempts_of(self, generation_ids: Sequence[UUID]) -> Sequence[Attempt]:
        """Calls in their order."""
        statement = select(*_ATTEMPT).where(_a.generation_id.in_(generation_ids))
        rows = await self._connection.execute(statement.order_by(_a.generation_id, _a.index, _a.number))
        return [_attempt(row) for row in rows]

    async def typical_seconds(self, provider: ProviderKind, model: str) -> float | None:
        """The mean of the latest calls that brought a picture."""
        statement = (
            select(_a.started_at, _a.finished_at)
            .where(_a.provider == provider, _a.model == model, _a.outcome == literal_column(f"'{SUCCEEDED}'"))
            .order_by(_a.finished_at.desc())
            .limit(TYPICAL_CALLS)
        )
        rows = await self._connection.execute(statement)
        seconds = [(finished_at - started_at).total_seconds() for started_at, finished_at in rows]
        return fmean(seconds) if seconds else None

    async def typical_cost(self, community_id: UUID, provider: ProviderKind, model: str) -> int | None:
        """The mean of the latest calls that brought a picture whose cost is known, whichever route they were."""
        statement = (
            select(_a.cost_micro_usd)
            .where(_a.community_id == community_id, _a.provider == provider, _a.model == model, text(TELLS_A_COST))
            .order_by(_a.finished_at.desc())
            .limit(TYPICAL_CALLS)
        )
        costs = (await self._connection.execute(statement)).scalars().all()
        return round(fmean(costs)) if costs else None

    async def running(self, created_before: datetime) -> Sequence[UUID]:
        """What has not ended."""
        statement = select(_c.id).where(_c.finished_at.is_(None), _c.created_at < created_before)
        return (await self._connection.execute(statement)).scalars().all()

    async def running_of(
        self, owner_ids: Sequence[UUID], begun_after: datetime | None = None
    ) -> Sequence[RunningGeneration]:
        """What has not ended of the owners', and what is new."""
        has_ended = _c.finished_at.is_not(None)
        told = select(_c.id, _c.owner_id, _c.event_seq, has_ended).where(_c.owner_id.in_(owner_ids))
        running = told.where(~has_ended)
        # Two questions in one statement: an index answers each, and none their disjunction.
        statement = union_all(running, told.where(has_ended, _c.created_at > begun_after)) if begun_after else running
        return [RunningGeneration(*row) for row in await self._connection.execute(statement)]

    async def ended(self, ids: Sequence[UUID], before: datetime) -> set[UUID]:
        """All but those that run, or ended since."""
        needed = or_(_c.finished_at.is_(None), _c.finished_at >= before)
        rows = await self._connection.execute(select(_c.id).where(_c.id.in_(ids), needed))
        return set(ids) - set(rows.scalars())

    async def drop_previews(self, ids: Sequence[UUID]) -> None:
        """Have the events point at none."""
        shown = (_e.generation_id.in_(ids), _e.preview.is_not(None))
        await self._connection.execute(update(generation_event).where(*shown).values(preview=null()))


def _may_take(state: GenerationState | None) -> ColumnElement[bool]:
    """Whether the generation may move on so: never back, and to each state once."""
    if state is GenerationState.QUEUED:
        return and_(_c.state == state, _c.event_seq == 0)
    if state is None or state in TERMINAL:
        return _c.state.in_(_RUNNING)
    return _c.state.in_(_RUNNING[: _RUNNING.index(state)])
