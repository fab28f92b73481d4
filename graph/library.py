"""What people do with images of the library: uploading, importing, tagging, sharing and removing them."""

from typing import Annotated

import strawberry

from domain.images import Image as ImageModel
from domain.pictures import UploadedFile
from graph.context import Info
from graph.errors import (
    FetchRefusedError,
    ImageInUseError,
    InvalidImageError,
    InvalidInputError,
    NotFoundError,
    StorageUnavailableError,
)
from graph.fields import Input
from graph.ids import uuid_of
from graph.images import Image
from graph.tags import TagInput, tags_of

_NOUN = "Image"
_FORCE = "Whether to take it from what may no longer show it; otherwise that is refused."


@strawberry.input(description="A picture for the library.")
class UploadImageInput:
    """A file."""

    file: UploadedFile | None = strawberry.field(default=None, description="The picture.")
    tags: list[TagInput] | None = strawberry.field(default=None, description="What it is about: up to 50 tags.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose: yours when not given, or anybody's of the community for an admin."
    )


@strawberry.type(description="The picture is an image of the library; nobody else sees it yet.")
class UploadImageSuccess:
    """An image."""

    image: ImageModel = strawberry.field(graphql_type=Image, description="The new image.")


UploadImageResult = Annotated[
    UploadImageSuccess | InvalidInputError | NotFoundError | InvalidImageError | StorageUnavailableError,
    strawberry.union("UploadImageResult", description="What became of uploading an image."),
]


async def _upload(info: Info, input: Input[UploadImageInput]) -> UploadImageResult:
    user_id = uuid_of("User", input.user_id) if input.user_id is not None else None
    made = await info.context.services.images.upload(info.context.viewer, input.file, tags_of(input.tags), user_id)
    return UploadImageSuccess(image=made)


@strawberry.input(description="A picture of the web for the library.")
class ImportImageInput:
    """An address."""

    url: str = strawberry.field(
        description="Where the picture is: an `http://` or `https://` address that everybody can reach."
    )
    tags: list[TagInput] | None = strawberry.field(default=None, description="What it is about: up to 50 tags.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whose: yours when not given, or anybody's of the community for an admin."
    )


@strawberry.type(description="The picture is an image of the library; nobody else sees it yet.")
class ImportImageSuccess(UploadImageSuccess):
    """An image."""


ImportImageResult = Annotated[
    ImportImageSuccess
    | InvalidInputError
    | NotFoundError
    | FetchRefusedError
    | InvalidImageError
    | StorageUnavailableError,
    strawberry.union("ImportImageResult", description="What became of importing an image."),
]


async def _import(info: Info, input: Input[ImportImageInput]) -> ImportImageResult:
    user_id = uuid_of("User", input.user_id) if input.user_id is not None else None
    made = await info.context.services.images.import_from(info.context.viewer, input.url, tags_of(input.tags), user_id)
    return ImportImageSuccess(image=made)


@strawberry.input(description="Which tags to add to an image, and which to take away. One in both lists stays.")
class TagImageInput:
    """The image and its tags."""

    id: strawberry.ID = strawberry.field(description="The image's id.")
    add: list[TagInput] | None = strawberry.field(default=None, description="Tags that it gets.")
    remove: list[TagInput] | None = strawberry.field(default=None, description="Tags that it loses.")


@strawberry.type(description="The image has its new tags.")
class TagImageSuccess:
    """An image."""

    image: ImageModel = strawberry.field(graphql_type=Image, description="The image with its tags.")


TagImageResult = Annotated[
    TagImageSuccess | InvalidInputError | NotFoundError,
    strawberry.union("TagImageResult", description="What became of tagging an image."),
]


async def _tag(info: Info, input: Input[TagImageInput]) -> TagImageResult:
    changed = await info.context.services.images.tag(
        info.context.viewer, uuid_of(_NOUN, input.id), tags_of(input.add), tags_of(input.remove)
    )
    return TagImageSuccess(image=changed)


@strawberry.input(description="Whether to share an image.")
class SetImagePublicInput:
    """An image."""

    id: strawberry.ID = strawberry.field(description="The image's id.")
    is_public: bool = strawberry.field(description="Whether the whole community may see it.")
    force: bool = strawberry.field(default=False, description=_FORCE)


@strawberry.type(description="The image is shared, or no longer.")
class SetImagePublicSuccess:
    """An image."""

    image: ImageModel = strawberry.field(graphql_type=Image, description="The image as it is now.")


SetImagePublicResult = Annotated[
    SetImagePublicSuccess | NotFoundError | ImageInUseError,
    strawberry.union("SetImagePublicResult", description="What became of sharing an image."),
]


async def _set_public(info: Info, input: Input[SetImagePublicInput]) -> SetImagePublicResult:
    return SetImagePublicSuccess(image=await _shared(info, input, input.is_public))


@strawberry.input(description="Which image to share, or to share no longer.")
class ToggleImagePublicInput:
    """An image."""

    id: strawberry.ID = strawberry.field(description="The image's id.")
    force: bool = strawberry.field(default=False, description=_FORCE)


@strawberry.type(description="The image is shared if it wasn't, and isn't if it was.")
class ToggleImagePublicSuccess(SetImagePublicSuccess):
    """An image."""


ToggleImagePublicResult = Annotated[
    ToggleImagePublicSuccess | NotFoundError | ImageInUseError,
    strawberry.union("ToggleImagePublicResult", description="What became of the change."),
]


async def _toggle_public(info: Info, input: Input[ToggleImagePublicInput]) -> ToggleImagePublicResult:
    return ToggleImagePublicSuccess(image=await _shared(info, input, None))


async def _shared(
    info: Info, input: SetImagePublicInput | ToggleImagePublicInput, is_public: bool | None
) -> ImageModel:
    return await info.context.services.images.set_public(
        info.context.viewer, uuid_of(_NOUN, input.id), is_public, force=input.force
    )


@strawberry.input(description="Which image to remove.")
class DeleteImageInput:
    """An image."""

    id: strawberry.ID = strawberry.field(description="The image's id.")
    force: bool = strawberry.field(
        default=False, description="Whether to take it from everything that shows it; otherwise that is refused."
    )


@strawberry.type(description="The image is gone, and its files unless another image has the same ones.")
class DeleteImageSuccess:
    """What is gone."""

    deleted_id: strawberry.ID = strawberry.field(description="The id that is no more.")


DeleteImageResult = Annotated[
    DeleteImageSuccess | NotFoundError | ImageInUseError,
    strawberry.union("DeleteImageResult", description="What became of removing an image."),
]


async def _delete(info: Info, input: Input[DeleteImageInput]) -> DeleteImageResult:
    await info.context.services.images.delete(info.context.viewer, uuid_of(_NOUN, input.id), force=input.force)
    return DeleteImageSuccess(deleted_id=input.id)


@strawberry.type
class LibraryMutations:
    """Images."""

    upload_image: UploadImageResult = strawberry.mutation(
        resolver=_upload, description="Make a picture an image of the library."
    )
    import_image: ImportImageResult = strawberry.mutation(
        resolver=_import, description="Fetch a picture of the web, and make it an image of the library."
    )
    tag_image: TagImageResult = strawberry.mutation(
        resolver=_tag, description="Add tags to an image, and take tags away."
    )
    set_image_public: SetImagePublicResult = strawberry.mutation(
        resolver=_set_public,
        description="Share an image with the community, as its owner, or share it no longer, as its owner or an admin.",
    )
    toggle_image_public: ToggleImagePublicResult = strawberry.mutation(
        resolver=_toggle_public, description="The same, to whatever it is not."
    )
    delete_image: DeleteImageResult = strawberry.mutation(resolver=_delete, description="Remove an image.")
