"""Asking for pictures, no longer wanting them, and asking again: what is checked, rendered and put in line.

The work itself is in `generation_jobs`.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from domain import costs
from domain.costs import CostBasis
from domain.errors import Conflict, DomainError, InvalidInput
from domain.generation_events import GenerationEvents
from domain.generations import STAGES, EventDraft, Generation, GenerationState, IdempotencyKeyTaken
from domain.identities import Identity, Readiness, readiness
from domain.images import Image
from domain.ports import Clock, Jobs, ObjectStore
from domain.prompts import PromptType, rendered_for
from domain.quotas import reserve, shortfalls
from domain.reference_images import ReferenceImage
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.routes import Routes
from domain.tags import checked_tags
from domain.users import User, Viewer
from domain.wishes import GenerateImage, check_key, inheriting, naming, without_what_is_gone


@dataclass(frozen=True, slots=True)
class _Text:
    """What a provider is told, and the version of the template it comes from."""

    prompt: str
    prompt_id: UUID | None = None
    prompt_version: int | None = None


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whom the pictures are for and of, as the database has it."""

    owner: User
    identity: Identity | None = None
    references: tuple[ReferenceImage, ...] = ()
    readiness: Readiness = field(default_factory=Readiness)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A generation that could be put in line, and what is only asked about it beforehand."""

    generation: Generation
    subject: _Subject
    passed_over: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GenerationEstimate:
    """What a request would cost (micro-USD), on what ground, and take (seconds), and what stands against it."""

    cost_micro_usd: int | None
    basis: str
    seconds: int | None
    problems: tuple[str, ...]


NO_PRICE = costs.IN_WORDS[CostBasis.ASSUMED]


class GenerationRequests:
    """Asking for pictures: everything that can be known beforehand is checked before anything is paid for."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        routes: Routes,
        objects: ObjectStore,
        events: GenerationEvents,
        jobs: Jobs,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._routes = routes
        self._objects = objects
        self._events = events
        self._jobs = jobs
        self._clock = clock

    async def ask(self, viewer: Viewer, wish: GenerateImage) -> Generation:
        """Put a generation in line. The same idempotency key with the same input answers with the first one.

        Raises InvalidInput, NotFound, Conflict, Forbidden, UnsupportedByModel, ProviderUnusable, QuotaExceeded,
        StoreUnavailable.
        """
        wish.check()
        async with self._unit_of_work(read_only=True) as work:
            before = await _asked_before(work, viewer, wish.idempotency_key, wish.fingerprint())
            if before:
                return before
            prepared = await self._prepared(work, viewer, wish)
        await self._check_readable(prepared.subject.references)
        return await self._enqueue(viewer, prepared.generation)

    async def cancel(self, viewer: Viewer, id: UUID) -> Generation:
        """End a generation that nobody wants any more, at whatever stage; one that has ended stays as it is.

        What runs is stopped within a second or so; what was paid for by then is told. Raises NotFound.
        """
        async with self._unit_of_work(read_only=True) as work:
            generation = await work.generations.get(viewer.scope, id)
        await self._events.cancel(generation)
        # Only now: a job that is taken meanwhile finds that there is nothing more to do.
        await self._jobs.cancel(id)
        async with self._unit_of_work(read_only=True) as work:
            return await work.generations.get(viewer.scope, id)

    async def retry(self, viewer: Viewer, id: UUID, idempotency_key: str | None = None) -> Generation:
        """Put a new generation in line for the pictures that an earlier one didn't bring, as that one asked for them.

        Raises NotFound, InvalidInput, Conflict, Forbidden, UnsupportedByModel, ProviderUnusable, QuotaExceeded,
        StoreUnavailable.
        """
        check_key(idempotency_key)
        async with self._unit_of_work(read_only=True) as work:
            before = await work.generations.get(viewer.scope, id)
            fingerprint = hashlib.sha256(f"again {before.id}".encode()).hexdigest()
            asked = await _asked_before(work, viewer, idempotency_key, fingerprint)
            if asked:
                return asked
            generation, references = await self._again(work, viewer, before)
        await self._check_readable(references)
        generation = replace(generation, idempotency_key=idempotency_key, input_hash=fingerprint)
        return await self._enqueue(viewer, generation)

    async def estimate(self, viewer: Viewer, wish: GenerateImage) -> GenerationEstimate:
        """What asking for it would cost and meet with; nothing is put in line, and nothing raised but told."""
        try:
            wish.check()
            async with self._unit_of_work(read_only=True) as work:
                prepared = await self._prepared(work, viewer, wish)
                short = await shortfalls(work, prepared.generation, self._clock.now())
            await self._check_readable(prepared.subject.references)
        except DomainError as error:
            return GenerationEstimate(None, NO_PRICE, None, (error.message,))
        generation = prepared.generation
        seconds = None if generation.expected_s is None else round(generation.expected_s)
        problems = (*short, *prepared.passed_over, *prepared.subject.readiness.warnings)
        basis = costs.IN_WORDS[generation.routes[0].assumed_price.basis]
        return GenerationEstimate(generation.estimated_cost_micro_usd, basis, seconds, problems)

    async def _prepared(self, work: UnitOfWork, viewer: Viewer, asked: GenerateImage) -> _Prepared:
        parent = await work.images.get_visible(viewer.scope, asked.parent_image_id) if asked.parent_image_id else None
        profiles = await self._routes.profiles(work, viewer, asked, parent)
        named = naming(asked, profiles[0]) if profiles[0] and asked.profile_id else asked
        wish = await without_what_is_gone(work, viewer, asked, inheriting(viewer, named, parent))
        if wish.save_to_identity and wish.identity_id is None:
            raise InvalidInput("There is no identity to save to: give identityId", "saveToIdentity")
        subject = await self._subject(work, viewer, wish.identity_id)
        await _check_step(work, viewer, wish.step_id, subject)
        text = _repeated(asked, parent) or await self._text(work, wish, subject)
        chosen = await self._routes.chosen(work, viewer, asked, wish, profiles, text.prompt, len(subject.references))
        first, *fallbacks = chosen.routes
        generation = Generation(
            id=uuid4(),
            community_id=subject.owner.community_id,
            owner_id=subject.owner.id,
            requested_by_id=viewer.id,
            identity_id=wish.identity_id,
            provider=first.provider,
            model=first.model,
            prompt=text.prompt,
            structured_prompt=wish.structured_prompt,
            prompt_version=text.prompt_version,
            identity=_snapshot(subject.identity) if subject.identity else None,
            options=first.options,
            parent_image_id=wish.parent_image_id,
            save_to_identity=wish.save_to_identity,
            idempotency_key=wish.idempotency_key,
            input_hash=asked.fingerprint(),
            state=GenerationState.QUEUED,
            event_seq=0,
            references=(),
            failures=(),
            expected_s=await work.generations.typical_seconds(first.provider, first.model),
            actual_cost=None,
            created_at=self._clock.now(),
            finished_at=None,
            prompt_id=text.prompt_id,
            step_id=wish.step_id,
            tags=checked_tags(wish.tags),
            profile_id=first.profile_id,
            price=first.price,
            fallbacks=tuple(fallbacks),
        )
        return _Prepared(generation, subject, chosen.passed_over)

    async def _again(
        self, work: UnitOfWork, viewer: Viewer, before: Generation
    ) -> tuple[Generation, tuple[ReferenceImage, ...]]:
        if not before.state.is_terminal:
            raise Conflict("That generation is still running: cancel it, or wait for its end")
        made = await _made(work, before)
        if made >= before.options.n:
            raise Conflict("Every picture of that generation was made: ask for others with parentImageId")
        if before.identity is not None and before.identity_id is None:
            raise Conflict("The identity of that generation is gone: ask anew")
        owner = await work.users.acted_for(viewer, before.owner_id)
        subject = await self._subject(work, viewer, before.identity_id) if before.identity_id else _Subject(owner)
        # The portrait and the background that came with the earlier one aren't replaced by what was missing beside them.
        is_shown = before.state is GenerationState.SUCCEEDED
        step_id = None if is_shown else before.step_id
        await _check_step(work, viewer, step_id, subject)
        missing = before.options.n - made
        wanted = [replace(route, options=replace(route.options, n=missing)) for route in before.routes]
        first, *fallbacks = await self._routes.again(work, viewer, wanted, before.prompt, len(subject.references))
        again = replace(
            before,
            id=uuid4(),
            requested_by_id=viewer.id,
            provider=first.provider,
            model=first.model,
            options=first.options,
            profile_id=first.profile_id,
            price=first.price,
            fallbacks=tuple(fallbacks),
            save_to_identity=before.save_to_identity and not is_shown,
            step_id=step_id,
            state=GenerationState.QUEUED,
            event_seq=0,
            references=(),
            failures=(),
            expected_s=await work.generations.typical_seconds(first.provider, first.model),
            actual_cost=None,
            created_at=self._clock.now(),
            finished_at=None,
            retry_of_id=before.id,
        )
        return again, subject.references

    async def _subject(self, work: UnitOfWork, viewer: Viewer, identity_id: UUID | None) -> _Subject:
        if identity_id is None:
            return _Subject(viewer.user)
        identity = await work.identities.get(viewer.scope, identity_id)
        # The owner follows from the identity, so nobody's face can get onto somebody else's identity.
        owner = await work.users.acted_for(viewer, identity.user_id)
        slots = await work.reference_images.of_users([owner.id])
        ready = readiness(identity, slots)
        if ready.blockers:
            raise InvalidInput("; ".join(ready.blockers), "identityId")
        return _Subject(owner, identity, tuple(slot for slot in slots if slot.picture), ready)

    async def _text(self, work: UnitOfWork, wish: GenerateImage, subject: _Subject) -> _Text:
        if subject.identity is None:
            words = wish.structured_prompt.rendered() if wish.structured_prompt else (wish.prompt or "").strip()
            return _Text(_joined(words, wish.additional_prompt))
        template = await work.prompts.active(subject.owner.community_id, PromptType.IMAGE_GENERATION)
        texts = (wish.prompt or "", wish.additional_prompt)
        prompt = rendered_for(template.body, subject.owner, subject.identity, texts, wish.structured_prompt)
        return _Text(prompt, template.id, template.version)

    async def _check_readable(self, references: tuple[ReferenceImage, ...]) -> None:
        pictured = [(reference, reference.picture) for reference in references if reference.picture]
        found = await asyncio.gather(*(self._objects.exists(picture.key) for _, picture in pictured))
        for (reference, _), exists in zip(pictured, found, strict=True):
            if not exists:
                message = f"Reference image {reference.order} can't be read. Upload it again."
                raise InvalidInput(message, "identityId")

    async def _enqueue(self, viewer: Viewer, generation: Generation) -> Generation:
        try:
            async with self._unit_of_work() as work:
                allowance = await work.usage.allowance(generation.community_id, [generation.requested_by_id])
                await work.generations.add(generation)
                queued = EventDraft(GenerationState.QUEUED, STAGES[GenerationState.QUEUED])
                event = await work.generations.append(generation.id, generation.created_at, queued)
                await work.jobs.enqueue_generation(generation, allowance.priority)
                await reserve(work, generation, allowance, generation.created_at)
                await work.commit()
        except IdempotencyKeyTaken:
            # Another call with this key was faster: its generation is the answer.
            async with self._unit_of_work(read_only=True) as work:
                before = await _asked_before(work, viewer, generation.idempotency_key, generation.input_hash)
            if before is None:
                raise
            return before
        self._events.publish(generation, event)
        return replace(generation, event_seq=1)


async def _asked_before(
    work: UnitOfWork, viewer: Viewer, idempotency_key: str | None, fingerprint: str
) -> Generation | None:
    if idempotency_key is None:
        return None
    before = await work.generations.of_key(viewer.id, idempotency_key)
    if before and before.input_hash != fingerprint:
        raise Conflict("This idempotency key was used before with another input")
    return before


async def _made(work: UnitOfWork, generation: Generation) -> int:
    """How many pictures came: those that were told of, deleted or not, and those that were kept after the end."""
    told = {event.index for event in await work.generations.outcomes(generation.id) if event.image_id is not None}
    kept = {image.generation_index for image in await work.images.of_generations([generation.id])}
    return len(told | kept)


async def _check_step(work: UnitOfWork, viewer: Viewer, step_id: UUID | None, subject: _Subject) -> None:
    if step_id is None:
        return
    viewer.require_admin("wizards")
    await work.wizards.get_step(viewer.user.community_id, step_id)
    if subject.owner.id != viewer.id:
        # The whole community will see it; to show somebody's face to all is theirs to allow.
        raise InvalidInput("A step's background shows an identity of your own, or none", "stepId")


def _repeated(wish: GenerateImage, parent: Image | None) -> _Text | None:
    """The parent's own prompt, word for word, when the wish says nothing else. The recipe was checked before."""
    if parent is None or parent.recipe is None or not wish.says_nothing:
        return None
    prompt = parent.recipe.prompt
    if wish.additional_prompt.strip():
        prompt = _joined(prompt, wish.additional_prompt)
    return _Text(prompt, parent.prompt_id, parent.recipe.prompt_version)


def _joined(*texts: str) -> str:
    return "\n".join(text.strip() for text in texts if text.strip())


def _snapshot(identity: Identity) -> dict[str, object]:
    return {
        "id": str(identity.id),
        "name": identity.name,
        "category": identity.category,
        "iAmStatement": identity.i_am_statement,
        "visualization": identity.visualization,
        "notes": list(identity.notes),
    }
