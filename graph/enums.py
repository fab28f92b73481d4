"""The domain's enums as GraphQL shows them: their names there, and what each value means."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, cast

import strawberry

from domain.costs import IN_WORDS, CostBasis
from domain.errors import InvalidImageReason
from domain.failures import MESSAGES, FailureCode
from domain.generations import STAGES, GenerationState
from domain.images import ImageScope, ImageSource
from domain.pictures import VariantSize
from domain.prompts import ContextKey, PromptType
from domain.providers import OutputFormat, ProviderKind, ReferenceRole
from domain.quotas import Feature, QuotaUnit
from domain.tags import TagKind
from domain.users import Role


def _describe(enum: type[Enum], description: str, values: Mapping[Any, str], name: str | None = None) -> None:
    shown = strawberry.enum(enum, name=name, description=description)
    for value in cast("Any", shown).__strawberry_definition__.values:
        value.description = values[enum(value.value)]


_describe(
    Role,
    "What a user may do in their community.",
    {Role.MEMBER: "Sees and changes what is theirs.", Role.ADMIN: "May act for everybody in the community."},
)
_describe(
    VariantSize,
    "The sizes a picture comes in. A picture is never enlarged.",
    {
        VariantSize.ORIGINAL: "As it was uploaded or made.",
        VariantSize.THUMBNAIL: "The longest side has 100 pixels.",
        VariantSize.MEDIUM: "The longest side has 300 pixels.",
        VariantSize.LARGE: "The longest side has 600 pixels.",
    },
)
_describe(
    OutputFormat,
    "File formats of pictures.",
    {
        OutputFormat.ORIGINAL: "Whatever the model makes.",
        OutputFormat.WEBP: "WebP.",
        OutputFormat.AVIF: "AVIF.",
        OutputFormat.JPEG: "JPEG.",
        OutputFormat.PNG: "PNG.",
    },
    name="PictureFormat",
)
_describe(
    ReferenceRole,
    "What a reference image shows the model.",
    {
        ReferenceRole.FACE: "The person's face.",
        ReferenceRole.BODY: "The person's figure.",
        ReferenceRole.STYLE: "A style to follow.",
        ReferenceRole.SETTING: "A place to be in.",
    },
)
_describe(
    ImageSource,
    "Where an image came from.",
    {
        ImageSource.GENERATED: "A provider made it.",
        ImageSource.UPLOADED: "A person uploaded it.",
        ImageSource.IMPORTED: "It was fetched from a URL.",
    },
)
_describe(
    ImageScope,
    "Which images a list shows.",
    {ImageScope.MINE: "The viewer's own.", ImageScope.PUBLIC: "Those shared with the community."},
)
_describe(
    TagKind,
    "What a tag's value names.",
    {
        TagKind.CHARACTER: "A character of a story.",
        TagKind.PERSONA: "A persona.",
        TagKind.CHAT: "A conversation.",
        TagKind.THEME: "A theme.",
    },
)
_describe(Feature, "What quotas count.", {Feature.IMAGE_GENERATION: "Images that providers are asked for."})
_describe(
    QuotaUnit,
    "What a quota is counted in.",
    {QuotaUnit.IMAGES: "Images.", QuotaUnit.MICRO_USD: "Millionths of a US dollar."},
)
_describe(
    PromptType,
    "What a prompt template is for.",
    {
        PromptType.COACH: "Talking as a coach.",
        PromptType.SENTINEL: "Watching over a conversation.",
        PromptType.IMAGE_GENERATION: "Making images of an identity.",
    },
)
_describe(
    ContextKey,
    "What a template's body can be filled with.",
    {
        ContextKey.IDENTITY_CONTEXT: "The identity in words; written `{identity_context}`.",
        ContextKey.ADDITIONAL_PROMPT: "What the caller adds; written `{additional_prompt}`.",
        ContextKey.STRUCTURED_PROMPT: "The structured prompt's parts; written `{structured_prompt}`.",
        ContextKey.USER_NAME: "The user's name; written `{user_name}`.",
    },
)
_describe(
    ProviderKind,
    "The image providers that are known by name. Not every one can be used: see `providers`.",
    {
        ProviderKind.OFFLINE: "Built in: placeholders, without a key or a network.",
        ProviderKind.OPENAI: "OpenAI.",
        ProviderKind.GEMINI: "Google Gemini.",
        ProviderKind.IMAGEN: "Google Imagen.",
        ProviderKind.XAI: "xAI.",
        ProviderKind.OPENROUTER: "OpenRouter.",
        ProviderKind.OLLAMA: "Ollama.",
        ProviderKind.OPENAI_COMPATIBLE: "Any endpoint that speaks OpenAI's protocol.",
        ProviderKind.GAB: "Gab AI.",
        ProviderKind.ANTHROPIC: "Anthropic.",
    },
)
_describe(CostBasis, "How an amount is known, the firmest ground first.", IN_WORDS)
_describe(GenerationState, "How far a generation has come.", {state: f"{words}." for state, words in STAGES.items()})
_describe(FailureCode, "Why a picture could not be made.", MESSAGES)
_describe(
    InvalidImageReason,
    "Why a file is not a picture that is taken.",
    {
        InvalidImageReason.EMPTY: "The file is empty.",
        InvalidImageReason.NOT_AN_IMAGE: "The file is no picture.",
        InvalidImageReason.UNSUPPORTED_FORMAT: "A picture, but of a format that is not taken.",
        InvalidImageReason.TOO_LARGE: "The file has too many bytes.",
        InvalidImageReason.TOO_MANY_PIXELS: "The picture has too many pixels.",
        InvalidImageReason.TRUNCATED: "The picture is cut short.",
    },
)
