"""How fields are declared and called: resolvers beside their types, arguments that many share, and a short way in."""

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, TypeVar, cast

import strawberry
from graphql import GraphQLField
from strawberry.types.field import StrawberryField

_Given = TypeVar("_Given")
Input = Annotated[_Given, strawberry.argument(description="What the mutation needs to know.")]
Id = Annotated[strawberry.ID, strawberry.argument(description="The object's global id.")]
First = Annotated[int | None, strawberry.argument(description="How many items from the newest on: 1-100, or 20.")]
After = Annotated[str | None, strawberry.argument(description="Only items older than this cursor's.")]


def resolved(resolver: Callable[..., Any], description: str) -> Any:
    """A field that a resolver answers with the domain's object; the annotation beside it names the GraphQL type.

    Strawberry takes the GraphQL type from the annotation, so no object is ever copied into another.
    """
    return strawberry.field(resolver=resolver, description=description)


def shorten(field: GraphQLField) -> None:
    """Let graphql-core call a resolver without arguments directly.

    Strawberry wraps each in five calls for arguments, extensions and errors, of which such a resolver has none; on a
    list of images they are most of the work.
    """
    known = cast("StrawberryField", field.extensions["strawberry-definition"])
    if known.is_subscription or known.arguments or known.extensions:
        return
    resolver = known.base_resolver
    if resolver is None:
        field.resolve = _attribute(known.python_name)
        return
    call = cast("Callable[..., Any]", resolver.wrapped_func)
    if resolver.info_parameter is None:
        field.resolve = lambda source, _: call(source)
    elif resolver.parent_parameter is None:
        field.resolve = lambda _, info: call(strawberry.Info(_raw_info=info, _field=known))
    else:
        field.resolve = lambda source, info: call(source, strawberry.Info(_raw_info=info, _field=known))


def _attribute(name: str) -> Callable[[Any, Any], Any]:
    read = attrgetter(name)
    return lambda source, _: read(source)
