"""Nothing of a community is ever seen or changed from another, nor what is private of one member by another.

Every root field of the schema is asked for everything it has, with somebody else's ids in every place that takes one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from domain.generations import GenerationState
from domain.images import Image
from domain.users import Viewer
from graph.context import Context
from graph.schema import AtelierSchema
from storage.database.databases import Database
from storage.database.tables import METADATA
from tests.graphql import World
from tests.pictures import jpeg
from tests.settlements import Settlement, Traces, settled
from tests.walks import NAMED, Ids, Operation, Walk, with_ids

THEIRS, OURS = "zqtheirs", "zqours"
THEIR_NUMBER, OUR_NUMBER = 432_109_000, 123_456_000
KINDS = ("query", "mutation", "subscription")


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own: on SQLite, where a test names no other."""
    return str(request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url"))


@pytest.fixture(scope="module")
def operations(schema: AtelierSchema) -> dict[str, list[Operation]]:
    """Every operation, by its kind; queries search for what is theirs."""
    walk = Walk(schema._schema, THEIRS)
    return {kind: list(walk.operations(kind)) for kind in KINDS}


@pytest.fixture(autouse=True)
def picture_of_the_web(world: World) -> None:
    """What every import finds at the address that it is given."""
    world.fetcher.answers[NAMED["url"]] = jpeg()


@pytest.fixture
async def theirs(world: World) -> Settlement:
    """A community with everything in it."""
    return await settled(world, THEIRS, THEIR_NUMBER)


@pytest.fixture
async def ours(world: World) -> Settlement:
    """Another one."""
    return await settled(world, OURS, OUR_NUMBER)


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
) -> tuple[list[str], bool]:
    """Ask for it all. Returns what gave others away, in words, and whether anything was done."""
    leaks, is_done = [], False
    for document, variables in operation.asked(own, others):
        async for answer in answers(world, viewer, kind, document, variables):
            found = traces.found_in(told(answer))
            is_done |= f"{operation.name[1:]}Success" in str(answer.data)
            if found:
                leaks.append(f"{operation.name} {variables} shows {sorted(found)[:3]} by {document}")
    return leaks, is_done


def traced_rows(database: Database, traces: Traces) -> dict[str, list[str]]:
    """Every row, of whatever table, in which something of theirs stands."""
    engine = database.sync_engine()
    with engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = {name: connection.exec_driver_sql(f'SELECT * FROM "{name}"').all() for name in tables}  # noqa: S608 - the database's own names
    return {name: sorted(str(row) for row in found if traces.found_in(list(row))) for name, found in rows.items()}


MEMBERS_DO = {
    "generateImage",
    "uploadImage",
    "importImage",
    "createIdentity",
    "createReferenceImage",
    "createConnectionProfile",
    "signOut",
}
"""What succeeds although others' ids are asked for: because it can do without an id."""
NOBODYS = {"worker"}
"""Tables that tell nothing of any community."""
ADMINS_DO = {"createPlan", "updateCommunity", "setCommunityPlan", "createPrompt", "createWizard"}


async def check(
    world: World,
    database: Database,
    walk: Mapping[str, list[Operation]],
    viewer: Viewer,
    own: Ids,
    others: Ids,
    traces: Traces,
) -> set[str]:
    """Walk everything, and compare the database before and after each root field. Returns what was done with own ids."""
    before, done = traced_rows(database, traces), set()
    for kind, operations in walk.items():
        for operation in operations:
            leaks, is_done = await walked(world, viewer, kind, operation, own, others, traces)
            assert not leaks, "\n".join([f"{len(leaks)} leaks", *leaks[:5]])
            assert traced_rows(database, traces) == before, f"{operation.name} changed what is others'"
            done |= {operation.name} if is_done else set()
    return done


@pytest.mark.parametrize(
    ("role", "database_url"),
    [("member", "sqlite"), ("admin", "sqlite"), ("admin", "postgresql")],
    indirect=["database_url"],
)
async def test_communities_are_closed_to_each_other(
    world: World,
    database: Database,
    operations: dict[str, list[Operation]],
    ours: Settlement,
    theirs: Settlement,
    role: str,
) -> None:
    """With every id of another community, nothing of it is told, and not one of its rows changes."""
    traced = {name for name, rows in traced_rows(database, theirs.traces).items() if rows}
    assert traced >= set(METADATA.tables) - NOBODYS
    viewer = ours.admin if role == "admin" else ours.bob
    done = await check(world, database, operations, viewer, ours.ids_for(viewer.user), theirs.ids, theirs.traces)
    assert done == (MEMBERS_DO | ADMINS_DO if role == "admin" else MEMBERS_DO)


async def test_members_keep_what_is_theirs(
    world: World, database: Database, schema: AtelierSchema, ours: Settlement
) -> None:
    """With every id of another member, nothing private is told or changed: no slots, identities, private images,
    generations, or recipes of the identities' images that are shared; nor is anything found by private words.
    """
    walk = Walk(schema._schema, ours.secret(ours.ada.user))
    operations = {kind: list(walk.operations(kind)) for kind in KINDS}
    own, adas = ours.ids_for(ours.bob.user), ours.ids_of(ours.ada.user)
    assert await check(world, database, operations, ours.bob, own, adas, ours.adas_traces) >= MEMBERS_DO


async def test_profiles_are_their_owners_alone(
    world: World, database: Database, schema: AtelierSchema, ours: Settlement
) -> None:
    """An admin, who reaches all else that is Ada's, is told nothing of her connection profile, and changes none of it."""
    walk = Walk(schema._schema, ours.sealed(ours.ada.user))
    traces, adas = ours.sealed_traces(ours.ada.user), ours.ids_of(ours.ada.user)
    succeeded = [*GenerationState].index(GenerationState.SUCCEEDED)
    # Of a generation that runs there would be more events to wait for, and none with a profile.
    adas["Generation"] = [adas["Generation"][succeeded]]
    before = traced_rows(database, traces)["connection_profile"]
    assert before
    for kind in KINDS:
        for operation in walk.operations(kind):
            own = ours.ids_for(ours.admin.user)
            leaks, _ = await walked(world, ours.admin, kind, operation, own, adas, traces)
            assert not leaks, "\n".join([f"{len(leaks)} leaks", *leaks[:5]])
    assert traced_rows(database, traces)["connection_profile"] == before


async def test_the_walk_sees_what_it_may(
    world: World, ours: Settlement, operations: dict[str, list[Operation]]
) -> None:
    """The same questions with one's own ids are answered: what the others ask for is really there. But for the
    connection profiles of others, even an admin sees it all.
    """
    found: set[str] = set()
    for operation in (each for each in operations["query"] if each.name not in {"node", "nodes"}):
        asked = [(document, operation.inputs[0]) for document in operation.documents]
        asked += [(operation.document, tree) for tree in operation.inputs]
        for document, tree in asked:
            for variables in with_ids(tree, ours.ids, ours.ids):
                async for answer in answers(world, ours.admin, "query", document, variables):
                    found |= ours.traces.found_in(told(answer))
    others = {id for user in (ours.ada.user, ours.bob.user) for id in ours.ids_of(user)["ConnectionProfile"]}
    assert {id for ids in ours.ids.values() for id in ids} - found == others
    assert {row.picture.sha256 for row in ours.rows if isinstance(row, Image) and row.is_public} <= found


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("role", ["member", "admin"])
async def test_another_community_makes_no_difference(
    world: World, ours: Settlement, operations: dict[str, list[Operation]], role: str
) -> None:
    """Every query is answered to the letter as it was before the other community came: no count, no sum, no order."""
    viewer = ours.admin if role == "admin" else ours.bob

    async def all_answers() -> list[Any]:
        return [
            (document, tree, told(answer))
            for operation in operations["query"]
            for document, tree in operation.plain()
            async for answer in answers(world, viewer, "query", document, tree)
        ]

    before = await all_answers()
    await settled(world, THEIRS, THEIR_NUMBER)
    assert await all_answers() == before
