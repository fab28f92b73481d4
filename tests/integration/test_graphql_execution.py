"""The short way for leaves answers exactly as the reference executor does: random documents, right and wrong objects."""

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    get_named_type,
    is_leaf_type,
    is_union_type,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from domain.pages import Page
from domain.pictures import SignedUrl
from domain.users import Viewer
from graph.context import Context
from graph.schema import AtelierSchema, build_schema
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.graphql import World
from tests.rows import a_generation, a_slot, an_identity, an_image, stored_viewer

ROUNDS = 60
DEPTH = 4


class Unsigned(FakeObjectStore):
    """A store that can't mint URLs."""

    def url(self, key: str) -> SignedUrl:
        """Fail."""
        raise LookupError(key)


@pytest.fixture(scope="module")
def reference() -> AtelierSchema:
    """The same schema with the executor that everything is compared to."""
    schema = build_schema()
    schema.execution_context_class = StrawberryGraphQLCoreExecutionContext
    return schema


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A user with one thing of each kind."""
    viewer = await stored_viewer(world.unit_of_work)
    user = viewer.user
    await world.add(a_slot(user), an_identity(user), an_image(user), a_generation(user))
    return viewer


def selections(kind: Any, chance: random.Random, depth: int) -> Iterator[str]:
    """A random selection of an object's fields, those with obligatory arguments left out."""
    fields: list[tuple[str, GraphQLField]] = list(kind.fields.items())
    for name, field in chance.sample(fields, k=min(len(fields), 6)):
        if any(argument.default_value is None for argument in field.args.values()) and name in {"node", "nodes"}:
            continue
        inner = get_named_type(field.type)
        if is_leaf_type(inner):
            yield f"alias_{name}: {name}" if chance.random() < 0.2 else name
        elif not is_union_type(inner) and depth:
            yield f"{name} {{ {document(inner, chance, depth - 1)} }}"


def document(kind: Any, chance: random.Random, depth: int) -> str:
    """What stands between braces; never empty."""
    return " ".join(["__typename", *selections(kind, chance, depth)])


async def answer(schema: AtelierSchema, world: World, viewer: Viewer, query: str) -> tuple[Any, list[Any]]:
    """Data, and the errors in an order of their own."""
    context = Context(world.services)
    context.answer_to(viewer)
    result = await schema.execute(query, context_value=context)
    return result.data, sorted((error.formatted for error in result.errors or []), key=str)


@pytest.mark.parametrize("root", ["viewer", "images", "generations", "providers"])
async def test_random_documents_are_answered_alike(
    world: World, ada: Viewer, schema: AtelierSchema, reference: AtelierSchema, root: str
) -> None:
    """The same document gives the same data and the same errors, in the same order of fields."""
    chance = random.Random(root)  # noqa: S311 - repeatable, not secret
    kind: Any = get_named_type(schema._schema.query_type.fields[root].type)  # type: ignore[union-attr]  # a schema has a query type
    for _ in range(ROUNDS):
        query = f"{{ {root} {{ {document(kind, chance, DEPTH)} }} }}"
        short, long = await answer(schema, world, ada, query), await answer(reference, world, ada, query)
        assert short == long, query
        assert str(short[0]) == str(long[0]), query


@pytest.mark.parametrize("wrong", [None, 7, 1.5, True, b"bytes", object, ["list"], ValueError("raised")])
@pytest.mark.parametrize("name", ["name", "email", "is_test", "created_at"])
async def test_objects_that_are_not_as_promised_fail_alike(
    world: World, ada: Viewer, schema: AtelierSchema, reference: AtelierSchema, name: str, wrong: object
) -> None:
    """A value of another type is coerced, nulled or reported as the reference does it."""
    user = copy.copy(ada.user)
    object.__setattr__(user, name, wrong)
    viewer = replace(ada, user=user)
    query = "{ viewer { id name email isTest createdAt community { name } } }"
    short, long = await answer(schema, world, viewer, query), await answer(reference, world, viewer, query)
    assert short == long
    assert str(short[0]) == str(long[0])


async def test_a_resolver_that_raises_fails_alike(
    world: World, ada: Viewer, schema: AtelierSchema, reference: AtelierSchema
) -> None:
    """What a leaf's resolver raises is reported with its path, and nulls as much as it must."""
    query = "{ images { nodes { id picture { width original } filename } } }"
    answers = []
    for each in (schema, reference):
        context = Context(replace(world.services, objects=Unsigned(FakeClock())))
        context.answer_to(ada)
        result = await each.execute(query, context_value=context)
        answers.append((result.data, [error.formatted for error in result.errors or []]))
    assert answers[0] == answers[1]
    assert answers[0][1][0]["path"] == ["images", "nodes", 0, "picture", "original"]


@pytest.mark.parametrize("wrong", [None, 7, "text", object(), ValueError("raised")])
@pytest.mark.parametrize("name", ["picture", "recipe"])
async def test_parts_that_are_not_as_promised_fail_alike(
    world: World, ada: Viewer, schema: AtelierSchema, reference: AtelierSchema, name: str, wrong: object
) -> None:
    """An attribute that is no such object is nulled or reported as the reference does it, also when it is missing."""
    query = "{ images { nodes { id picture { width original } recipe { prompt model } filename } } }"
    image = an_image(ada.user)
    object.__setattr__(image, name, wrong)
    unlucky = UnluckyUnitOfWork(world.unit_of_work)
    answers = []
    for each in (schema, reference):
        unlucky.mishaps["images.page"] = [Page([image], has_next=False, has_previous=False)]
        context = Context(replace(world.services, unit_of_work=unlucky))
        context.answer_to(ada)
        result = await each.execute(query, context_value=context)
        answers.append((result.data, [error.formatted for error in result.errors or []]))
    assert answers[0] == answers[1]
