"""Asking for pictures: what is checked, rendered and put in line. The work itself is in `generation_jobs`."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from uuid import UUID, uuid4

from domain.errors import Conflict, FieldProblem, InvalidInput, UnsupportedByModel
from domain.generations import (
    STAGES,
    EventDraft,
    Generation,
    GenerationState,
    IdempotencyKeyTaken,
)
from domain.identities import Identity, readiness
from domain.ports import Clock, ObjectStore
from domain.prompts import MAX_PROMPT_CHARS, PromptType, StructuredPrompt, rendered_for_identity
from domain.providers import ImageModel, ImageOptions, ImageProvider, ProviderKind, check_offered, check_options, usable
from domain.reference_images import ReferenceImage
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.users import User, Viewer

_log = logging.getLogger(__name__)

MAX_KEY_CHARS = 255


@dataclass(frozen=True, slots=True)
class GenerateImage:
    """What a caller asks for. Of identity, prompt and structured prompt one is needed; the others say more."""

    identity_id: UUID | None = None
    prompt: str | None = None
    structured_prompt: StructuredPrompt | None = None
    additional_prompt: str = ""
    provider: ProviderKind | None = None
    model: str | None = None
    options: ImageOptions = field(default_factory=ImageOptions)
    parent_image_id: UUID | None = None
    save_to_identity: bool = False
    idempotency_key: str | None = None

    def check(self) -> None:
        """Raises InvalidInput for texts that contradict each other, are missing, or are too long."""
        if self.structured_prompt:
            self.structured_prompt.check()
        problems = []
        if self.prompt is not None and self.structured_prompt:
            problems.append(FieldProblem(("prompt",), "Give prompt or structuredPrompt, not both"))
        if self.identity_id is None and self.prompt is None and not self.structured_prompt:
            problems.append(FieldProblem(("identityId",), "Give one of identityId, prompt and structuredPrompt"))
        if self.prompt is not None and not 0 < len(self.prompt.strip()) <= MAX_PROMPT_CHARS:
            problems.append(FieldProblem(("prompt",), f"Prompt must be 1 to {MAX_PROMPT_CHARS:,} characters"))
        if len(self.additional_prompt) > MAX_PROMPT_CHARS:
            message = f"Additional prompt must be at most {MAX_PROMPT_CHARS:,} characters"
            problems.append(FieldProblem(("additionalPrompt",), message))
        if self.options.size and (self.options.aspect_ratio or self.options.resolution):
            message = "Give size, or aspectRatio and resolution: they may contradict each other"
            problems.append(FieldProblem(("options", "size"), message))
        if self.save_to_identity and self.identity_id is None:
            problems.append(FieldProblem(("saveToIdentity",), "There is no identity to save to: give identityId"))
        if self.idempotency_key is not None and not 0 < len(self.idempotency_key) <= MAX_KEY_CHARS:
            problems.append(FieldProblem(("idempotencyKey",), f"The key must be 1 to {MAX_KEY_CHARS} characters"))
        if problems:
            raise InvalidInput("; ".join(problem.message for problem in problems), problems=problems)

    def fingerprint(self) -> str:
        """Equal for equal requests: tells a repeated call from another one under the same idempotency key."""
        canonical = json.dumps(asdict(replace(self, idempotency_key=None)), sort_keys=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Sources:
    """What the request refers to, as the database has it."""

    owner: User
    identity: Identity | None
    references: list[ReferenceImage]
    prompt: str
    prompt_version: int | None
    expected_s: float | None


class GenerationRequests:
    """Asking for pictures: everything that can be known beforehand is checked before anything is paid for.

    `default` is the provider, and its model when not the provider's own choice, for requests that name none.
    """

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        providers: Mapping[ProviderKind, ImageProvider],
        default: tuple[ProviderKind, str | None],
        objects: ObjectStore,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._providers = providers
        self._default_provider, self._default_model = default
        self._objects = objects
        self._clock = clock

    async def ask(self, viewer: Viewer, wish: GenerateImage) -> Generation:
        """Put a generation in line. The same idempotency key with the same input answers with the first one.

        Raises InvalidInput, NotFound, Conflict, UnsupportedByModel, ProviderUnusable, StoreUnavailable.
        """
        wish.check()
        async with self._unit_of_work(read_only=True) as work:
            before = await self._asked_before(work, viewer, wish)
            if before:
                return before
            provider, model = self._chosen(wish)
            sources = await self._sources(work, viewer, wish, provider, model)
        options = with_defaults(wish.options, model.defaults)
        check_options(provider.kind, model, options, len(sources.references))
        if len(sources.prompt) > model.max_prompt_chars:
            raise UnsupportedByModel(
                f"The prompt has {len(sources.prompt):,} characters; {model.name} takes {model.max_prompt_chars:,}",
                provider=provider.kind,
                model=model.id,
                option="prompt",
                supported=[f"1-{model.max_prompt_chars}"],
            )
        await self._check_readable(sources.references)
        generation = self._drafted(viewer, wish, options, provider, model, sources)
        return await self._enqueue(viewer, wish, generation)

    def _chosen(self, wish: GenerateImage) -> tuple[ImageProvider, ImageModel]:
        kind = wish.provider or self._provider_of(wish.model) or self._default_provider
        provider = self._providers[kind]
        if wish.model:
            # Before the key is asked for: a successor's name helps more than a key for what is gone.
            check_offered(kind, provider.model(wish.model))
        usable(provider)
        default = self._default_model if kind is self._default_provider else None
        model = provider.model(wish.model or default or provider.models[0].id)
        known = [each.id for each in provider.models]
        if kind is ProviderKind.OFFLINE and model.id not in known:
            # A vendor knows models that we don't; the placeholder would answer to any misspelt name.
            raise UnsupportedByModel(
                f"The offline provider has no model {model.id}. Name the provider whose model it is.",
                provider=kind,
                model=model.id,
                option="model",
                supported=known,
            )
        return provider, model

    def _provider_of(self, model: str | None) -> ProviderKind | None:
        for kind, provider in self._providers.items():
            if any(known.id == model for known in provider.models):
                return kind
        return None

    async def _asked_before(self, work: UnitOfWork, viewer: Viewer, wish: GenerateImage) -> Generation | None:
        if wish.idempotency_key is None:
            return None
        before = await work.generations.of_key(viewer.id, wish.idempotency_key)
        if before and before.input_hash != wish.fingerprint():
            raise Conflict("This idempotency key was used before with another input")
        return before

    async def _sources(
        self, work: UnitOfWork, viewer: Viewer, wish: GenerateImage, provider: ImageProvider, model: ImageModel
    ) -> _Sources:
        if wish.parent_image_id:
            await work.images.get_visible(viewer.scope, wish.parent_image_id)
        expected_s = await work.generations.typical_seconds(provider.kind, model.id)
        if wish.identity_id is None:
            words = wish.structured_prompt.rendered() if wish.structured_prompt else (wish.prompt or "").strip()
            prompt = "\n".join(text for text in (words, wish.additional_prompt.strip()) if text)
            return _Sources(viewer.user, None, [], prompt, None, expected_s)
        identity = await work.identities.get(viewer.scope, wish.identity_id)
        # The owner follows from the identity, so nobody's face can get onto somebody else's identity.
        owner = await work.users.acted_for(viewer, identity.user_id)
        references = list(await work.reference_images.of_users([owner.id]))
        blockers = readiness(identity, references).blockers
        if blockers:
            raise InvalidInput("; ".join(blockers), "identityId")
        template = await work.prompts.active(owner.community_id, PromptType.IMAGE_GENERATION)
        texts = (wish.prompt or "", wish.additional_prompt)
        prompt = rendered_for_identity(template, owner, identity, texts, wish.structured_prompt)
        pictured = [reference for reference in references if reference.picture]
        return _Sources(owner, identity, pictured, prompt, template.version, expected_s)

    async def _check_readable(self, references: list[ReferenceImage]) -> None:
        pictured = [(reference, reference.picture) for reference in references if reference.picture]
        found = await asyncio.gather(*(self._objects.exists(picture.key) for _, picture in pictured))
        for (reference, _), exists in zip(pictured, found, strict=True):
            if not exists:
                message = f"Reference image {reference.order} can't be read. Upload it again."
                raise InvalidInput(message, "identityId")

    def _drafted(
        self,
        viewer: Viewer,
        wish: GenerateImage,
        options: ImageOptions,
        provider: ImageProvider,
        model: ImageModel,
        sources: _Sources,
    ) -> Generation:
        return Generation(
            id=uuid4(),
            community_id=sources.owner.community_id,
            owner_id=sources.owner.id,
            requested_by_id=viewer.id,
            identity_id=sources.identity.id if sources.identity else None,
            provider=provider.kind,
            model=model.id,
            prompt=sources.prompt,
            structured_prompt=wish.structured_prompt,
            prompt_version=sources.prompt_version,
            identity=_snapshot(sources.identity) if sources.identity else None,
            options=options,
            parent_image_id=wish.parent_image_id,
            save_to_identity=wish.save_to_identity,
            idempotency_key=wish.idempotency_key,
            input_hash=wish.fingerprint(),
            state=GenerationState.QUEUED,
            event_seq=0,
            references=(),
            failures=(),
            expected_s=sources.expected_s,
            actual_cost_micro_usd=None,
            created_at=self._clock.now(),
            finished_at=None,
        )

    async def _enqueue(self, viewer: Viewer, wish: GenerateImage, generation: Generation) -> Generation:
        try:
            async with self._unit_of_work() as work:
                await work.generations.add(generation)
                queued = EventDraft(GenerationState.QUEUED, STAGES[GenerationState.QUEUED])
                await work.generations.append(generation.id, generation.created_at, queued)
                await work.jobs.enqueue_generation(generation)
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


def with_defaults(options: ImageOptions, defaults: ImageOptions) -> ImageOptions:
    """The options asked for, and the model's own where nothing was asked for.

    A size says everything about the shape: the default ratio and resolution then stay out of it.
    """
    shaped = {"aspect_ratio", "resolution"} if options.size else set()
    missing = {
        part.name: getattr(defaults, part.name)
        for part in fields(options)
        if getattr(options, part.name) is None and part.name not in shaped
    }
    return replace(options, **missing)


def _snapshot(identity: Identity) -> dict[str, object]:
    return {
        "id": str(identity.id),
        "name": identity.name,
        "category": identity.category,
        "iAmStatement": identity.i_am_statement,
        "visualization": identity.visualization,
        "notes": list(identity.notes),
    }
