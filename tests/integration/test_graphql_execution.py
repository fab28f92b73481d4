"""The short way for leaves answers exactly as the reference executor does: random documents, right and wrong objects."""

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from graphql import (
    GraphQLField,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_union_type,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from domain.connection_profiles import ProfileChange
from domain.pages import Page
from domain.pictures import SignedUrl
from domain.providers import ProviderKind
from domain.tags import Tag, TagKind
from domain.users import Viewer
from graph.context import Context
from graph.execution import LeafExecutor
from graph.schema import AtelierSchema, build_schema
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.graphql import World
from tests.rows import (
    a_generation,
    a_prompt,
    a_recipe,
    a_slot,
    a_step,
    a_wizard,
    an_identity,
    an_image,
    stored_viewer,
)

ROUNDS = 60
DEPTHS = {
    "viewer": 4,
    "images": 4,
    "generations": 4,
    "providers": 4,
    "prompts": 3,
    "wizards": 3,
    "connectionProfiles": 1,
}
"""How deep documents go, by the field they begin with: as deep as the limits let most of them pass."""


class Unsigned(FakeObjectStore):
    """A store that can't mint URLs."""

    def url(self, key: str) -> SignedUrl:
        """Fail."""
        raise LookupError(key)


class NotingExecutor(LeafExecutor):
    """Knows which fields went the long way."""

    long: ClassVar[list[str]] = []

    def build_resolve_info(self, field_def: GraphQLField, field_nodes: Any, *rest: Any) -> Any:
        """Asked for by the reference alone."""
        self.long.append(field_nodes[0].name.value)
        return super().build_resolve_info(field_def, field_nodes, *rest)


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
    prompt, wizard = a_prompt(user.community_id, 2), a_wizard(user.community_id)
    image = an_image(user, recipe=a_recipe(), tags=(Tag(TagKind.THEME, "Night"),), prompt_id=prompt.id)
    step, identity = a_step(wizard, background_id=image.id), an_identity(user, image_id=image.id)
    await world.add(prompt, image, an_image(user), wizard, step, identity, a_slot(user))
    profile = await world.services.connection_profiles.create(
        viewer, ProviderKind.OPENAI, ProfileChange("Mine", api_key="sk-0123456789"), tried=False
    )
    await world.add(a_generation(user, step_id=step.id, tags=image.tags, profile_id=profile.id))
    return viewer


def selections(kind: Any, chance: random.Random, depth: int) -> Iterator[str]:
    """A random selection of an object's fields, those with obligatory arguments left out."""
    fields: list[tuple[str, GraphQLField]] = list(kind.fields.items())
    for name, field in chance.sample(fields, k=min(len(fields), 6)):
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        inner = get_named_type(field.type)
        if is_leaf_type(inner):
            yield f"alias_{name}: {name}" if chance.random() < 0.2 else name
        elif is_union_type(inner) and depth:
            members = [f"... on {member.name} {{ {document(member, chance, 0)} }}" for member in inner.types]
            yield f"{name} {{ __typename {' '.join(members)} }}"
        elif depth:
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


@pytest.mark.parametrize("root", DEPTHS)
async def test_random_documents_are_answered_alike(
    world: World, ada: Viewer, schema: AtelierSchema, reference: AtelierSchema, root: str
) -> None:
    """The same document gives the same data and the same errors, in the same order of fields."""
    chance = random.Random(root)  # noqa: S311 - repeatable, not secret
    kind: Any = get_named_type(schema._schema.query_type.fields[root].type)  # type: ignore[union-attr]  # a schema has a query type
    answered = 0
    for _ in range(ROUNDS):
        query = f"{{ {root} {{ {document(kind, chance, DEPTHS[root])} }} }}"
        short, long = await answer(schema, world, ada, query), await answer(reference, world, ada, query)
        assert short == long, query
        assert str(short[0]) == str(long[0]), query
        if short[0]:
            answered += 1
        else:
            assert "asks for too much" in short[1][0]["message"]
    assert answered > ROUNDS / 3


async def test_what_needs_no_waiting_takes_the_short_way(world: World, ada: Viewer) -> None:
    """Of an image that includes its picture and its recipe, which depends on who asks."""
    schema = build_schema()
    schema.execution_context_class = NotingExecutor
    query = "{ images { nodes { id filename isPublic recipe { prompt model } picture { original sha256 } } } }"
    data, _ = await answer(schema, world, ada, query)
    assert {"prompt": "A house", "model": "sketch-1"} in [node["recipe"] for node in data["images"]["nodes"]]
    # The second image has no recipe: null is the reference's to complete.
    assert NotingExecutor.long == ["images", "nodes", "recipe"]


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
