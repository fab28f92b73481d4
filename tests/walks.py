"""Every operation that a schema has, built from the schema itself: each with all that can be selected and given.

A new root field or argument is walked without a word here. What can't be filled fails, and says so.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, cast

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    OverlappingFieldsCanBeMergedRule,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
    parse,
    validate,
)
from starlette.datastructures import UploadFile

from graph.limits import DocumentLimits
from tests.pictures import jpeg

DEPTH = 4
MAX_DOCUMENTS = 40
"""For one operation: what would take more of them is selected less deeply."""
PLAIN: dict[str, list[object]] = {
    "Int": [1],
    "Float": [1.0],
    "Boolean": [True, False],
    "DateTime": ["2026-01-01T00:00:00Z"],
}
NAMED = {
    "timeZone": "Europe/Berlin",
    "email": "nobody@example.org",
    "url": "https://example.org/me.jpg",
    "baseUrl": "https://example.org",
}
SHORT = {"Profile": "ConnectionProfile"}
"""What else names of inputs call a noun."""
SEARCHED = frozenset({"search", "value"})
"""Inputs of queries that are filled with what must not be found."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Where an id belongs; of that noun, or of any."""

    noun: str | None


@dataclass(frozen=True, slots=True)
class File:
    """Where an upload belongs."""


Tree = Any
"""Variables with holes."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A root field: documents that together select all of it, and what it can be given.

    `document` is one that selects as much as fits. `pairs` are inputs that give two things that may be left out.
    """

    name: str
    documents: tuple[str, ...]
    document: str
    inputs: tuple[Tree, ...]
    pairs: tuple[Tree, ...]

    def asked(self, own: "Ids", others: "Ids") -> Iterator[tuple[str, Any]]:
        """Documents with their variables, in which others' ids stand."""
        for document in self.documents:
            for variables in with_ids(self.inputs[0], own, others):
                yield document, variables
        for tree in self.inputs:
            for variables in with_ids(tree, own, others):
                yield self.document, variables
        for tree in self.pairs:
            for variables in with_ids(tree, own, others, is_brief=True):
                yield self.document, variables

    def plain(self) -> Iterator[tuple[str, Any]]:
        """Documents with variables that have no ids."""
        asked = [(document, self.inputs[0]) for document in self.documents]
        asked += [(self.document, tree) for tree in (*self.inputs, *self.pairs)]
        return ((document, tree) for document, tree in asked if not holes(tree))


Ids = Mapping[str, Sequence[str]]
"""Global ids by noun."""


class Walk:
    """The operations of a schema; `words` is what queries search for."""

    def __init__(self, schema: GraphQLSchema, words: str) -> None:
        self._schema = schema
        self._words = words
        nodes = schema.get_possible_types(cast("GraphQLInterfaceType", schema.get_type("Node")))
        self._nouns = sorted((node.name for node in nodes), key=len, reverse=True)

    def operations(self, kind: str) -> Iterator[Operation]:
        """Each field of a root type: `query`, `mutation` or `subscription`."""
        root = getattr(self._schema, f"{kind}_type")
        for name, field in root.fields.items():
            whole, parts = self._documents(kind, name, field)
            values = {arg: self._values(given.type, arg, (kind, name)) for arg, given in field.args.items()}
            needed = [arg for arg, given in field.args.items() if is_required_argument(given)]
            pairs = [*_pairs(values, needed)]
            if list(values) == ["input"]:
                fields = get_named_type(field.args["input"].type).fields
                inner = {part: self._values(given.type, part, (kind, name)) for part, given in fields.items()}
                required = [part for part, given in fields.items() if is_required_input_field(given)]
                pairs = [{"input": pair} for pair in _pairs(inner, required) if holes(pair)]
            # Changes are made once, and so seen by one document.
            documents = tuple(parts) if kind == "query" else ()
            yield Operation(name, documents, whole, tuple(_singles(values, needed)), tuple(pairs))

    def _documents(self, kind: str, name: str, field: GraphQLField) -> tuple[str, list[str]]:
        """One document that selects as much as fits, and several that together select all."""
        heading, call = _heading(kind, name, field)
        inner = get_named_type(field.type)
        if is_leaf_type(inner):
            return f"{heading} {{ {call} }}", []

        def document(selection: str) -> str:
            return f"{heading} {{ {call} {{ {selection} }} }}"

        def fits(selection: str) -> bool:
            return not validate(
                self._schema, parse(document(selection)), [DocumentLimits, OverlappingFieldsCanBeMergedRule]
            )

        depths = range(DEPTH, 0, -1)
        several = next(parts for depth in depths if len(parts := self._selections(inner, depth, fits)) <= MAX_DOCUMENTS)
        whole = next((selection for depth in depths if fits(selection := self._selection(inner, depth))), several[0])
        return document(whole), [document(part) for part in several]

    def _selections(self, kind: Any, depth: int, fits: Callable[[str], bool]) -> list[str]:
        """Selections that together select everything so deep, each within the limits of documents."""
        whole = self._selection(kind, depth)
        if fits(whole):
            return [whole]
        if is_abstract_type(kind):
            members = self._schema.get_possible_types(kind)
            parts: list[tuple[str, Any, int]] = [
                (f"__typename ... on {member.name}", member, depth) for member in members
            ]
        else:
            parts = [(_call(name, field), get_named_type(field.type), depth - 1) for name, field in _objects(kind)]
        # What no document may ask for is left out.
        found = [] if is_abstract_type(kind) or not fits(_leaves(kind)) else [_leaves(kind)]
        for call, inner, rest in parts:
            if rest:

                def fits_inside(selection: str, call: str = call) -> bool:
                    return fits(f"{call} {{ {selection} }}")

                found += [f"{call} {{ {part} }}" for part in self._selections(inner, rest, fits_inside)]
        return found

    def _selection(self, kind: Any, depth: int) -> str:
        if is_abstract_type(kind):
            members = self._schema.get_possible_types(kind)
            return " ".join(f"... on {member.name} {{ {self._selection(member, depth)} }}" for member in members)
        inner = [
            f"{_call(name, field)} {{ {self._selection(get_named_type(field.type), depth - 1)} }}"
            for name, field in _objects(kind)
            if depth > 1
        ]
        return " ".join([_leaves(kind), *inner])

    def _values(self, type: Any, name: str, operation: tuple[str, str]) -> list[Tree]:
        if isinstance(type, GraphQLNonNull):
            return self._values(type.of_type, name, operation)
        if isinstance(type, GraphQLList):
            return [[value] for value in self._values(type.of_type, name, operation)[:1]]
        if isinstance(type, GraphQLEnumType):
            return list(type.values)
        if isinstance(type, GraphQLInputObjectType):
            values = {part: self._values(field.type, part, operation) for part, field in type.fields.items()}
            return _singles(values, [part for part, field in type.fields.items() if is_required_input_field(field)])
        return self._scalars(type, name, operation)

    def _scalars(self, type: GraphQLScalarType, name: str, operation: tuple[str, str]) -> list[Tree]:
        kind, field = operation
        if type.name == "ID":
            return [Hole(self._noun(field if name in {"id", "ids"} else name))]
        if type.name == "Upload":
            return [File()]
        if type.name == "String":
            is_searched = kind == "query" and name in SEARCHED
            return [self._words if is_searched else NAMED.get(name, "plain")]
        assert type.name in PLAIN, f"Say in tests/walks.py what {field}({name}) can be given: a {type.name}"
        return list(PLAIN[type.name])

    def _noun(self, name: str) -> str | None:
        capital = name[0].upper() + name[1:]
        called = {noun: noun for noun in self._nouns} | SHORT
        return next((noun for word, noun in called.items() if word in capital), None)


def _base(values: Mapping[str, list[Tree]], needed: Sequence[str]) -> Tree:
    return {name: values[name][0] for name in needed}


def _singles(values: Mapping[str, list[Tree]], needed: Sequence[str]) -> list[Tree]:
    """What is needed alone, and with each other value of one thing."""
    base = _base(values, needed)
    others = [{**base, name: value} for name, known in values.items() for value in known]
    return [base, *(other for other in others if other != base)]


def _pairs(values: Mapping[str, list[Tree]], needed: Sequence[str]) -> Iterator[Tree]:
    """What is needed, with two things that may be left out."""
    base = _base(values, needed)
    for one, other in combinations([name for name in values if name not in needed], 2):
        for first, second in product(_few(values[one]), _few(values[other])):
            yield {**base, one: first, other: second}


def _few(values: list[Tree]) -> list[Tree]:
    """Every value of an enum, and two of an input object."""
    return values if isinstance(values[0], str) else values[:2]


def _heading(kind: str, name: str, field: GraphQLField) -> tuple[str, str]:
    variables, arguments = [], []
    for arg, given in field.args.items():
        # An argument with a default takes a variable that may be missing.
        kept = given.type if is_required_argument(given) else _nullable(given.type)
        variables.append(f"${arg}: {kept}")
        arguments.append(f"{arg}: ${arg}")
    return f"{kind} ({', '.join(variables)})" if variables else kind, _with(name, arguments)


def _nullable(type: Any) -> Any:
    return type.of_type if isinstance(type, GraphQLNonNull) else type


def _with(name: str, arguments: list[str]) -> str:
    return f"{name}({', '.join(arguments)})" if arguments else name


def _call(name: str, field: GraphQLField) -> str:
    """A field below the root, with the first value of each enum that it needs."""
    needed = []
    for arg, given in field.args.items():
        inner = get_named_type(given.type)
        assert inner.name != "ID", f"{name}({arg}) takes an id: teach tests/walks.py to fill it"
        if is_required_argument(given):
            assert isinstance(inner, GraphQLEnumType), f"Say in tests/walks.py what {name}({arg}) can be given"
            needed.append(f"{arg}: {next(iter(inner.values))}")
    return _with(name, needed)


def _objects(kind: GraphQLObjectType) -> Iterator[tuple[str, GraphQLField]]:
    return ((name, field) for name, field in kind.fields.items() if not is_leaf_type(get_named_type(field.type)))


def _leaves(kind: GraphQLObjectType) -> str:
    leaves = [_call(name, field) for name, field in kind.fields.items() if is_leaf_type(get_named_type(field.type))]
    return " ".join(["__typename", *leaves])


def holes(tree: Tree) -> list[Hole]:
    """The places for ids, in order."""
    if isinstance(tree, Hole):
        return [tree]
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [hole for part in inner for hole in holes(part)]


def _filled(tree: Tree, ids: Iterator[str]) -> Any:
    """The tree with an id in each place, and files where they belong."""
    if isinstance(tree, dict):
        return {name: _filled(part, ids) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_filled(part, ids) for part in tree]
    if isinstance(tree, File):
        return UploadFile(io.BytesIO(jpeg()), filename="me.jpg")
    return next(ids) if isinstance(tree, Hole) else tree


def with_ids(tree: Tree, own: Ids, others: Ids, *, is_brief: bool = False) -> Iterator[Any]:
    """The tree with others' ids: in one place after the other, own ones in the rest, and in all places at once."""
    places = holes(tree)
    if not places:
        yield _filled(tree, iter(()))
        return
    known = [own[hole.noun or "User"][0] for hole in places]
    for index, hole in enumerate(places):
        for id in others.get(hole.noun or "User", ())[:1] if is_brief else _asked(hole, others):
            yield _filled(tree, iter([*known[:index], id, *known[index + 1 :]]))
    if len(places) > 1:
        yield _filled(tree, iter([others.get(hole.noun or "User", own[hole.noun or "User"])[0] for hole in places]))


def _asked(hole: Hole, others: Ids) -> list[str]:
    """Every id of the noun, and one of each other noun."""
    return [id for noun, ids in others.items() for id in (ids if hole.noun in {None, noun} else ids[:1])]
