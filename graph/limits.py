"""How large a document may be. Checked once per document, in time that grows with its length alone.

Strawberry's own limiters walk a fragment once per spread, so that fragments which spread each other twice take time
exponential in their number; here each is measured once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    InlineFragmentNode,
    IntValueNode,
    NamedTypeNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
    ValueNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from graphql.language import DocumentNode
from strawberry.extensions import SchemaExtension

from domain.pages import DEFAULT_PAGE, MAX_PAGE

MAX_TOKENS = 2_000
MAX_DEPTH = 15
MAX_ALIASES = 50
MAX_DIRECTIVES = 5
"""On one field."""
MAX_COST = 25_000
"""Fields to answer, each as often as the lists around it are assumed to be long."""
ASSUMED_ROWS = 10
"""How long a list is that takes no `first` or `last`."""
LONG_LISTS = {
    "identities": 50,
    "models": 20,
    "prompts": 20,
    "nodes": 100,
    "wizards": 20,
    "plans": 20,
    "connectionProfiles": 100,
}
"""Lists that may be longer; a cycle through any of them soon asks for too much."""
STATEMENT_COST = 50
"""What a page of a long list counts for: it asks the database each time, others by the batch."""
ALIASES_PER_INTROSPECTION = 10
"""How many aliases one inside introspection counts for: each may have the whole schema told once more."""

# PostgreSQL can't store NUL, however it is written; Python reads no number of more digits, and graphql-core breaks.
_UNREADABLE = re.compile(r"\0|\\u0000|\\u\{0+\}|[0-9]{4301}")


class Limits(SchemaExtension):
    """Limits every document, and asks for a name where it has several operations."""

    def on_operation(self) -> Iterator[None]:
        """Set the limits for parsing and validating."""
        context = self.execution_context
        context.parse_options["max_tokens"] = MAX_TOKENS
        is_unreadable = _UNREADABLE.search(context.query or "")
        context.validation_rules = (Unreadable,) if is_unreadable else (DocumentLimits, *context.validation_rules)
        yield

    def on_validate(self) -> Iterator[None]:
        """Strawberry would run the first of several operations when none is named. Comes after ValidationCache."""
        context = self.execution_context
        definitions = context.graphql_document.definitions if context.graphql_document else ()
        operations = [node for node in definitions if isinstance(node, OperationDefinitionNode)]
        is_named = context._provided_operation_name is not None  # noqa: SLF001  the public name falls back to the first
        if len(operations) > 1 and not is_named and not context.pre_execution_errors:
            context.pre_execution_errors = [GraphQLError("Name the operation to run: the document has several.")]
        yield


class Unreadable(ValidationRule):
    """Refuses a document that other rules, or the database, would break on."""

    def enter_document(self, node: DocumentNode, *_args: object) -> None:
        """Say what is wrong."""
        self.report_error(GraphQLError("The document has the character NUL, or a number of thousands of digits.", node))


@dataclass(frozen=True, slots=True)
class _Size:
    """What a selection adds up to."""

    depth: int = 0
    aliases: int = 0
    cost: int = 0

    def beside(self, other: "_Size") -> "_Size":
        """Both selections together."""
        return _Size(max(self.depth, other.depth), self.aliases + other.aliases, self.cost + other.cost)


class DocumentLimits(ValidationRule):
    """Refuses documents that are too deep, too wide or too costly. Introspection has limits of its own."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._fragments: dict[str, _Size] = {}
        self._said: set[str] = set()

    def enter_document(self, node: DocumentNode, *_args: object) -> None:
        """Measure every operation."""
        schema = self.context.schema
        for definition in node.definitions:
            if isinstance(definition, OperationDefinitionNode):
                root = schema.get_root_type(definition.operation)
                size = self._measured(definition.selection_set, root)
                self._check(size, definition)

    def _check(self, size: _Size, operation: OperationDefinitionNode) -> None:
        for what, measured, limit in (
            ("nests too deeply", size.depth, MAX_DEPTH),
            ("has too many aliases", size.aliases, MAX_ALIASES),
            ("asks for too much", size.cost, MAX_COST),
        ):
            if measured > limit:
                self._refuse(f"The operation {what}: {measured:,}, where {limit:,} is allowed.", operation)

    def _refuse(self, message: str, node: OperationDefinitionNode | FieldNode) -> None:
        if message not in self._said:
            self._said.add(message)
            self.report_error(GraphQLError(message, node))

    def _measured(self, selections: SelectionSetNode | None, type: GraphQLNamedType | None) -> _Size:
        size = _Size()
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                size = size.beside(self._field(node, type))
            elif isinstance(node, FragmentSpreadNode):
                size = size.beside(self._fragment(node.name.value))
            elif isinstance(node, InlineFragmentNode):
                size = size.beside(self._measured(node.selection_set, self._narrowed(node.type_condition, type)))
        return size

    def _narrowed(self, condition: NamedTypeNode | None, type: GraphQLNamedType | None) -> GraphQLNamedType | None:
        return self.context.schema.get_type(condition.name.value) if condition else type

    def _fragment(self, name: str) -> _Size:
        if name not in self._fragments:
            self._fragments[name] = _Size()  # what a fragment finds of itself: cycles are refused by another rule
            fragment = self.context.get_fragment(name)
            if fragment:
                inner = self._narrowed(fragment.type_condition, None)
                self._fragments[name] = self._measured(fragment.selection_set, inner)
        return self._fragments[name]

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> _Size:
        if len(node.directives or ()) > MAX_DIRECTIVES:
            self._refuse(f"A field may have {MAX_DIRECTIVES} directives at most.", node)
        aliases = 1 if node.alias else 0
        if node.name.value.startswith("__"):
            inside = self._measured(node.selection_set, None).aliases
            return _Size(1, (inside + aliases) * (ALIASES_PER_INTROSPECTION if node.selection_set else 1), 1)
        fields = parent.fields if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else {}
        definition = fields.get(node.name.value)
        inner = self._measured(node.selection_set, get_named_type(definition.type) if definition else None)
        rows = _rows(node, definition, parent) if definition else 1
        own = STATEMENT_COST if definition and "first" in definition.args else 1
        return _Size(1 + inner.depth, aliases + inner.aliases, own + rows * inner.cost)


def _rows(node: FieldNode, definition: GraphQLField, parent: GraphQLNamedType | None) -> int:
    """How often what is below a field is answered, at a guess that is seldom too low."""
    if "first" in definition.args:
        asked = [argument.value for argument in node.arguments or () if argument.name.value in {"first", "last"}]
        return max((_asked_rows(value) for value in asked), default=DEFAULT_PAGE)
    if not is_list_type(get_nullable_type(definition.type)) or (parent and parent.name.endswith("Connection")):
        return 1
    return LONG_LISTS.get(node.name.value, ASSUMED_ROWS)


def _asked_rows(value: ValueNode) -> int:
    return min(int(value.value), MAX_PAGE) if isinstance(value, IntValueNode) else MAX_PAGE
