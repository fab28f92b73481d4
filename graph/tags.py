"""Tags: what an image is about."""

import strawberry

from domain import tags as models
from domain.tags import TagKind


@strawberry.type(description="What an image is about. Tags that differ only in upper and lower case are the same.")
class Tag:
    """The source is a domain Tag."""

    kind: TagKind = strawberry.field(description="What the value names.")
    value: str = strawberry.field(description="The name, as it was first written.")


@strawberry.input(description="A tag.")
class TagInput:
    """A kind and a value."""

    kind: TagKind = strawberry.field(description="What the value names.")
    value: str = strawberry.field(description="The name: 1 to 100 characters.")


def tags_of(inputs: list[TagInput] | None) -> tuple[models.Tag, ...]:
    """The domain's."""
    return tuple(models.Tag(tag.kind, tag.value) for tag in inputs or ())
