"""Portraits: giving an identity an image of the library, or taking it away."""

from typing import Annotated

import strawberry

from domain.identities import Identity as IdentityModel
from domain.pictures import UploadedFile
from graph.context import Info
from graph.errors import InvalidImageError, InvalidInputError, NotFoundError, StorageUnavailableError
from graph.fields import Input
from graph.identities import Identity
from graph.ids import uuid_of


@strawberry.input(description="A portrait for an identity.")
class UploadIdentityImageInput:
    """The identity and the file."""

    id: strawberry.ID = strawberry.field(description="The identity's id.")
    file: UploadedFile | None = strawberry.field(default=None, description="The picture.")


@strawberry.type(description="The file is an image of the library, and the identity's portrait.")
class UploadIdentityImageSuccess:
    """An identity."""

    identity: IdentityModel = strawberry.field(graphql_type=Identity, description="The identity with its portrait.")


UploadIdentityImageResult = Annotated[
    UploadIdentityImageSuccess | InvalidInputError | NotFoundError | InvalidImageError | StorageUnavailableError,
    strawberry.union("UploadIdentityImageResult", description="What became of uploading a portrait."),
]


async def _upload(info: Info, input: Input[UploadIdentityImageInput]) -> UploadIdentityImageResult:
    changed = await info.context.services.identities.upload_portrait(
        info.context.viewer, uuid_of("Identity", input.id), input.file
    )
    return UploadIdentityImageSuccess(identity=changed)


@strawberry.input(description="Which identity to leave without a portrait.")
class DeleteIdentityImageInput:
    """An identity."""

    id: strawberry.ID = strawberry.field(description="The identity's id.")


@strawberry.type(description="The identity has no portrait; the image stays in the library.")
class DeleteIdentityImageSuccess:
    """An identity."""

    identity: IdentityModel = strawberry.field(graphql_type=Identity, description="The identity without a portrait.")


DeleteIdentityImageResult = Annotated[
    DeleteIdentityImageSuccess | NotFoundError,
    strawberry.union("DeleteIdentityImageResult", description="What became of removing a portrait."),
]


async def _delete(info: Info, input: Input[DeleteIdentityImageInput]) -> DeleteIdentityImageResult:
    changed = await info.context.services.identities.remove_portrait(info.context.viewer, uuid_of("Identity", input.id))
    return DeleteIdentityImageSuccess(identity=changed)


@strawberry.input(description="Which image becomes whose portrait.")
class SaveGeneratedImageInput:
    """An image and an identity."""

    image_id: strawberry.ID = strawberry.field(description="An image of the identity's user, or one that is public.")
    identity_id: strawberry.ID = strawberry.field(description="The identity's id.")


@strawberry.type(description="The image is the identity's portrait.")
class SaveGeneratedImageSuccess:
    """An identity."""

    identity: IdentityModel = strawberry.field(graphql_type=Identity, description="The identity with its portrait.")


SaveGeneratedImageResult = Annotated[
    SaveGeneratedImageSuccess | InvalidInputError | NotFoundError,
    strawberry.union("SaveGeneratedImageResult", description="What became of saving an image as a portrait."),
]


async def _save(info: Info, input: Input[SaveGeneratedImageInput]) -> SaveGeneratedImageResult:
    changed = await info.context.services.identities.save_portrait(
        info.context.viewer, uuid_of("Identity", input.identity_id), uuid_of("Image", input.image_id)
    )
    return SaveGeneratedImageSuccess(identity=changed)


@strawberry.type
class PortraitMutations:
    """Portraits."""

    upload_identity_image: UploadIdentityImageResult = strawberry.mutation(
        resolver=_upload, description="Upload a portrait: it becomes an image of the library."
    )
    delete_identity_image: DeleteIdentityImageResult = strawberry.mutation(
        resolver=_delete, description="Leave an identity without a portrait."
    )
    save_generated_image: SaveGeneratedImageResult = strawberry.mutation(
        resolver=_save, description="Make an image of the library an identity's portrait."
    )
