"""What several sockets follow alike, on a real server: executed once, with nobody's rights in common; and all at once."""

from contextlib import AsyncExitStack

from domain.failures import FailureCode
from domain.generations import EventDraft, Generation, GenerationState
from domain.users import Community, Role, Viewer
from tests.graphql import Statements, World, gid
from tests.integration.test_graphql_sockets import Talk, ada, address, generation, signed_in, until
from tests.rows import a_generation, an_attempt, stored_viewer

__all__ = ["ada", "address", "generation"]

ALL = """subscription { generationsProgress {
    seq state stage elapsedSeconds estimatedSecondsLeft isTerminal generation { id }
} }"""


async def seqs(talking: Talk, count: int) -> list[int]:
    """The numbers of the next events."""
    return [(await talking.event())["seq"] for _ in range(count)]


async def test_many_sockets_cost_no_statement_more_than_one(
    address: str, world: World, ada: Viewer, generation: Generation, statements: Statements
) -> None:
    """An event is executed once for all sockets that ask the same, whatever they call the operation."""
    async with AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(signed_in(address, world, ada)) for _ in range(4)]
        for number, talking in enumerate(talks):
            await talking.follow(gid(generation), operation=f"own-{number}")
            assert await seqs(talking, 1) == [1]
        assert world.bus.followers == 1
        statements.sent.clear()
        await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working"))
        for number, talking in enumerate(talks):
            message = await talking.hear()
            assert (message["id"], message["type"]) == (f"own-{number}", "next")
            assert message["payload"]["data"]["generationProgress"]["generation"] == {
                "id": gid(generation),
                "eventSeq": 2,
            }
        shown = [sent for sent in statements.sent if sent.startswith("SELECT") and "generation.prompt" in sent]
        assert len(shown) == 1, statements.sent
        await world.services.events.end(generation)
        for number, talking in enumerate(talks):
            assert (await talking.event())["isTerminal"]
            assert await talking.hear() == {"id": f"own-{number}", "type": "complete"}
    assert world.bus.followers == 0


async def test_the_rights_of_one_show_nothing_to_another(
    address: str, world: World, ada: Viewer, generation: Generation
) -> None:
    """What only admins may see stays theirs, though the owner asks for the same with the same words."""
    admin = await stored_viewer(world.unit_of_work, await _community(world, ada), role=Role.ADMIN)
    async with world.unit_of_work() as work:
        await work.generations.add_attempt(
            an_attempt(generation, outcome=FailureCode.PROVIDER_UNAVAILABLE.value, detail="the provider's own words")
        )
        await work.commit()
    query = """subscription ($id: ID!) { generationProgress(id: $id) {
        seq generation { attempts { providerMessage } }
    } }"""
    async with signed_in(address, world, admin) as above, signed_in(address, world, ada) as owner:
        for talking in (above, owner):
            await talking.follow(gid(generation), query=query)
            await talking.event()
        await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working"))
        assert (await above.event())["generation"]["attempts"] == [{"providerMessage": "the provider's own words"}]
        assert (await owner.event())["generation"]["attempts"] == [{"providerMessage": None}]


async def _community(world: World, viewer: Viewer) -> Community:
    async with world.unit_of_work(read_only=True) as work:
        return (await work.users.communities([viewer.user.community_id]))[0]


async def test_who_leaves_ends_nothing_for_the_others(
    address: str, world: World, ada: Viewer, generation: Generation
) -> None:
    """Neither the first to come nor its socket is needed by those who came later; one who comes back misses nothing."""
    async with signed_in(address, world, ada) as staying:
        async with signed_in(address, world, ada) as leaving:
            await leaving.follow(gid(generation))
            assert await seqs(leaving, 1) == [1]
            await staying.follow(gid(generation))
            assert await seqs(staying, 1) == [1]
        await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working"))
        assert await seqs(staying, 1) == [2]
        async with signed_in(address, world, ada) as back:
            await back.follow(gid(generation), after=1)
            assert await seqs(back, 1) == [2]
            await back.follow(gid(generation), operation="2")
            assert await seqs(back, 2) == [1, 2]
            await world.tell(generation, EventDraft(stage="Still working"))
            assert await seqs(back, 2) == [3, 3]
            assert await seqs(staying, 1) == [3]
    await until(lambda: world.bus.followers == 0)


async def test_a_number_that_was_never_drawn_hides_nothing(
    address: str, world: World, ada: Viewer, generation: Generation
) -> None:
    """Events that come after the subscribing are told, however high the number, and whoever asked so before."""
    async with signed_in(address, world, ada) as early, signed_in(address, world, ada) as late:
        await early.follow(gid(generation), after=100)
        await until(lambda: world.bus.followers == 1)
        await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working"))
        assert await seqs(early, 1) == [2]
        await late.follow(gid(generation), after=100)
        await late.subscribe("{ __typename }", id="2")
        assert (await late.hear())["id"] == "2"
        assert (await late.hear())["type"] == "complete"
        await world.tell(generation, EventDraft(stage="Still working"))
        assert await seqs(early, 1) == [3]
        assert await seqs(late, 1) == [3]


async def test_what_has_ended_completes_at_once(
    address: str, world: World, ada: Viewer, generation: Generation
) -> None:
    """With what was missed, or with nothing when nothing was."""
    await world.services.events.end(generation)
    async with signed_in(address, world, ada) as talking:
        await talking.follow(gid(generation), after=1)
        assert await seqs(talking, 1) == [2]
        assert (await talking.hear())["type"] == "complete"
        await talking.follow(gid(generation), after=2)
        assert await talking.hear() == {"id": "1", "type": "complete"}


async def test_all_generations_are_followed_by_one_subscription(
    address: str, world: World, ada: Viewer, generation: Generation
) -> None:
    """From now on: the running one's events and those of one that begins later, told apart by their generation."""
    later = a_generation(ada.user, expected_s=30.0)
    async with signed_in(address, world, ada) as talking:
        await talking.subscribe(ALL)
        await until(lambda: world.bus.followers == 1)
        await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working"))
        assert await _of_all(talking) == {
            "seq": 2,
            "state": "GENERATING",
            "stage": "Working",
            "elapsedSeconds": 60.0,
            "estimatedSecondsLeft": 30,
            "isTerminal": False,
            "generation": {"id": gid(generation)},
        }
        await world.add(later)
        await world.tell(later, EventDraft(GenerationState.QUEUED, "Waiting"))
        event = await _of_all(talking)
        assert (event["generation"], event["seq"], event["estimatedSecondsLeft"]) == ({"id": gid(later)}, 1, 0)
        await world.services.events.end(generation)
        event = await _of_all(talking)
        assert (event["generation"], event["isTerminal"]) == ({"id": gid(generation)}, True)
        await world.tell(later, EventDraft(GenerationState.GENERATING, "Working"))
        assert (await _of_all(talking))["seq"] == 2
    await until(lambda: world.bus.followers == 0)


async def _of_all(talking: Talk) -> dict[str, object]:
    message = await talking.hear()
    assert message["type"] == "next", message
    assert "errors" not in message["payload"], message
    event: dict[str, object] = message["payload"]["data"]["generationsProgress"]
    return event


async def test_each_generation_is_loaded_once(
    address: str, world: World, ada: Viewer, generation: Generation, statements: Statements
) -> None:
    """Its first event asks the database when it began; later ones know."""
    async with signed_in(address, world, ada) as talking:
        await talking.subscribe("subscription { generationsProgress { seq elapsedSeconds } }")
        await until(lambda: world.bus.followers == 1)
        statements.sent.clear()
        for seq in (2, 3, 4):
            await world.tell(generation, EventDraft(stage="Working"))
            assert (await _of_all(talking))["seq"] == seq
        loaded = [sent for sent in statements.sent if sent.startswith("SELECT") and "generation.prompt" in sent]
        assert len(loaded) == 1, loaded


async def test_nobody_follows_the_generations_of_others(
    address: str, world: World, ada: Viewer, generation: Generation
) -> None:
    """Not even an admin of the community: only one's own are told."""
    admin = await stored_viewer(world.unit_of_work, await _community(world, ada), role=Role.ADMIN)
    own = a_generation(admin.user)
    await world.add(own)
    async with signed_in(address, world, admin) as talking:
        await talking.subscribe(ALL)
        await until(lambda: world.bus.followers == 1)
        await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working"))
        await world.tell(own, EventDraft(GenerationState.QUEUED, "Waiting"))
        assert (await _of_all(talking))["generation"] == {"id": gid(own)}
