"""Asking for pictures: what is checked, rendered and put in line. The work itself is in `generation_jobs`."""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from domain import costs
from domain.costs import CostBasis
from domain.errors import Conflict, DomainError, InvalidInput
from domain.generations import STAGES, EventDraft, Generation, GenerationState, IdempotencyKeyTaken
from domain.identities import Identity, Readiness, readiness
from domain.images import Image
from domain.ports import Clock, ObjectStore
from domain.prompts import PromptType, rendered_for
from domain.quotas import reserve, shortfalls
from domain.reference_images import ReferenceImage
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.routes import Routes
from domain.tags import checked_tags
from domain.users import User, Viewer
from domain.wishes import GenerateImage, inheriting, naming, without_what_is_gone

_log = logging.getLogger(__name__)


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

    def __init__(self, unit_of_work: UnitOfWorkFactory, routes: Routes, objects: ObjectStore, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._routes = routes
        self._objects = objects
        self._clock = clock

    async def ask(self, viewer: Viewer, wish: GenerateImage) -> Generation:
        """Put a generation in line. The same idempotency key with the same input answers with the first one.

        Raises InvalidInput, NotFound, Conflict, Forbidden, UnsupportedByModel, ProviderUnusable, QuotaExceeded,
        StoreUnavailable.
        """
        wish.check()
        async with self._unit_of_work(read_only=True) as work:
            before = await self._asked_before(work, viewer, wish)
            if before:
                return before
            prepared = await self._prepared(work, viewer, wish)
        await self._check_readable(prepared.subject.references)
        return await self._enqueue(viewer, wish, prepared.generation)

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
        subject = await self._subject(work, viewer, wish)
        await _check_step(work, viewer, wish, subject)
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

    async def _asked_before(self, work: UnitOfWork, viewer: Viewer, wish: GenerateImage) -> Generation | None:
        if wish.idempotency_key is None:
            return None
        before = await work.generations.of_key(viewer.id, wish.idempotency_key)
        if before and before.input_hash != wish.fingerprint():
            raise Conflict("This idempotency key was used before with another input")
        return before

    async def _subject(self, work: UnitOfWork, viewer: Viewer, wish: GenerateImage) -> _Subject:
        if wish.identity_id is None:
            return _Subject(viewer.user)
        identity = await work.identities.get(viewer.scope, wish.identity_id)
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

    async def _enqueue(self, viewer: Viewer, wish: GenerateImage, generation: Generation) -> Generation:
        try:
            async with self._unit_of_work() as work:
                await work.generations.add(generation)
                queued = EventDraft(GenerationState.QUEUED, STAGES[GenerationState.QUEUED])
                await work.generations.append(generation.id, generation.created_at, queued)
                await work.jobs.enqueue_generation(generation)
                await reserve(work, generation, generation.created_at)
                await work.commit()
        except IdempotencyKeyTaken:
            # Another call with this key was faster: asked again, its generation is the answer.
            return await self.ask(viewer, wish)
        # Nobody can follow yet, so the first event need not be published.
        _log.info(
            "generation",
            extra={
                "generation_id": str(generation.id),
                "seq": 1,
                "state": generation.state.value,
                "provider": generation.provider.value,
                "model": generation.model,
                "pictures": generation.options.n,
            },
        )
        return replace(generation, event_seq=1)


async def _check_step(work: UnitOfWork, viewer: Viewer, wish: GenerateImage, subject: _Subject) -> None:
    if wish.step_id is None:
        return
    viewer.require_admin("wizards")
    await work.wizards.get_step(viewer.user.community_id, wish.step_id)
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
