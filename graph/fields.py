"""How fields are declared and called: resolvers beside their types, arguments that many share, and a short way in."""

from asyncio import iscoroutinefunction
from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, TypeVar, cast

import strawberry
from graphql import GraphQLField
from strawberry.types.field import StrawberryField

from graph.execution import mark_leaf, mark_part

_AT_ONCE = "at-once"

_Given = TypeVar("_Given")
Input = Annotated[_Given, strawberry.argument(description="What the operation needs to know.")]
Id = Annotated[strawberry.ID, strawberry.argument(description="The object's global id.")]
First = Annotated[int | None, strawberry.argument(description="How many items from the newest on: 1-100, or 20.")]
After = Annotated[str | None, strawberry.argument(description="Only items older than this cursor's.")]
Last = Annotated[int | None, strawberry.argument(description="How many items from the oldest on: 1-100.")]
Before = Annotated[str | None, strawberry.argument(description="Only items newer than this cursor's.")]


def resolved(resolver: Callable[..., Any], description: str) -> Any:
    """A field that a resolver answers with the domain's object; the annotation beside it names the GraphQL type.

    Strawberry takes the GraphQL type from the annotation, so no object is ever copied into another.
    """
    return strawberry.field(resolver=resolver, description=description)


def resolved_at_once(resolver: Callable[..., Any], description: str) -> Any:
    """The same for an object that the resolver never has to wait for: of a list it is answered in the shortest way."""
    return strawberry.field(resolver=resolver, description=description, metadata={_AT_ONCE: True})


def shorten(field: GraphQLField) -> None:
    """Let graphql-core call a resolver without arguments directly.

    Strawberry wraps each in five calls for arguments, extensions and errors, of which such a resolver has none; on a
    list of images they are most of the work. A leaf that doesn't wait is marked for an even shorter one.
    """
    known = cast("StrawberryField", field.extensions["strawberry-definition"])
    if known.is_subscription or known.arguments or known.extensions:
        return
    resolver = known.base_resolver
    call = cast("Callable[..., Any]", resolver.wrapped_func if resolver else attrgetter(known.python_name))
    ask: Callable[[Any, Any], Any]
    if resolver is None or resolver.info_parameter is None:
        ask = field.resolve = lambda source, _: call(source)
    else:
        ask = call if resolver.parent_parameter else lambda _, info: call(info)
        field.resolve = lambda source, info: ask(source, strawberry.Info(_raw_info=info, _field=known))
    if not iscoroutinefunction(call):
        mark_leaf(field, ask)
    if resolver is None or _AT_ONCE in known.metadata:
        mark_part(field, ask)
