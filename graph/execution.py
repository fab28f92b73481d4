"""Leaves in one step: what is read straight from an object is answered without the executor's own dozen steps.

A list of images is mostly such leaves, and they were half of its cost. Only what needs no completing is taken: a field
without arguments, a resolver that doesn't wait, and a value whose exact type is already its scalar's. Everything else,
and whatever is raised, goes the executor's usual way, so that answers, nulls and errors are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLObjectType, GraphQLScalarType, get_nullable_type
from graphql.pyutils import AwaitableOrValue, UndefinedType
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

_LEAF = "atelier-leaf"
_PYTHON_TYPES = {"ID": str, "String": str, "URL": str, "Boolean": bool}
"""Scalars that serialise a value of exactly this type as it is."""


@dataclass(frozen=True, slots=True)
class _Operation:
    """As much of graphql-core's resolve info as a leaf's resolver may use."""

    context: Any


class LeafExecutor(StrawberryGraphQLCoreExecutionContext):
    """The reference executor with a short way for leaves."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._info: Any = strawberry.Info(_raw_info=_Operation(self.context_value), _field=None)  # type: ignore[arg-type]

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: Any,
        path: Any,
        position_context: Any,
    ) -> AwaitableOrValue[Any] | UndefinedType:
        """A leaf's value as it is; anything else by the reference."""
        field = parent_type.fields.get(field_details_list[0].node.name.value)
        leaf = field.extensions.get(_LEAF) if field else None
        if leaf is not None:
            read, python_type = leaf
            try:
                value = read(source, self._info)
            except Exception:  # noqa: BLE001 - the reference asks again, and reports it with its path
                value = None
            if type(value) is python_type:
                return value
        return super().execute_field(parent_type, source, field_details_list, path, position_context)


def mark_leaf(field: GraphQLField, read: Callable[[Any, Any], Any]) -> None:
    """Let a field be answered at once by a resolver that doesn't wait, when the field is a leaf of the kinds above."""
    leaf = get_nullable_type(field.type)
    python_type = _PYTHON_TYPES.get(leaf.name) if isinstance(leaf, GraphQLScalarType) else None
    if python_type is not None:
        field.extensions[_LEAF] = (read, python_type)
