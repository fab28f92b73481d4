"""Connection profiles over GraphQL: made, tried, changed and removed by their owners, and seen by nobody else.

A key goes in and never comes out again: not in a field, not in an error, not in a log.
"""

import json
import logging
from typing import Any

import pytest

from domain.connection_profiles import MAX_PROFILES, ConnectionProfile, ProfileChange
from domain.provider_access import KEY_UNREADABLE
from domain.providers import ProviderKind
from domain.users import Role, Viewer
from storage.database.databases import Database
from tests.graphql import Client, World, gid, nobody
from tests.rows import stored_community, stored_viewer

KEY = "sk-proj-0123456789-ends"
FIELDS = "id name provider baseUrl keyHint model isDefault needsKey problem lastUsedAt createdAt"
LIST = f"query ($only: Boolean! = false) {{ connectionProfiles(imagesOnly: $only) {{ {FIELDS} }} }}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


@pytest.fixture
async def operator(world: World) -> Viewer:
    """Who runs the server."""
    return await stored_viewer(world.unit_of_work, is_operator=True)


async def change(client: Client, viewer: Viewer, name: str, /, **input: object) -> dict[str, Any]:
    """Call a mutation on profiles."""
    title = f"{name[0].upper()}{name[1:]}ConnectionProfile"
    fields = {"delete": "deletedId", "test": f"profile {{ {FIELDS} }} models {{ id }}"}.get(
        name, f"profile {{ {FIELDS} }}"
    )
    return await client.mutate(f"{name}ConnectionProfile", input, f"... on {title}Success {{ {fields} }}", viewer)


async def listed(client: Client, viewer: Viewer, *, only: bool = False) -> list[dict[str, Any]]:
    """The viewer's profiles."""
    profiles: list[dict[str, Any]] = (await client.data(LIST, {"only": only}, viewer))["connectionProfiles"]
    return profiles


async def made(world: World, viewer: Viewer, **wanted: Any) -> ConnectionProfile:
    """A profile for OpenAI that is there already."""
    provider = wanted.pop("provider", ProviderKind.OPENAI)
    wish = ProfileChange(**{"name": "Mine", "api_key": KEY, **wanted})
    return await world.services.connection_profiles.create(viewer, provider, wish, tried=False)


async def test_a_profile_comes_and_goes(client: Client, world: World, ada: Viewer) -> None:
    """It is tried, made, listed, found by its id, and removed; of the key the last four characters are shown."""
    answer = await change(client, ada, "create", name=" Mine ", provider="OPENAI", apiKey=KEY, model="gpt-image-2")
    profile = {
        "id": answer["profile"]["id"],
        "name": "Mine",
        "provider": "OPENAI",
        "baseUrl": None,
        "keyHint": "ends",
        "model": "gpt-image-2",
        "isDefault": False,
        "needsKey": False,
        "problem": None,
        "lastUsedAt": None,
        "createdAt": world.clock.now().isoformat(),
    }
    assert answer == {"__typename": "CreateConnectionProfileSuccess", "profile": profile}
    assert world.vendors.of(ProviderKind.OPENAI, KEY).checked == 1
    assert await listed(client, ada) == [profile]
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on ConnectionProfile {{ {FIELDS} }} }} }}"
    assert await client.data(query, {"id": profile["id"]}, ada) == {"node": profile}
    gone = await change(client, ada, "delete", id=profile["id"])
    assert gone == {"__typename": "DeleteConnectionProfileSuccess", "deletedId": profile["id"]}
    assert await listed(client, ada) == []
    assert (await change(client, ada, "delete", id=profile["id"]))["__typename"] == "NotFoundError"


async def test_a_key_is_nowhere_to_be_seen(
    client: Client, world: World, ada: Viewer, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in any answer, nor in the database, nor in the log, however the key came in."""
    world.vendors.of(ProviderKind.OPENAI, f"{KEY}-wrong").refusal = "The key is not valid."
    profile = await made(world, ada, api_key=None)
    with caplog.at_level(logging.DEBUG):
        answers = [
            await change(client, ada, "create", name="A", provider="OPENAI", apiKey=KEY),
            await change(client, ada, "create", name="A", provider="OPENAI", apiKey=f"{KEY}-wrong"),
            await change(client, ada, "create", name="", provider="OPENAI", apiKey=KEY),
            await change(client, ada, "create", name="A", provider="OPENAI", apiKey=f"{KEY} and more"),
            await change(client, ada, "update", id=gid(profile), apiKey=f"{KEY}-wrong"),
            await change(client, ada, "update", id=gid(profile), apiKey=KEY),
            await change(client, ada, "test", id=gid(profile), apiKey=KEY),
            await change(client, ada, "test", id=gid(profile), apiKey=f"{KEY}-wrong"),
            await listed(client, ada),
        ]
    assert KEY[:-4] not in json.dumps(answers)
    assert KEY[:-4] not in caplog.text
    with database.sync_engine().connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM connection_profile").all()
    assert len(rows) == 2
    assert KEY[:-4] not in str(rows)


async def test_who_needs_no_call_gets_none(client: Client, world: World, ada: Viewer) -> None:
    """Without the test a key is stored as it is; neither is anybody called for another name."""
    answer = await change(client, ada, "create", name="Mine", provider="OPENAI", apiKey=KEY, test=False)
    id = answer["profile"]["id"]
    assert (await change(client, ada, "update", id=id, name="Ours"))["profile"]["name"] == "Ours"
    assert (await change(client, ada, "update", id=id, apiKey=KEY, test=False))["profile"]["keyHint"] == "ends"
    assert world.vendors.of(ProviderKind.OPENAI, KEY).checked == 0


async def test_a_key_that_the_provider_refuses_is_not_stored(client: Client, world: World, ada: Viewer) -> None:
    """The provider's answer is told, and everything stays as it was."""
    profile = await made(world, ada)
    world.vendors.of(ProviderKind.OPENAI, "sk-refused-refused").refusal = "OpenAI doesn't take this key."
    refusal = {
        "__typename": "ProviderUnusableError",
        "message": "OpenAI doesn't take this key.",
        "provider": "OPENAI",
    }
    key = {"apiKey": "sk-refused-refused"}
    assert await change(client, ada, "create", name="New", provider="OPENAI", **key) == refusal
    assert await change(client, ada, "update", id=gid(profile), **key) == refusal
    assert await change(client, ada, "test", id=gid(profile), **key) == refusal
    assert [each["keyHint"] for each in await listed(client, ada)] == ["ends"]


async def test_who_makes_no_images_is_not_called(client: Client, world: World, ada: Viewer) -> None:
    """Anthropic is known by name: its profiles are refused, or kept untried, and left out where images are wanted."""
    refused = await change(client, ada, "create", name="Claude", provider="ANTHROPIC", apiKey=KEY)
    assert (refused["__typename"], refused["provider"]) == ("ProviderUnusableError", "ANTHROPIC")
    kept = await change(client, ada, "create", name="Claude", provider="ANTHROPIC", apiKey=KEY, test=False)
    assert kept["profile"]["problem"] == "Anthropic's API has no image generation."
    world.clock.advance(1)
    await made(world, ada)
    assert [each["name"] for each in await listed(client, ada)] == ["Claude", "Mine"]
    assert [each["name"] for each in await listed(client, ada, only=True)] == ["Mine"]
    assert world.vendors.of(ProviderKind.ANTHROPIC, KEY).checked == 0


@pytest.mark.parametrize(
    ("input", "path"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"apiKey": "two words"}, "apiKey"),
        ({"apiKey": "umläut"}, "apiKey"),
        ({"apiKey": "x" * 4_001}, "apiKey"),
        ({"model": "x" * 129}, "model"),
        ({"baseUrl": "https://api.example.org/v1"}, "baseUrl"),
        ({"provider": "OPENAI_COMPATIBLE"}, "baseUrl"),
        ({"provider": "OPENAI_COMPATIBLE", "baseUrl": "ftp://example.org"}, "baseUrl"),
        ({"provider": "OPENAI_COMPATIBLE", "baseUrl": "https://ada:secret@example.org"}, "baseUrl"),
        ({"provider": "OPENAI_COMPATIBLE", "baseUrl": "https://example.org/?key=secret"}, "baseUrl"),
        ({"provider": "OPENAI_COMPATIBLE", "baseUrl": "https://example.org:0/v1"}, "baseUrl"),
        ({"provider": "OPENAI_COMPATIBLE", "baseUrl": "no address"}, "baseUrl"),
    ],
)
async def test_wrong_profiles_are_refused(
    client: Client, world: World, ada: Viewer, input: dict[str, object], path: str
) -> None:
    """The wrong field is named without its value, and nobody is called."""
    answer = await change(client, ada, "create", **{"name": "Mine", "provider": "OPENAI", **input})
    assert answer["__typename"] == "InvalidInputError"
    assert [field["path"] for field in answer["fields"]] == [[path]]
    assert "secret" not in json.dumps(answer)
    assert world.vendors.connected == []
    assert await listed(client, ada) == []


async def test_only_operators_move_a_provider(client: Client, ada: Viewer, operator: Viewer) -> None:
    """Of a provider with an address of its own only who runs the server gives another one."""
    wanted = {"name": "Mine", "provider": "OPENAI", "apiKey": KEY, "baseUrl": "https://gateway.example.org/v1/"}
    refused = await change(client, ada, "create", **wanted)
    assert [field["path"] for field in refused["fields"]] == [["baseUrl"]]
    kept = await change(client, operator, "create", **wanted)
    assert kept["profile"]["baseUrl"] == "https://gateway.example.org/v1"


async def test_there_are_100_at_most(client: Client, world: World, ada: Viewer) -> None:
    """One more is refused with the limit."""
    for _ in range(MAX_PROFILES):
        await made(world, ada, api_key=None)
    answer = await change(client, ada, "create", name="One more", provider="OFFLINE")
    assert answer == {
        "__typename": "LimitReachedError",
        "message": "Maximum 100 connection profiles allowed",
        "limit": 100,
    }
    assert len(await listed(client, ada)) == 100


async def test_a_server_without_master_keys_keeps_none(client: Client, world: World, ada: Viewer) -> None:
    """Every key is refused then; a profile without one is not."""
    world.vault.masters.clear()
    profile = await made(world, ada, api_key=None)
    for name, input in (
        ("create", {"name": "Mine", "provider": "OPENAI"}),
        ("update", {"id": gid(profile)}),
        ("test", {"id": gid(profile)}),
    ):
        answer = await change(client, ada, name, apiKey=KEY, **input)
        assert (answer["__typename"], "keeps no keys" in answer["message"]) == ("ConflictError", True)
    assert [each["keyHint"] for each in await listed(client, ada)] == [None]


async def test_null_leaves_and_an_empty_text_takes_away(client: Client, ada: Viewer) -> None:
    """Address, model and key can be taken away where they aren't needed; the name can't."""
    id = (
        await change(
            client,
            ada,
            "create",
            name="Ours",
            provider="OPENAI_COMPATIBLE",
            baseUrl="http://gpu.example.org:8080/v1",
            apiKey=KEY,
            model="sdxl",
        )
    )["profile"]["id"]
    nothing = {"name": None, "apiKey": None, "baseUrl": None, "model": None, "isDefault": None}
    same = (await change(client, ada, "update", id=id, **nothing))["profile"]
    assert (same["name"], same["baseUrl"], same["keyHint"], same["model"], same["isDefault"]) == (
        "Ours",
        "http://gpu.example.org:8080/v1",
        "ends",
        "sdxl",
        False,
    )
    bare = (await change(client, ada, "update", id=id, apiKey="", model=""))["profile"]
    assert bare == {**same, "keyHint": None, "model": None}
    for path in ("name", "baseUrl"):
        refused = await change(client, ada, "update", id=id, **{path: ""})
        assert [field["path"] for field in refused["fields"]] == [[path]]


async def test_a_key_never_follows_to_another_address(client: Client, world: World, operator: Viewer) -> None:
    """With another address the key must be given again, or taken away; with the same one it stays."""
    profile = await made(world, operator, provider=ProviderKind.OPENAI_COMPATIBLE, base_url="https://one.example.org")
    world.vendors.connected.clear()
    refused = await change(client, operator, "update", id=gid(profile), baseUrl="https://two.example.org")
    assert [field["path"] for field in refused["fields"]] == [["apiKey"]]
    assert world.vendors.connected == []
    same = await change(client, operator, "update", id=gid(profile), baseUrl="https://one.example.org/")
    assert same["profile"]["keyHint"] == "ends"
    moved = await change(
        client, operator, "update", id=gid(profile), baseUrl="https://two.example.org", apiKey=f"{KEY}-anew"
    )
    assert (moved["profile"]["baseUrl"], moved["profile"]["keyHint"]) == ("https://two.example.org", "anew")
    met = {(access.base_url, access.api_key) for _, access in world.vendors.connected}
    assert met == {("https://one.example.org", KEY), ("https://two.example.org", f"{KEY}-anew")}


async def test_one_profile_is_the_default(client: Client, ada: Viewer) -> None:
    """The newest that was made so; it can stop being it."""

    async def defaults() -> list[str]:
        return [each["name"] for each in await listed(client, ada) if each["isDefault"]]

    first, second = [
        (await change(client, ada, "create", name=name, provider="OFFLINE", isDefault=True))["profile"]
        for name in ("One", "Two")
    ]
    assert await defaults() == ["Two"]
    await change(client, ada, "update", id=first["id"], isDefault=True)
    assert await defaults() == ["One"]
    await change(client, ada, "update", id=first["id"], isDefault=False)
    await change(client, ada, "update", id=second["id"], name="Three")
    assert await defaults() == []


async def test_a_profile_is_tried(client: Client, world: World, ada: Viewer) -> None:
    """The provider is called with the profile's key, or with a new one that isn't stored, and its models are told."""
    profile = await made(world, ada)
    models = [{"id": model.id} for model in world.vendors.of(ProviderKind.OPENAI).models]
    tried = await change(client, ada, "test", id=gid(profile))
    assert (tried["__typename"], tried["models"]) == ("TestConnectionProfileSuccess", models)
    anew = await change(client, ada, "test", id=gid(profile), apiKey=f"{KEY}-anew")
    assert anew["profile"] == tried["profile"]
    calls = [world.vendors.of(ProviderKind.OPENAI, key).checked for key in (KEY, f"{KEY}-anew")]
    assert calls == [1, 1]
    assert [each["keyHint"] for each in await listed(client, ada)] == ["ends"]
    wrong = await change(client, ada, "test", id=gid(profile), apiKey="two words")
    assert [field["path"] for field in wrong["fields"]] == [["apiKey"]]


async def test_a_key_that_cannot_be_opened_breaks_no_page(client: Client, world: World, ada: Viewer) -> None:
    """Its profile is shown as one that needs a key, beside the others; another key mends it."""
    lost = await made(world, ada, name="Lost")
    bare = await made(world, ada, name="Bare", api_key=None)
    free = await made(world, ada, name="Free", api_key=None, provider=ProviderKind.OFFLINE)
    world.vault.masters[:] = ["second"]
    shown = {each["id"]: (each["needsKey"], each["problem"], each["keyHint"]) for each in await listed(client, ada)}
    assert shown == {
        gid(lost): (True, KEY_UNREADABLE, "ends"),
        gid(bare): (True, world.vendors.of(ProviderKind.OPENAI).problem, None),
        gid(free): (False, None, None),
    }
    mended = (await change(client, ada, "update", id=gid(lost), apiKey=KEY))["profile"]
    assert (mended["needsKey"], mended["problem"]) == (False, None)


async def test_nobody_else_reaches_a_profile(client: Client, world: World) -> None:
    """Not members, nor admins, nor who runs the server: it looks to them as if it had never been."""
    community = await stored_community(world.unit_of_work)
    ada = await stored_viewer(world.unit_of_work, community)
    profile = await made(world, ada)
    before = await listed(client, ada)
    world.vendors.connected.clear()
    for other in (
        await stored_viewer(world.unit_of_work, community),
        await stored_viewer(world.unit_of_work, community, role=Role.ADMIN, is_operator=True),
        await stored_viewer(world.unit_of_work, role=Role.ADMIN),
    ):
        assert await listed(client, other) == []
        query = "query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }"
        assert await client.data(query, {"id": gid(profile)}, other) == {"node": None, "nodes": [None]}
        for id in (gid(profile), nobody("ConnectionProfile"), gid(ada.user), "nonsense"):
            refusal = {"__typename": "NotFoundError", "message": "Connection profile not found", "id": id}
            assert await change(client, other, "update", id=id, name="Mine now") == refusal
            assert await change(client, other, "test", id=id) == refusal
            assert await change(client, other, "delete", id=id) == refusal
            for wish in ({"profileId": id}, {"fallbackProfileIds": [id]}):
                assert await client.mutate("generateImage", {"prompt": "A house", **wish}, "", other) == refusal
    assert world.vendors.connected == []
    assert await listed(client, ada) == before


async def test_strangers_are_sent_away(client: Client) -> None:
    """Nothing is told to whom nobody knows."""
    for query in (
        "{ connectionProfiles { id } }",
        'mutation { createConnectionProfile(input: {name: "x", provider: OFFLINE}) { __typename } }',
    ):
        (error,) = (await client.ask(query))["errors"]
        assert error["extensions"] == {"code": "UNAUTHENTICATED"}
