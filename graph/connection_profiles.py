"""Connection profiles: a person's own access to providers. No field ever gives a key, and no argument names a user."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from domain import connection_profiles as models
from domain import providers
from domain.connection_profiles import ProfileChange
from domain.providers import ProviderKind
from graph.context import Info
from graph.errors import ConflictError, InvalidInputError, LimitReachedError, NotFoundError, ProviderUnusableError
from graph.fields import Input, resolved
from graph.ids import uuid_of
from graph.nodes import Node
from graph.providers import ImageModel
from graph.scalars import Url

_NOUN = "ConnectionProfile"


def _needs_key(profile: Parent[models.ConnectionProfile], info: Info) -> bool:
    return info.context.services.access.needs_key(profile)


def _problem(profile: Parent[models.ConnectionProfile], info: Info) -> str | None:
    return info.context.services.access.problem_of(profile)


@strawberry.type(description="Your own access to a provider. Nobody else sees it, admins neither.")
class ConnectionProfile(Node):
    """The source is a domain ConnectionProfile."""

    name: str = strawberry.field(description="What it is called.")
    provider: ProviderKind = strawberry.field(description="Whom it leads to.")
    base_url: Url | None = strawberry.field(
        description="Where the provider is reached; null where it has an address of its own."
    )
    key_hint: str | None = strawberry.field(
        description="The key's last four characters; null without a key, or with one so short that they would tell it."
    )
    model: str | None = strawberry.field(description="The model that it asks when none is named.")
    is_default: bool = strawberry.field(description="Whether it is used where nothing else is said; one is at most.")
    needs_key: bool = resolved(
        _needs_key, "Whether it is useless until you give a key: it has none, or one that can't be opened any more."
    )
    problem: str | None = resolved(_problem, "Why it can't be used, for a person to read; null when it can.")
    last_used_at: datetime | None = strawberry.field(description="When it was last used for an image; null for never.")
    created_at: datetime = strawberry.field(description="When it was made.")


async def _profiles(
    info: Info,
    images_only: Annotated[
        bool, strawberry.argument(description="Only those whose provider makes images at all.")
    ] = False,
) -> Sequence[models.ConnectionProfile]:
    return await info.context.services.connection_profiles.list(info.context.viewer, images_only=images_only)


@strawberry.type
class ConnectionProfileQueries:
    """Profiles."""

    connection_profiles: list[ConnectionProfile] = resolved(
        _profiles, "Your connection profiles, the oldest first; at most 100."
    )


@strawberry.input(description="Access to a provider.")
class CreateConnectionProfileInput:
    """A profile."""

    name: str = strawberry.field(description="What to call it: 1 to 255 characters.")
    provider: ProviderKind = strawberry.field(description="Whom it leads to; it never leads to another one.")
    api_key: str | None = strawberry.field(
        default=None,
        description="The key, kept so that only the server can read it. A profile that is made without one, where the "
        "provider needs one, waits for it: give `test: false`.",
    )
    base_url: str | None = strawberry.field(
        default=None,
        description="Where the provider is reached: needed where `Provider.needsBaseUrl`; elsewhere for operators alone.",
    )
    model: str | None = strawberry.field(
        default=None, description="The model to ask when none is named: up to 128 characters."
    )
    is_default: bool = strawberry.field(
        default=False, description="Whether to use it where nothing else is said, in place of the present default."
    )
    test: bool = strawberry.field(
        default=True, description="Whether to call the provider before the key is stored: without cost, where it can."
    )


@strawberry.type(description="The profile was made.")
class CreateConnectionProfileSuccess:
    """A profile."""

    profile: models.ConnectionProfile = strawberry.field(graphql_type=ConnectionProfile, description="The new profile.")


CreateConnectionProfileResult = Annotated[
    CreateConnectionProfileSuccess | InvalidInputError | ConflictError | LimitReachedError | ProviderUnusableError,
    strawberry.union("CreateConnectionProfileResult", description="What became of making a profile."),
]


@strawberry.input(
    description="What to change of a profile. What is not given, or null, stays; an empty text takes `apiKey`, "
    "`baseUrl` or `model` away. With another address the key must be given again."
)
class UpdateConnectionProfileInput:
    """The profile and its new values."""

    id: strawberry.ID = strawberry.field(description="The profile's id.")
    name: str | None = strawberry.field(default=None, description="The new name: 1 to 255 characters.")
    api_key: str | None = strawberry.field(default=None, description="The new key.")
    base_url: str | None = strawberry.field(default=None, description="The new address.")
    model: str | None = strawberry.field(default=None, description="The new model: up to 128 characters.")
    is_default: bool | None = strawberry.field(
        default=None, description="Whether to use it where nothing else is said, in place of the present default."
    )
    test: bool = strawberry.field(
        default=True, description="Whether to call the provider before a new key or address is stored."
    )


@strawberry.type(description="The profile was changed.")
class UpdateConnectionProfileSuccess:
    """A profile."""

    profile: models.ConnectionProfile = strawberry.field(
        graphql_type=ConnectionProfile, description="The profile with its new values."
    )


UpdateConnectionProfileResult = Annotated[
    UpdateConnectionProfileSuccess | InvalidInputError | NotFoundError | ConflictError | ProviderUnusableError,
    strawberry.union("UpdateConnectionProfileResult", description="What became of changing a profile."),
]


def _change(input: CreateConnectionProfileInput | UpdateConnectionProfileInput) -> ProfileChange:
    return ProfileChange(input.name, input.base_url, input.model, input.api_key, input.is_default)


async def _create(info: Info, input: Input[CreateConnectionProfileInput]) -> CreateConnectionProfileResult:
    made = await info.context.services.connection_profiles.create(
        info.context.viewer, input.provider, _change(input), tried=input.test
    )
    return CreateConnectionProfileSuccess(profile=made)


async def _update(info: Info, input: Input[UpdateConnectionProfileInput]) -> UpdateConnectionProfileResult:
    changed = await info.context.services.connection_profiles.update(
        info.context.viewer, uuid_of(_NOUN, input.id), _change(input), tried=input.test
    )
    return UpdateConnectionProfileSuccess(profile=changed)


@strawberry.input(description="Which profile to remove.")
class DeleteConnectionProfileInput:
    """A profile."""

    id: strawberry.ID = strawberry.field(description="The profile's id.")


@strawberry.type(description="The profile is gone, and its key with it.")
class DeleteConnectionProfileSuccess:
    """What is gone."""

    deleted_id: strawberry.ID = strawberry.field(description="The id that is no more.")


DeleteConnectionProfileResult = Annotated[
    DeleteConnectionProfileSuccess | NotFoundError,
    strawberry.union("DeleteConnectionProfileResult", description="What became of removing a profile."),
]


async def _delete(info: Info, input: Input[DeleteConnectionProfileInput]) -> DeleteConnectionProfileResult:
    await info.context.services.connection_profiles.delete(info.context.viewer, uuid_of(_NOUN, input.id))
    return DeleteConnectionProfileSuccess(deleted_id=input.id)


@strawberry.input(description="Which profile to try.")
class TestConnectionProfileInput:
    """A profile."""

    id: strawberry.ID = strawberry.field(description="The profile's id.")
    api_key: str | None = strawberry.field(
        default=None, description="A new key to try in place of the profile's; it isn't stored."
    )


@strawberry.type(description="The provider was called, and answered.")
class TestConnectionProfileSuccess:
    """A profile and what it offers."""

    profile: models.ConnectionProfile = strawberry.field(
        graphql_type=ConnectionProfile, description="The profile, which is as it was."
    )
    models: Sequence[providers.ImageModel] = strawberry.field(
        graphql_type=list[ImageModel],
        description="The image models that it can ask, those we know the limits of first.",
    )


TestConnectionProfileResult = Annotated[
    TestConnectionProfileSuccess | InvalidInputError | NotFoundError | ConflictError | ProviderUnusableError,
    strawberry.union("TestConnectionProfileResult", description="What became of trying a profile."),
]


async def _test(info: Info, input: Input[TestConnectionProfileInput]) -> TestConnectionProfileResult:
    profile, offered = await info.context.services.connection_profiles.test(
        info.context.viewer, uuid_of(_NOUN, input.id), input.api_key
    )
    return TestConnectionProfileSuccess(profile=profile, models=offered)


@strawberry.type
class ConnectionProfileMutations:
    """Profiles."""

    create_connection_profile: CreateConnectionProfileResult = strawberry.mutation(
        resolver=_create, description="Make a connection profile: your own access to a provider."
    )
    update_connection_profile: UpdateConnectionProfileResult = strawberry.mutation(
        resolver=_update, description="Change a connection profile, or give it another key."
    )
    delete_connection_profile: DeleteConnectionProfileResult = strawberry.mutation(
        resolver=_delete,
        description="Remove a connection profile. Generations that run by it fail, or go on by what they fall back to.",
    )
    test_connection_profile: TestConnectionProfileResult = strawberry.mutation(
        resolver=_test,
        description="Call a profile's provider to see whether it can be used: without cost, where it can.",
    )
