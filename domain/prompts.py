"""Prompts: versioned templates, checked when they are saved so that they can't break when they are used."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from string import Formatter
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from domain.errors import Conflict, FieldProblem, InvalidInput
from domain.names import checked_name
from domain.ports import Clock
from domain.users import User, Viewer

if TYPE_CHECKING:
    from domain.identities import Identity
    from domain.repositories import UnitOfWorkFactory

MAX_BODY_CHARS = 20_000
MAX_PROMPT_CHARS = 4_000
MAX_STRUCTURED_CHARS = 500
NOTHING_GIVEN = "None provided"


class PromptType(StrEnum):
    """What a template is for."""

    COACH = "COACH"
    SENTINEL = "SENTINEL"
    IMAGE_GENERATION = "IMAGE_GENERATION"


class ContextKey(StrEnum):
    """What a body may ask for, written in lower case between braces: `{identity_context}`."""

    IDENTITY_CONTEXT = "IDENTITY_CONTEXT"
    ADDITIONAL_PROMPT = "ADDITIONAL_PROMPT"
    STRUCTURED_PROMPT = "STRUCTURED_PROMPT"
    USER_NAME = "USER_NAME"

    @property
    def placeholder(self) -> str:
        """The key as it stands in a body."""
        return "{" + self.value.lower() + "}"


CONTEXT_KEYS = {
    PromptType.COACH: (ContextKey.IDENTITY_CONTEXT, ContextKey.ADDITIONAL_PROMPT, ContextKey.USER_NAME),
    PromptType.SENTINEL: (ContextKey.IDENTITY_CONTEXT, ContextKey.USER_NAME),
    PromptType.IMAGE_GENERATION: tuple(ContextKey),
}
"""Which keys each type has values for."""


@dataclass(frozen=True, slots=True)
class StructuredPrompt:
    """A prompt given in parts; stored as given."""

    style: str | None = None
    subject: str | None = None
    mood: str | None = None
    color: str | None = None
    composition: str | None = None
    extra: str | None = None

    def rendered(self) -> str:
        """The parts that are filled in, a line each."""
        parts = {name: (value or "").strip() for name, value in asdict(self).items()}
        return "\n".join(f"{name.capitalize()}: {value}" for name, value in parts.items() if value)

    def check(self) -> None:
        """Raises InvalidInput when nothing is filled in or a part is too long."""
        problems = [
            FieldProblem(
                ("structuredPrompt", part.name), f"{part.name} must be at most {MAX_STRUCTURED_CHARS} characters"
            )
            for part in fields(self)
            if len(getattr(self, part.name) or "") > MAX_STRUCTURED_CHARS
        ]
        if not self.rendered():
            problems.append(FieldProblem(("structuredPrompt",), "Fill in at least one part of the structured prompt"))
        if problems:
            raise InvalidInput("; ".join(problem.message for problem in problems), problems=problems)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a template. `community_id` is None for the built-in version that every community starts with."""

    id: UUID
    community_id: UUID | None
    type: PromptType
    version: int
    name: str
    body: str
    required_context_keys: tuple[ContextKey, ...]
    is_active: bool
    author_id: UUID | None
    created_at: datetime


class VersionTaken(Exception):
    """The database's unique (community, type, version) key refused the row; raised by the repository."""


def render(body: str, context: Mapping[ContextKey, str]) -> str:
    """A checked body with its placeholders filled; values are put in as they are, never read for placeholders."""
    pieces = []
    for literal, key, _, _ in Formatter().parse(body):
        pieces.append(literal)
        if key is not None:
            pieces.append(context[ContextKey(key.upper())])
    return "".join(pieces)


def check_body(body: str, type: PromptType, required: tuple[ContextKey, ...] = ()) -> None:
    """Raises InvalidInput for a stray brace, a placeholder the type has no value for, or a required one missing."""
    if not body.strip():
        raise InvalidInput("The body must not be empty", "body")
    if len(body) > MAX_BODY_CHARS:
        raise InvalidInput(f"The body must be at most {MAX_BODY_CHARS:,} characters", "body")
    allowed = {key.value.lower(): key for key in CONTEXT_KEYS[type]}
    offer = ", ".join(key.placeholder for key in CONTEXT_KEYS[type])
    used = _placeholders(body)
    for name in used:
        if name not in allowed:
            raise InvalidInput(f"{{{name}}} is not a placeholder of {type} prompts. Use {offer}", "body")
    for key in required:
        if key not in CONTEXT_KEYS[type]:
            raise InvalidInput(f"{type} prompts have no {key}. Use {offer}", "requiredContextKeys")
        if key.value.lower() not in used:
            raise InvalidInput(f"The body must contain {key.placeholder}, which is required", "body")


def _placeholders(body: str) -> list[str]:
    try:
        parsed = list(Formatter().parse(body))
    except ValueError:
        raise InvalidInput(
            "The body has a stray brace. Write {{ for { and }} for } where no placeholder is meant", "body"
        ) from None
    found = []
    for _, name, spec, conversion in parsed:
        if name is None:
            continue
        if spec or conversion:
            raise InvalidInput(f"A placeholder is a plain name in braces: {{{name}}}", "body")
        found.append(name)
    return found


def context_of(
    user_name: str, identity: "Identity | None", additional: str = "", structured: StructuredPrompt | None = None
) -> dict[ContextKey, str]:
    """The values a body is filled with."""
    return {
        ContextKey.IDENTITY_CONTEXT: identity.described() if identity else NOTHING_GIVEN,
        ContextKey.ADDITIONAL_PROMPT: additional.strip() or NOTHING_GIVEN,
        ContextKey.STRUCTURED_PROMPT: structured.rendered() if structured else NOTHING_GIVEN,
        ContextKey.USER_NAME: user_name,
    }


def rendered_for(
    body: str, owner: User, identity: "Identity | None", texts: tuple[str, ...], structured: StructuredPrompt | None
) -> str:
    """What a provider is told. A structured prompt that the body has no place for joins the other texts."""
    if structured and ContextKey.STRUCTURED_PROMPT.value.lower() not in _placeholders(body):
        texts = (*texts, structured.rendered())
    additional = "\n".join(text.strip() for text in texts if text.strip())
    return render(body, context_of(owner.name, identity, additional, structured))


class Prompts:
    """Writing and choosing prompt versions. Admins write; everybody in the community may read."""

    def __init__(self, unit_of_work: "UnitOfWorkFactory", clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def create(
        self,
        viewer: Viewer,
        *,
        type: PromptType,
        name: str,
        body: str,
        required_context_keys: tuple[ContextKey, ...] = (),
        activate: bool = True,
    ) -> Prompt:
        """Save the next version of a type. Raises Forbidden, InvalidInput."""
        viewer.require_admin("prompts")
        name = checked_name(name)
        check_body(body, type, required_context_keys)
        draft = Prompt(
            id=uuid4(),
            community_id=viewer.user.community_id,
            type=type,
            version=0,
            name=name,
            body=body,
            required_context_keys=tuple(dict.fromkeys(required_context_keys)),
            is_active=activate,
            author_id=viewer.id,
            created_at=self._clock.now(),
        )
        return await self._insert(draft)

    async def _insert(self, draft: Prompt) -> Prompt:
        # Losing the race for a number means that a version was added: the next try takes the next number.
        while True:
            async with self._unit_of_work() as work:
                latest = await work.prompts.latest_version(draft.community_id, draft.type)
                prompt = replace(draft, version=latest + 1)
                try:
                    await work.prompts.add(prompt)
                    await work.commit()
                except VersionTaken:
                    continue
                return prompt

    async def set_active(self, viewer: Viewer, id: UUID, is_active: bool) -> Prompt:
        """Use a version, or stop using it. Raises Forbidden, NotFound, Conflict."""
        viewer.require_admin("prompts")
        async with self._unit_of_work() as work:
            before = await work.prompts.get(viewer.user.community_id, id)
            if before.community_id is None:
                raise Conflict("The built-in version stays active: it is used when no version of yours is")
            after = replace(before, is_active=is_active)
            await work.prompts.set_active(after.id, is_active)
            await work.commit()
        return after

    async def preview(
        self,
        viewer: Viewer,
        body: str,
        type: PromptType,
        identity_id: UUID | None = None,
        structured: StructuredPrompt | None = None,
        additional: str = "",
    ) -> str:
        """What the body would become, for a real identity when one is named. Raises NotFound, InvalidInput."""
        check_body(body, type)
        if structured:
            structured.check()
        if len(additional) > MAX_PROMPT_CHARS:
            raise InvalidInput(f"Additional prompt must be at most {MAX_PROMPT_CHARS:,} characters", "additionalPrompt")
        async with self._unit_of_work(read_only=True) as work:
            identity = await work.identities.get(viewer.scope, identity_id) if identity_id else None
            owner = await work.users.acted_for(viewer, identity.user_id if identity else None)
        return rendered_for(body, owner, identity, (additional,), structured)
