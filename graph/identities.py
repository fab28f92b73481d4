"""Identities: the personas a person wants to be pictured as, and what can be done with them."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from domain import identities as models
from domain.identities import IdentityText
from domain.images import Image as ImageModel
from domain.users import User as UserModel
from graph.context import Info
from graph.errors import (
    InvalidInputError,
    LimitReachedError,
    NotFoundError,
)
from graph.fields import Id, Input, resolved
from graph.ids import uuid_of
from graph.images import Image
from graph.nodes import Node, found
from graph.users import User

_NOUN = "Identity"


@strawberry.type(description="What is missing or weak before money is spent on images of an identity.")
class IdentityReadiness:
    """The source is a domain Readiness."""

    is_ready: bool = strawberry.field(description="Whether images can be asked for.")
    problems: list[str] = strawberry.field(description="Everything that is missing or weak, the worst first.")


async def _user(identity: Parent[models.Identity], info: Info) -> UserModel | None:
    return await info.context.loaders.users.load(identity.user_id)


async def _image(identity: Parent[models.Identity], info: Info) -> ImageModel | None:
    if identity.image_id is None:
        return None
    return await info.context.loaders.images.load(identity.image_id)


async def _readiness(identity: Parent[models.Identity], info: Info) -> models.Readiness:
    references = await info.context.loaders.reference_images_of.load(identity.user_id)
    return models.readiness(identity, references)


@strawberry.type(description="A persona of one user.")
class Identity(Node):
    """The source is a domain Identity."""

    user: User = resolved(_user, "Whose persona it is.")
    name: str = strawberry.field(description="What it is called.")
    category: str = strawberry.field(description="Its kind; may be empty.")
    i_am_statement: str = strawberry.field(description="What the persona says of itself; may be empty.")
    visualization: str = strawberry.field(description="How the persona is seen; may be empty.")
    notes: list[str] = strawberry.field(description="Anything else worth keeping.")
    image: Image | None = resolved(_image, "The portrait: an image of the library.")
    readiness: IdentityReadiness = resolved(
        _readiness, "Whether images of it can be asked for, and what would make them better."
    )
    created_at: datetime = strawberry.field(description="When it was made.")
    updated_at: datetime = strawberry.field(description="When it last changed.")


async def _identity(info: Info, id: Id) -> models.Identity | None:
    identity: models.Identity | None = await found(info.context, id, _NOUN)
    return identity


@strawberry.type
class IdentityQueries:
    """Identities by id; lists are on users."""

    identity: Identity | None = resolved(_identity, "The identity with this id, if you may see it.")


@strawberry.input(description="A new identity.")
class CreateIdentityInput:
    """Only the name is needed."""

    name: str = strawberry.field(description="What to call it: 1 to 255 characters.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose: yours when not given, or anybody's of the community for an admin."
    )
    category: str | None = strawberry.field(default=None, description="Its kind: up to 255 characters.")
    i_am_statement: str | None = strawberry.field(
        default=None, description="What the persona says of itself: up to 4,000 characters."
    )
    visualization: str | None = strawberry.field(
        default=None, description="How the persona is seen: up to 4,000 characters."
    )
    notes: list[str] | None = strawberry.field(default=None, description="Up to 50 notes of 4,000 characters.")


@strawberry.type(description="The identity was made.")
class CreateIdentitySuccess:
    """An identity."""

    identity: models.Identity = strawberry.field(graphql_type=Identity, description="The new identity.")


CreateIdentityResult = Annotated[
    CreateIdentitySuccess | InvalidInputError | NotFoundError | LimitReachedError,
    strawberry.union("CreateIdentityResult", description="What became of making an identity."),
]


@strawberry.input(description="What to change of an identity. What is not given, or null, stays.")
class UpdateIdentityInput:
    """The identity and its new values."""

    id: strawberry.ID = strawberry.field(description="The identity's id.")
    name: str | None = strawberry.field(default=None, description="The new name: 1 to 255 characters.")
    category: str | None = strawberry.field(default=None, description="The new kind: up to 255 characters.")
    i_am_statement: str | None = strawberry.field(
        default=None, description="The new statement: up to 4,000 characters."
    )
    visualization: str | None = strawberry.field(
        default=None, description="The new visualization: up to 4,000 characters."
    )
    notes: list[str] | None = strawberry.field(default=None, description="All notes anew: up to 50.")


@strawberry.type(description="The identity was changed.")
class UpdateIdentitySuccess:
    """An identity."""

    identity: models.Identity = strawberry.field(graphql_type=Identity, description="The identity with its new values.")


UpdateIdentityResult = Annotated[
    UpdateIdentitySuccess | InvalidInputError | NotFoundError,
    strawberry.union("UpdateIdentityResult", description="What became of changing an identity."),
]


def _text(input: CreateIdentityInput | UpdateIdentityInput) -> IdentityText:
    return IdentityText(
        name=input.name,
        category=input.category,
        i_am_statement=input.i_am_statement,
        visualization=input.visualization,
        notes=None if input.notes is None else tuple(input.notes),
    )


async def _create(info: Info, input: Input[CreateIdentityInput]) -> CreateIdentityResult:
    user_id = uuid_of("User", input.user_id) if input.user_id else None
    made = await info.context.services.identities.create(info.context.viewer, _text(input), user_id)
    return CreateIdentitySuccess(identity=made)


async def _update(info: Info, input: Input[UpdateIdentityInput]) -> UpdateIdentityResult:
    changed = await info.context.services.identities.update(info.context.viewer, uuid_of(_NOUN, input.id), _text(input))
    return UpdateIdentitySuccess(identity=changed)


@strawberry.input(description="Which identity to remove.")
class DeleteIdentityInput:
    """An identity."""

    id: strawberry.ID = strawberry.field(description="The identity's id.")


@strawberry.type(description="The identity is gone; its images stay in the library.")
class DeleteIdentitySuccess:
    """What is gone."""

    deleted_id: strawberry.ID = strawberry.field(description="The id that is no more.")


DeleteIdentityResult = Annotated[
    DeleteIdentitySuccess | NotFoundError,
    strawberry.union("DeleteIdentityResult", description="What became of removing an identity."),
]


async def _delete(info: Info, input: Input[DeleteIdentityInput]) -> DeleteIdentityResult:
    await info.context.services.identities.delete(info.context.viewer, uuid_of(_NOUN, input.id))
    return DeleteIdentitySuccess(deleted_id=input.id)


@strawberry.type
class IdentityMutations:
    """Identities; their portraits are in `portraits`."""

    create_identity: CreateIdentityResult = strawberry.mutation(resolver=_create, description="Make an identity.")
    update_identity: UpdateIdentityResult = strawberry.mutation(resolver=_update, description="Change an identity.")
    delete_identity: DeleteIdentityResult = strawberry.mutation(resolver=_delete, description="Remove an identity.")
