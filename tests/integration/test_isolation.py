"""Nothing of a community is ever seen or changed from another, nor what is private of one member by another.

Every root field of the schema is asked for everything it has, with somebody else's ids in every place that takes one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from domain.images import Image
from domain.prompts import PromptType
from domain.users import Viewer
from graph.context import Context
from graph.schema import AtelierSchema
from storage.database.databases import Database
from tests.graphql import World, gid
from tests.rows import an_image
from tests.settlements import Settlement, Traces, settled
from tests.walks import Ids, Operation, Walk, with_ids

THEIRS, OURS = "zqtheirs", "zqours"
NOUNS = ("Community", "User", "ReferenceImage", "Identity", "Image", "Prompt", "Generation", "Wizard", "Step", "Plan")
KINDS = ("query", "mutation", "subscription")


@pytest.fixture(scope="module")
def operations(schema: AtelierSchema) -> dict[str, list[Operation]]:
    """Every operation, by its kind; queries search for what is theirs."""
    walk = Walk(schema._schema, NOUNS, THEIRS)
    return {kind: list(walk.operations(kind)) for kind in KINDS}


@pytest.fixture
async def theirs(world: World) -> Settlement:
    """A community with everything in it."""
    return await settled(world, THEIRS, 987_654_000)


@pytest.fixture
async def ours(world: World) -> Settlement:
    """Another one."""
    return await settled(world, OURS, 123_456_000)


async def answers(world: World, viewer: Viewer, kind: str, document: str, variables: Any) -> AsyncIterator[Any]:
    """What an operation answers with: its one answer, or the first events of a subscription."""
    context = Context(world.services)
    context.answer_to(viewer)
    if kind != "subscription":
        yield await world.schema.execute(document, variable_values=variables, context_value=context)
        return
    stream: Any = await world.schema.subscribe(document, variable_values=variables, context_value=context)
    if not hasattr(stream, "__anext__"):
        yield stream
        return
    try:
        async with asyncio.timeout(1):
            async for event in stream:
                yield event
    except TimeoutError:
        pass
    finally:
        await stream.aclose()


def told(answer: Any) -> Any:
    """All that an answer says, but for the id that was not found, which is the caller's own."""
    errors = [error.formatted for error in answer.errors or []]
    assert not any(error.get("extensions", {}).get("code") == "INTERNAL" for error in errors), answer.errors
    assert not any("VALIDATION" in error.get("extensions", {}).get("code", "") for error in errors), errors
    return [_without_echo(answer.data), errors]


def _without_echo(data: Any) -> Any:
    if isinstance(data, dict):
        is_echo = data.get("__typename") == "NotFoundError"
        return {name: _without_echo(value) for name, value in data.items() if not (is_echo and name == "id")}
    return [_without_echo(value) for value in data] if isinstance(data, list) else data


async def walked(
    world: World, viewer: Viewer, kind: str, operation: Operation, own: Ids, others: Ids, traces: Traces
) -> list[str]:
    """Ask for it all. Returns what gave others away, in words."""
    leaks = []
    for document, variables in operation.asked(own, others):
        async for answer in answers(world, viewer, kind, document, variables):
            found = traces.found_in(told(answer))
            if found:
                leaks.append(f"{operation.name} {variables} shows {sorted(found)[:3]} by {document}")
    return leaks


def traced_rows(database: Database, traces: Traces) -> dict[str, list[str]]:
    """Every row, of whatever table, in which something of theirs stands."""
    engine = database.sync_engine()
    with engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = {name: connection.exec_driver_sql(f'SELECT * FROM "{name}"').all() for name in tables}  # noqa: S608 - the database's own names
    return {name: sorted(str(row) for row in found if traces.found_in(list(row))) for name, found in rows.items()}


HAVING_ROWS = {
    "community",
    "user_account",
    "reference_image",
    "identity",
    "prompt",
    "image",
    "image_search",
    "generation",
    "generation_event",
    "provider_attempt",
    "stored_picture",
    "doomed_object",
    "wizard",
    "step",
    "plan",
    "plan_limit",
    "user_limit",
    "usage_counter",
    "usage_event",
}


async def check(
    world: World,
    database: Database,
    walk: Mapping[str, list[Operation]],
    viewer: Viewer,
    own: Ids,
    others: Ids,
    traces: Traces,
) -> None:
    """Walk everything, and compare the database before and after each root field."""
    before = traced_rows(database, traces)
    for kind, operations in walk.items():
        for operation in operations:
            leaks = await walked(world, viewer, kind, operation, own, others, traces)
            assert not leaks, "\n".join([f"{len(leaks)} leaks", *leaks[:5]])
            assert traced_rows(database, traces) == before, f"{operation.name} changed what is others'"


@pytest.mark.parametrize("role", ["member", "admin"])
async def test_communities_are_closed_to_each_other(
    world: World,
    database: Database,
    operations: dict[str, list[Operation]],
    ours: Settlement,
    theirs: Settlement,
    role: str,
) -> None:
    """With every id of another community, nothing of it is told, and not one of its rows changes."""
    assert {name for name, rows in traced_rows(database, theirs.traces).items() if rows} >= HAVING_ROWS
    viewer = ours.admin if role == "admin" else ours.bob
    await check(world, database, operations, viewer, ours.ids_for(viewer.user), theirs.ids, theirs.traces)


async def test_members_keep_what_is_theirs(
    world: World, database: Database, schema: AtelierSchema, ours: Settlement
) -> None:
    """With every id of another member, nothing private is told or changed: no slots, identities, private images,
    generations, or recipes of the identities' images that are shared; nor is anything found by private words.
    """
    walk = Walk(schema._schema, NOUNS, ours.secret(ours.ada.user))
    operations = {kind: list(walk.operations(kind)) for kind in KINDS}
    own, adas = ours.ids_for(ours.bob.user), ours.ids_of(ours.ada.user)
    await check(world, database, operations, ours.bob, own, adas, ours.adas_traces)


async def test_the_walk_sees_what_it_may(
    world: World, ours: Settlement, operations: dict[str, list[Operation]]
) -> None:
    """The same questions with one's own ids are answered: what the others ask for is really there."""
    found: set[str] = set()
    for operation in (each for each in operations["query"] if each.name not in {"node", "nodes"}):
        asked = [(document, operation.inputs[0]) for document in operation.documents]
        asked += [(operation.document, tree) for tree in operation.inputs]
        for document, tree in asked:
            for variables in with_ids(tree, ours.ids, ours.ids, is_brief=tree != operation.inputs[0]):
                async for answer in answers(world, ours.admin, "query", document, variables):
                    found |= ours.traces.found_in(told(answer))
    assert {id for ids in ours.ids.values() for id in ids} <= found
    assert {row.picture.sha256 for row in ours.rows if isinstance(row, Image) and row.is_public} <= found


async def test_what_all_communities_share_counts_for_each_alone(
    world: World, ours: Settlement, theirs: Settlement
) -> None:
    """An image that another community made with the built-in prompt is neither counted nor shown."""
    async with world.unit_of_work(read_only=True) as work:
        *_, built_in = await work.prompts.list(theirs.community.id, PromptType.IMAGE_GENERATION)
    assert built_in.community_id is None
    await world.add(an_image(theirs.ada.user, prompt_id=built_in.id))
    query = "query ($id: ID!) { node(id: $id) { ... on Prompt { acceptance { made } images { totalCount } } } }"
    for viewer, count in ((ours.admin, 0), (theirs.admin, 1)):
        async for answer in answers(world, viewer, "query", query, {"id": gid(built_in)}):
            assert told(answer) == [{"node": {"acceptance": {"made": count}, "images": {"totalCount": count}}}, []]
