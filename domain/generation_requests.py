"""Asking for pictures: what is checked, rendered and put in line. The work itself is in `generation_jobs`."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from uuid import UUID, uuid4

from domain.errors import Conflict, DomainError, FieldProblem, InvalidInput, UnsupportedByModel
from domain.generations import (
    STAGES,
    EventDraft,
    Generation,
    GenerationState,
    IdempotencyKeyTaken,
)
from domain.identities import Identity, Readiness, readiness
from domain.images import Image
from domain.ports import Clock, ObjectStore
from domain.prompts import MAX_PROMPT_CHARS, PromptType, StructuredPrompt, rendered_for
from domain.providers import (
    ImageModel,
    ImageOptions,
    ImageProvider,
    OutputFormat,
    ProviderKind,
    check_offered,
    check_options,
    usable,
)
from domain.quotas import reserve, shortfalls
from domain.reference_images import ReferenceImage
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.tags import Tag, checked_tags
from domain.users import User, Viewer

_log = logging.getLogger(__name__)

MAX_KEY_CHARS = 255


@dataclass(frozen=True, slots=True)
class GenerateImage:
    """What a caller asks for. Of identity, prompt, structured prompt and parent one is needed; the others say more.

    What isn't given is taken from the parent's recipe, where there is one that the viewer may see.
    """

    identity_id: UUID | None = None
    step_id: UUID | None = None
    prompt: str | None = None
    structured_prompt: StructuredPrompt | None = None
    additional_prompt: str = ""
    provider: ProviderKind | None = None
    model: str | None = None
    options: ImageOptions = field(default_factory=ImageOptions)
    tags: tuple[Tag, ...] = ()
    parent_image_id: UUID | None = None
    save_to_identity: bool = False
    idempotency_key: str | None = None

    @property
    def says_nothing(self) -> bool:
        """Whether only the parent can tell what to make."""
        return self.identity_id is None and self.prompt is None and self.structured_prompt is None

    def check(self) -> None:
        """Raises InvalidInput for texts that contradict each other, are missing, or are too long."""
        checked_tags(self.tags)
        if self.structured_prompt:
            self.structured_prompt.check()
        problems = []
        if self.prompt is not None and self.structured_prompt:
            problems.append(FieldProblem(("prompt",), "Give prompt or structuredPrompt, not both"))
        if self.says_nothing and self.parent_image_id is None:
            message = "Give one of identityId, prompt, structuredPrompt and parentImageId"
            problems.append(FieldProblem(("identityId",), message))
        if self.prompt is not None and not 0 < len(self.prompt.strip()) <= MAX_PROMPT_CHARS:
            problems.append(FieldProblem(("prompt",), f"Prompt must be 1 to {MAX_PROMPT_CHARS:,} characters"))
        if len(self.additional_prompt) > MAX_PROMPT_CHARS:
            message = f"Additional prompt must be at most {MAX_PROMPT_CHARS:,} characters"
            problems.append(FieldProblem(("additionalPrompt",), message))
        if self.options.size and (self.options.aspect_ratio or self.options.resolution):
            message = "Give size, or aspectRatio and resolution: they may contradict each other"
            problems.append(FieldProblem(("options", "size"), message))
        if self.idempotency_key is not None and not 0 < len(self.idempotency_key) <= MAX_KEY_CHARS:
            problems.append(FieldProblem(("idempotencyKey",), f"The key must be 1 to {MAX_KEY_CHARS} characters"))
        if problems:
            raise InvalidInput("; ".join(problem.message for problem in problems), problems=problems)

    def fingerprint(self) -> str:
        """Equal for equal requests: tells a repeated call from another one under the same idempotency key."""
        canonical = json.dumps(asdict(replace(self, idempotency_key=None)), sort_keys=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()


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
    basis: str


@dataclass(frozen=True, slots=True)
class GenerationEstimate:
    """What a request would cost (micro-USD), on what ground, and take (seconds), and what stands against it."""

    cost_micro_usd: int | None
    basis: str
    seconds: int | None
    problems: tuple[str, ...]


NO_PRICE = "No price is known."


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
        problems = (*short, *prepared.subject.readiness.warnings)
        return GenerationEstimate(generation.estimated_cost_micro_usd, prepared.basis, seconds, problems)

    async def _prepared(self, work: UnitOfWork, viewer: Viewer, asked: GenerateImage) -> _Prepared:
        parent = await work.images.get_visible(viewer.scope, asked.parent_image_id) if asked.parent_image_id else None
        wish = await _without_what_is_gone(work, viewer, asked, _inheriting(viewer, asked, parent))
        if wish.save_to_identity and wish.identity_id is None:
            raise InvalidInput("There is no identity to save to: give identityId", "saveToIdentity")
        provider, model = self._chosen(wish)
        subject = await self._subject(work, viewer, wish)
        await _check_step(work, viewer, wish, subject)
        text = _repeated(asked, parent) or await self._text(work, wish, subject)
        options = with_defaults(wish.options, model.defaults)
        check_options(provider.kind, model, options, len(subject.references))
        _check_length(provider, model, text.prompt)
        price, basis = provider.price_micro_usd(model.id, options, len(subject.references)), "The provider's price."
        if price is None:
            price = await work.generations.typical_cost(subject.owner.community_id, provider.kind, model.id)
            basis = "The mean of this model's latest images in the community."
        generation = Generation(
            id=uuid4(),
            community_id=subject.owner.community_id,
            owner_id=subject.owner.id,
            requested_by_id=viewer.id,
            identity_id=wish.identity_id,
            provider=provider.kind,
            model=model.id,
            prompt=text.prompt,
            structured_prompt=wish.structured_prompt,
            prompt_version=text.prompt_version,
            identity=_snapshot(subject.identity) if subject.identity else None,
            options=options,
            parent_image_id=wish.parent_image_id,
            save_to_identity=wish.save_to_identity,
            idempotency_key=wish.idempotency_key,
            input_hash=asked.fingerprint(),
            state=GenerationState.QUEUED,
            event_seq=0,
            references=(),
            failures=(),
            expected_s=await work.generations.typical_seconds(provider.kind, model.id),
            actual_cost_micro_usd=None,
            created_at=self._clock.now(),
            finished_at=None,
            prompt_id=text.prompt_id,
            step_id=wish.step_id,
            tags=checked_tags(wish.tags),
            estimated_cost_micro_usd=None if price is None else price * options.n,
        )
        return _Prepared(generation, subject, NO_PRICE if price is None else basis)

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


def _check_length(provider: ImageProvider, model: ImageModel, prompt: str) -> None:
    if len(prompt) > model.max_prompt_chars:
        raise UnsupportedByModel(
            f"The prompt has {len(prompt):,} characters; {model.name} takes {model.max_prompt_chars:,}",
            provider=provider.kind,
            model=model.id,
            option="prompt",
            supported=[f"1-{model.max_prompt_chars}"],
        )


def _inheriting(viewer: Viewer, wish: GenerateImage, parent: Image | None) -> GenerateImage:
    """The wish, with what it doesn't say taken from the parent's recipe. Raises InvalidInput when nothing says it."""
    recipe = parent.recipe_for(viewer) if parent else None
    if recipe is None:
        if wish.says_nothing:
            message = "That image has no recipe that you can repeat: give identityId, prompt or structuredPrompt"
            raise InvalidInput(message, "parentImageId")
        return wish
    if wish.prompt is None and wish.structured_prompt is None:
        # An identity's whole prompt is its own: for another one only the parts can be said again.
        is_free = recipe.identity is None and recipe.structured_prompt is None
        wish = replace(
            wish, prompt=recipe.prompt.strip() if is_free else None, structured_prompt=recipe.structured_prompt
        )
    if wish.identity_id is None and recipe.identity is not None:
        wish = replace(wish, identity_id=UUID(str(recipe.identity["id"])))
    if wish.provider in {None, recipe.provider} and wish.model in {None, recipe.model}:
        # What another model makes of these options is not what the caller has seen.
        options = with_defaults(wish.options, _options(recipe.options))
        wish = replace(wish, provider=recipe.provider, model=recipe.model, options=options)
    return wish


async def _without_what_is_gone(
    work: UnitOfWork, viewer: Viewer, asked: GenerateImage, wish: GenerateImage
) -> GenerateImage:
    """The wish, without an inherited identity that is no more. Raises InvalidInput when then nothing says what to make."""
    if wish.identity_id in {None, asked.identity_id} or await work.identities.by_ids(viewer.scope, [wish.identity_id]):
        return wish
    if asked.says_nothing:
        raise InvalidInput(
            "The identity of that image is gone: give identityId, prompt or structuredPrompt", "parentImageId"
        )
    return replace(wish, identity_id=None)


def _options(stored: Mapping[str, object]) -> ImageOptions:
    """A recipe's options as they were asked for."""
    known: dict[str, object] = {part.name: stored.get(part.name) for part in fields(ImageOptions) if part.name != "n"}
    if known["output_format"] is not None:
        known["output_format"] = OutputFormat(str(known["output_format"]))
    return replace(ImageOptions(), **known)  # type: ignore[arg-type]  # a recipe holds what ImageOptions held


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


def with_defaults(options: ImageOptions, defaults: ImageOptions) -> ImageOptions:
    """The options asked for, and the defaults where nothing was asked for.

    A size says everything about the shape: the default ratio and resolution then stay out of it, and the other way.
    """
    shaped = {"aspect_ratio", "resolution"} if options.size else set()
    if options.aspect_ratio or options.resolution:
        shaped.add("size")
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
