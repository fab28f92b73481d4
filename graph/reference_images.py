"""Reference images: the five slots, and what can be done with them."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from domain import reference_images as models
from domain.pictures import UploadedFile
from domain.providers import ReferenceRole
from domain.users import User as UserModel
from graph.context import Info
from graph.errors import (
    ConflictError,
    InvalidImageError,
    InvalidInputError,
    LimitReachedError,
    NotFoundError,
    StorageUnavailableError,
)
from graph.fields import Input, resolved
from graph.ids import uuid_of
from graph.nodes import Node
from graph.pictures import Picture
from graph.users import User

_NOUN = "ReferenceImage"


async def _user(slot: Parent[models.ReferenceImage], info: Info) -> UserModel | None:
    return await info.context.loaders.users.load(slot.user_id)


@strawberry.type(description="A photo to be recognised by in generated images, in one of five slots.")
class ReferenceImage(Node):
    """The source is a domain ReferenceImage."""

    user: User = resolved(_user, "Whose slot it is.")
    name: str = strawberry.field(description="What it is called; may be empty.")
    order: int = strawberry.field(description="The slot: 0 to 4, unique per user.")
    role: ReferenceRole = strawberry.field(description="What it shows the model.")
    picture: Picture | None = strawberry.field(name="image", description="The photo; null while the slot is empty.")
    created_at: datetime = strawberry.field(description="When the slot was made.")
    updated_at: datetime = strawberry.field(description="When the slot or its photo last changed.")


@strawberry.input(description="A new slot.")
class CreateReferenceImageInput:
    """All of it is optional."""

    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose: yours when not given, or anybody's of the community for an admin."
    )
    name: str | None = strawberry.field(default=None, description="What to call it: up to 255 characters.")
    order: int | None = strawberry.field(
        default=None, description="The slot, 0 to 4; the lowest free one when not given."
    )
    role: ReferenceRole | None = strawberry.field(default=None, description="What it shows; FACE when not given.")
    file: UploadedFile | None = strawberry.field(default=None, description="The photo; can also be uploaded later.")


@strawberry.type(description="The slot was made.")
class CreateReferenceImageSuccess:
    """A slot."""

    reference_image: models.ReferenceImage = strawberry.field(graphql_type=ReferenceImage, description="The new slot.")


CreateReferenceImageResult = Annotated[
    CreateReferenceImageSuccess
    | InvalidInputError
    | NotFoundError
    | ConflictError
    | LimitReachedError
    | InvalidImageError
    | StorageUnavailableError,
    strawberry.union("CreateReferenceImageResult", description="What became of making a slot."),
]


async def _create(info: Info, input: Input[CreateReferenceImageInput]) -> CreateReferenceImageResult:
    made = await info.context.services.reference_images.create(
        info.context.viewer,
        user_id=uuid_of("User", input.user_id) if input.user_id else None,
        name=input.name or "",
        order=input.order,
        role=input.role or ReferenceRole.FACE,
        file=input.file,
    )
    return CreateReferenceImageSuccess(reference_image=made)


@strawberry.input(description="A photo for a slot.")
class UploadReferenceImageInput:
    """The slot and the file."""

    id: strawberry.ID = strawberry.field(description="The slot's id.")
    file: UploadedFile | None = strawberry.field(
        default=None, description="The photo; takes the place of the present one."
    )


@strawberry.type(description="The photo is in its slot.")
class UploadReferenceImageSuccess:
    """A slot."""

    reference_image: models.ReferenceImage = strawberry.field(
        graphql_type=ReferenceImage, description="The slot with its new photo."
    )


UploadReferenceImageResult = Annotated[
    UploadReferenceImageSuccess | InvalidInputError | NotFoundError | InvalidImageError | StorageUnavailableError,
    strawberry.union("UploadReferenceImageResult", description="What became of uploading a photo."),
]


async def _upload(info: Info, input: Input[UploadReferenceImageInput]) -> UploadReferenceImageResult:
    changed = await info.context.services.reference_images.upload(
        info.context.viewer, uuid_of(_NOUN, input.id), input.file
    )
    return UploadReferenceImageSuccess(reference_image=changed)


@strawberry.input(description="What to change of a slot. What is not given, or null, stays.")
class UpdateReferenceImageInput:
    """The slot and its new values."""

    id: strawberry.ID = strawberry.field(description="The slot's id.")
    name: str | None = strawberry.field(default=None, description="The new name: up to 255 characters.")
    order: int | None = strawberry.field(default=None, description="The slot to move to: 0 to 4, and free.")
    role: ReferenceRole | None = strawberry.field(default=None, description="What it shows from now on.")


@strawberry.type(description="The slot was changed.")
class UpdateReferenceImageSuccess:
    """A slot."""

    reference_image: models.ReferenceImage = strawberry.field(
        graphql_type=ReferenceImage, description="The slot with its new values."
    )


UpdateReferenceImageResult = Annotated[
    UpdateReferenceImageSuccess | InvalidInputError | NotFoundError | ConflictError,
    strawberry.union("UpdateReferenceImageResult", description="What became of changing a slot."),
]


async def _update(info: Info, input: Input[UpdateReferenceImageInput]) -> UpdateReferenceImageResult:
    changed = await info.context.services.reference_images.update(
        info.context.viewer, uuid_of(_NOUN, input.id), name=input.name, order=input.order, role=input.role
    )
    return UpdateReferenceImageSuccess(reference_image=changed)


@strawberry.input(description="Which slot to remove.")
class DeleteReferenceImageInput:
    """A slot."""

    id: strawberry.ID = strawberry.field(description="The slot's id.")


@strawberry.type(description="The slot and its photo are gone.")
class DeleteReferenceImageSuccess:
    """What is gone."""

    deleted_id: strawberry.ID = strawberry.field(description="The id that is no more.")


DeleteReferenceImageResult = Annotated[
    DeleteReferenceImageSuccess | NotFoundError,
    strawberry.union("DeleteReferenceImageResult", description="What became of removing a slot."),
]


async def _delete(info: Info, input: Input[DeleteReferenceImageInput]) -> DeleteReferenceImageResult:
    await info.context.services.reference_images.delete(info.context.viewer, uuid_of(_NOUN, input.id))
    return DeleteReferenceImageSuccess(deleted_id=input.id)


@strawberry.type
class ReferenceImageMutations:
    """Slots."""

    create_reference_image: CreateReferenceImageResult = strawberry.mutation(
        resolver=_create, description="Make a slot, with or without a photo."
    )
    upload_reference_image: UploadReferenceImageResult = strawberry.mutation(
        resolver=_upload, description="Put a photo into a slot, or replace the one in it."
    )
    update_reference_image: UpdateReferenceImageResult = strawberry.mutation(
        resolver=_update, description="Rename a slot, move it, or change what it shows."
    )
    delete_reference_image: DeleteReferenceImageResult = strawberry.mutation(
        resolver=_delete, description="Remove a slot and its photo."
    )
