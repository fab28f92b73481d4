"""Leaves in one step: what is read straight from an object is answered without the executor's own dozen steps.

A list of images is mostly such leaves, and they were half of its cost. Only what needs no completing is taken: a field
without arguments, a resolver that doesn't wait, a value whose exact type is already its scalar's; and objects that need
no waiting for, when nothing but such leaves is asked of them. Everything else, and whatever is raised, goes the
executor's usual way, so that answers, nulls and errors are the same.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import strawberry
from graphql import ExecutionResult, GraphQLField, GraphQLObjectType, GraphQLScalarType, get_nullable_type
from graphql.pyutils import AwaitableOrValue, Undefined, UndefinedType
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.sharing import Shared, Steps

_LEAF = "atelier-leaf"
_PART = "atelier-part"
_PYTHON_TYPES = {"ID": str, "String": str, "URL": str, "Boolean": bool}
"""Scalars that serialise a value of exactly this type as it is."""


_Read = Callable[[Any, Any], Any]
_Leaf = tuple[_Read, type]
_Part = tuple[_Read, GraphQLObjectType]
_Plan = dict[str, _Leaf]


@dataclass(frozen=True, slots=True)
class _Operation:
    """As much of graphql-core's resolve info as a leaf's resolver may use."""

    context: Any


class LeafExecutor(StrawberryGraphQLCoreExecutionContext):
    """The reference executor with a short way for leaves, and a shorter one for objects of which only leaves are asked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._info: Any = strawberry.Info(_raw_info=_Operation(self.context_value), _field=None)  # type: ignore[arg-type]  # leaves use the context alone
        self._plans: dict[int, tuple[object, _Plan | None]] = {}

    def cancellable_iterable(self, iterable: AsyncIterable[Any]) -> AsyncIterable[Any]:
        """Steps as one single event where they are shared; any other source of events as it is."""
        is_shared = isinstance(iterable, Steps) and self.context_value.shares_steps
        return _once(iterable) if is_shared else super().cancellable_iterable(iterable)

    def build_per_event_executor(self, payload: Any) -> "LeafExecutor":
        """A copy for one event. What it remembers of selections is its own: no later event would ever find it."""
        executor = cast("LeafExecutor", super().build_per_event_executor(payload))
        executor._plans, executor._relevant_sub_fields = {}, {}  # noqa: SLF001 - graphql-core would keep them for good
        return executor

    def execute_operation(self, serially: bool | None = None) -> Any:
        """The answer to the operation, or to one event of it; steps that are shared are handed over instead."""
        if isinstance(self.root_value, Steps):
            return ExecutionResult(Shared(self, self.root_value))  # type: ignore[arg-type]  # the socket takes it out
        return super().execute_operation(serially)

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Any,
        grouped_field_set: Any,
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """An object's leaves as they are; anything else by the reference."""
        values = self._leaves(parent_type, source_value, grouped_field_set)
        if values is not None:
            return values
        return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)

    def execute_field(
        self, parent_type: GraphQLObjectType, source: Any, field_details_list: Any, path: Any, position_context: Any
    ) -> AwaitableOrValue[Any] | UndefinedType:
        """A leaf's value as it is; anything else by the reference."""
        field = parent_type.fields.get(field_details_list[0].node.name.value)
        leaf, part = (field.extensions.get(_LEAF), field.extensions.get(_PART)) if field else (None, None)
        if leaf:
            value = _value(leaf, source, self._info)
            if value is not Undefined:
                return value
        elif part:
            values = self._part(part, source, field_details_list)
            if values is not None:
                return values
        return super().execute_field(parent_type, source, field_details_list, path, position_context)

    def _part(self, part: _Part, source: Any, field_details_list: Any) -> dict[str, Any] | None:
        """An object that needs no waiting for, when only its leaves are asked for."""
        read, kind = part
        try:
            value = read(source, self._info)
            is_plain = value is not None and (kind.is_type_of is None or kind.is_type_of(value, self._info) is True)
        except Exception:  # noqa: BLE001 - the same
            return None
        if not is_plain:
            return None
        fields, deferred, _ = self.collect_subfields(kind, field_details_list)
        return None if deferred else self._leaves(kind, value, fields)

    def _leaves(self, kind: GraphQLObjectType, source: Any, grouped_field_set: Any) -> dict[str, Any] | None:
        """Every field's value, when all are leaves and all values are as they must be."""
        plan = self._plan(kind, grouped_field_set)
        if plan is None:
            return None
        values = {}
        for name, leaf in plan.items():
            values[name] = value = _value(leaf, source, self._info)
            if value is Undefined:
                return None
        return values

    def _plan(self, parent_type: GraphQLObjectType, grouped_field_set: Any) -> _Plan | None:
        # The executor keeps one set for all objects of a list; kept here too, so that its id stays its own.
        known = self._plans.get(id(grouped_field_set))
        if known is None:
            leaves = {name: _leaf(parent_type, details) for name, details in grouped_field_set.items()}
            plan = {name: leaf for name, leaf in leaves.items() if leaf}
            known = grouped_field_set, plan if len(plan) == len(leaves) else None
            self._plans[id(grouped_field_set)] = known
        return known[1]


async def _once(event: Any) -> AsyncIterator[Any]:
    yield event


def _leaf(parent_type: GraphQLObjectType, field_details_list: Any) -> _Leaf | None:
    field = parent_type.fields.get(field_details_list[0].node.name.value)
    return field.extensions.get(_LEAF) if field else None


def _value(leaf: _Leaf, source: Any, info: Any) -> Any:
    """The leaf's value, or Undefined when the reference has to look at it."""
    read, python_type = leaf
    try:
        value = read(source, info)
    except Exception:  # noqa: BLE001 - the reference asks again, and reports it with its path
        return Undefined
    return value if type(value) is python_type else Undefined


def mark_part(field: GraphQLField, read: _Read) -> None:
    """Let a field be answered at once that is an object, by a resolver that doesn't wait."""
    kind = get_nullable_type(field.type)
    if isinstance(kind, GraphQLObjectType):
        field.extensions[_PART] = (read, kind)


def mark_leaf(field: GraphQLField, read: _Read) -> None:
    """Let a field be answered at once by a resolver that doesn't wait, when the field is a leaf of the kinds above."""
    leaf = get_nullable_type(field.type)
    python_type = _PYTHON_TYPES.get(leaf.name) if isinstance(leaf, GraphQLScalarType) else None
    if python_type is not None:
        field.extensions[_LEAF] = (read, python_type)
