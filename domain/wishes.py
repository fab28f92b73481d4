"""What a caller asks for when asking for images, and what it takes from the recipe of a parent image."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from uuid import UUID

from domain.connection_profiles import ConnectionProfile
from domain.errors import FieldProblem, InvalidInput
from domain.images import Image
from domain.prompts import MAX_PROMPT_CHARS, StructuredPrompt
from domain.providers import ImageOptions, OutputFormat, ProviderKind, is_model_id, with_defaults
from domain.repositories import UnitOfWork
from domain.tags import Tag, checked_tags
from domain.users import Viewer

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
    profile_id: UUID | None = None
    fallback_profile_ids: tuple[UUID, ...] = ()
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
        if self.model and not is_model_id(self.model):
            problems.append(FieldProblem(("model",), "That is not the name of a model"))
        if self.options.size and (self.options.aspect_ratio or self.options.resolution):
            message = "Give size, or aspectRatio and resolution: they may contradict each other"
            problems.append(FieldProblem(("options", "size"), message))
        if not _is_key(self.idempotency_key):
            problems.append(_NO_KEY)
        if problems:
            raise InvalidInput("; ".join(problem.message for problem in problems), problems=problems)

    def fingerprint(self) -> str:
        """Equal for equal requests: tells a repeated call from another one under the same idempotency key."""
        said = asdict(replace(self, idempotency_key=None))
        for newer in ("profile_id", "fallback_profile_ids"):
            # Unsaid, they leave the fingerprint as it was before there were any: keys outlive an update of the server.
            if not said[newer]:
                del said[newer]
        canonical = json.dumps(said, sort_keys=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()


_NO_KEY = FieldProblem(("idempotencyKey",), f"The key must be 1 to {MAX_KEY_CHARS} characters")


def _is_key(idempotency_key: str | None) -> bool:
    return idempotency_key is None or 0 < len(idempotency_key) <= MAX_KEY_CHARS


def check_key(idempotency_key: str | None) -> None:
    """Raises InvalidInput for a key that is empty or too long."""
    if not _is_key(idempotency_key):
        raise InvalidInput(_NO_KEY.message, problems=[_NO_KEY])


def naming(wish: GenerateImage, profile: ConnectionProfile) -> GenerateImage:
    """The wish, with what choosing the profile says: its provider, and its model where the address is its own.

    Of another one's recipe nothing is inherited: a model of one server says nothing of another's.
    """
    model = wish.model or profile.model if profile.base_url else wish.model
    return replace(wish, provider=profile.provider, model=model)


def inheriting(viewer: Viewer, wish: GenerateImage, parent: Image | None) -> GenerateImage:
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


async def without_what_is_gone(
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
