"""Objects with global ids, and finding them by these alone."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import strawberry
from strawberry import Parent
from strawberry.dataloader import DataLoader

from domain.errors import InvalidInput
from graph.context import Context, Info
from graph.fields import Id, resolved
from graph.ids import global_id, parsed
from graph.loaders import Loaders

MAX_NODES = 100


def _id(source: Parent[Any]) -> strawberry.ID:
    return global_id(type(source).__name__, source.id)


@strawberry.interface(description="An object with a global id.")
class Node:
    """The sources are the domain's own objects; a GraphQL type bears the name of its domain class."""

    id: strawberry.ID = resolved(_id, "The global id: unique among all objects.")

    @classmethod
    def is_type_of(cls, source: object, _info: object) -> bool:
        """Whether a source is of this type."""
        return type(source).__name__ == cls.__name__

    @classmethod
    def resolve_type(cls, source: object, *_: object) -> str:
        """The type of a source."""
        return type(source).__name__


_LOADERS: dict[str, Callable[[Loaders], DataLoader[Any, Any]]] = {
    "Community": lambda loaders: loaders.communities,
    "User": lambda loaders: loaders.reachable_users,
    "ReferenceImage": lambda loaders: loaders.reference_images,
    "Identity": lambda loaders: loaders.identities,
    "Image": lambda loaders: loaders.visible_images,
    "Prompt": lambda loaders: loaders.prompts,
    "Generation": lambda loaders: loaders.generations,
    "ConnectionProfile": lambda loaders: loaders.connection_profiles,
    "Wizard": lambda loaders: loaders.wizards,
    "Step": lambda loaders: loaders.steps,
    "Plan": lambda loaders: loaders.plans,
}


async def found(context: Context, id: str, noun: str | None = None) -> Any:
    """What the viewer may see under this global id (of that noun, when one is named), or None."""
    loaders = context.loaders
    named = parsed(id)
    if named is None or named[0] not in _LOADERS or noun not in {None, named[0]}:
        return None
    return await _LOADERS[named[0]](loaders).load(named[1])


async def _node(info: Info, id: Id) -> Any:
    return await found(info.context, id)


async def _nodes(
    info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="Up to 100 global ids.")]
) -> Any:
    if len(ids) > MAX_NODES:
        raise InvalidInput(f"Ask for at most {MAX_NODES} objects at once", "ids")
    _ = info.context.viewer
    return await asyncio.gather(*(found(info.context, wanted) for wanted in ids))


@strawberry.type
class NodeQueries:
    """Any object by its id."""

    node: Node | None = resolved(_node, "The object with this id, if you may see it.")
    nodes: list[Node | None] = resolved(
        _nodes, "The objects with these ids, in the same order; null for what you may not see."
    )
