"""Signing in and out over GraphQL, who sees whom, and objects by their global ids."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

from domain.users import Role, Viewer
from graph.ids import global_id
from tests.graphql import Client, World, gid, nobody
from tests.rows import a_generation, a_prompt, a_slot, an_identity, an_image, stored_community, stored_viewer

SIGN_IN = "... on SignInSuccess { token expiresAt user { email identities { name } } }"
REFUSED = {"code": "UNAUTHENTICATED"}


@pytest.fixture
async def home(world: World) -> list[Viewer]:
    """An admin, a member and a test user of one community."""
    community = await stored_community(world.unit_of_work, "Home")
    return [
        await stored_viewer(world.unit_of_work, community, name="Admin", role=Role.ADMIN),
        await stored_viewer(world.unit_of_work, community, name="Member"),
        await stored_viewer(world.unit_of_work, community, name="Test", is_test=True),
    ]


async def test_a_password_gets_a_token(client: Client, world: World) -> None:
    """The token works at once, and the answer may show what is the user's."""
    await world.services.accounts.create(
        email="ada@example.org", name="Ada", community="Home", password="engines!", role=Role.MEMBER
    )
    answer = await client.mutate("signIn", {"email": " Ada@Example.org", "password": "engines!"}, SIGN_IN, None)
    assert answer["user"] == {"email": "ada@example.org", "identities": []}
    assert answer["expiresAt"] == (world.clock.now() + timedelta(hours=1)).isoformat()
    response = await client.http.post(
        "/graphql", json={"query": "{ viewer { name } }"}, headers={"Authorization": f"Bearer {answer['token']}"}
    )
    assert response.json() == {"data": {"viewer": {"name": "Ada"}}}


async def test_signing_in_as_another_keeps_the_viewer(client: Client, world: World, home: list[Viewer]) -> None:
    """Who is signed in already stays so for the rest of the request, and sees of the other only the name."""
    await world.services.accounts.create(
        email="ada@example.org", name="Ada", community="Elsewhere", password="engines!", role=Role.MEMBER
    )
    sign_in = (
        "mutation ($input: SignInInput!) { signIn(input: $input) { ... on SignInSuccess { user { name email } } } }"
    )
    answer = await client.data(sign_in, {"input": {"email": "ada@example.org", "password": "engines!"}}, home[1])
    assert answer["signIn"]["user"] == {"name": "Ada", "email": ""}


@pytest.mark.parametrize(("email", "password"), [("ada@example.org", "wrong"), ("nobody@example.org", "engines!")])
async def test_wrong_credentials_are_alike(client: Client, world: World, email: str, password: str) -> None:
    """A wrong password and an unknown address get the same answer."""
    await world.services.accounts.create(
        email="ada@example.org", name="Ada", community="Home", password="engines!", role=Role.MEMBER
    )
    assert await client.mutate("signIn", {"email": email, "password": password}, SIGN_IN, None) == {
        "__typename": "WrongCredentialsError",
        "message": "The e-mail address or the password is wrong",
    }


async def test_a_dead_token_does_not_keep_from_signing_in(client: Client, world: World) -> None:
    """A client that still sends its old token can sign in anew."""
    await world.services.accounts.create(
        email="ada@example.org", name="Ada", community="Home", password="engines!", role=Role.MEMBER
    )
    client.http.headers["Authorization"] = "Bearer long-gone"
    answer = await client.mutate("signIn", {"email": "ada@example.org", "password": "engines!"}, SIGN_IN, None)
    assert answer["user"]["email"] == "ada@example.org"


async def test_signing_out_kills_every_token(client: Client, world: World, home: list[Viewer]) -> None:
    """After signing out, the tokens of before are refused."""
    _, member, _ = home
    headers = client.headers(member)
    world.clock.advance(1)
    done = await client.mutate("signOut", {}, "... on SignOutSuccess { user { id } }", member)
    assert done["user"] == {"id": gid(member.user)}
    answer = await client.http.post("/graphql", json={"query": "{ viewer { id } }"}, headers=headers)
    assert answer.json()["errors"][0]["message"] == "The token was revoked"
    assert answer.json()["errors"][0]["extensions"] == REFUSED


async def test_an_admin_signs_others_out(client: Client, world: World, home: list[Viewer]) -> None:
    """An admin ends a user's tokens; a member can't end anybody else's."""
    admin, member, tester = home
    selection = "... on SignOutSuccess { user { id } }"
    refused = await client.mutate("signOut", {"userId": gid(tester.user)}, selection, member)
    assert refused == {"__typename": "NotFoundError", "message": "User not found", "id": gid(tester.user)}
    headers = client.headers(tester)
    world.clock.advance(1)
    await client.mutate("signOut", {"userId": gid(tester.user)}, selection, admin)
    answer = await client.http.post("/graphql", json={"query": "{ viewer { id } }"}, headers=headers)
    assert answer.json()["errors"][0]["extensions"] == REFUSED


async def test_without_a_token_nothing_but_signing_in_answers(client: Client, world: World) -> None:
    """Every root field but signIn refuses who isn't signed in."""
    operations = [f"mutation {{ {field} }}" for field in _calls(world.schema._schema.mutation_type)]
    operations += [f"{{ {field} }}" for field in _calls(world.schema._schema.query_type)]
    assert len(operations) == 57
    for operation in operations:
        answer = await client.ask(operation)
        assert [error.get("extensions") for error in answer["errors"]] == [REFUSED], (operation, answer)


def _calls(root: GraphQLObjectType | None) -> list[str]:
    """Each field of a root type but signIn, with just the arguments it needs."""
    fields = root.fields if root else {}
    return [
        name + _arguments(field.args) + ("" if is_leaf_type(get_named_type(field.type)) else " { __typename }")
        for name, field in fields.items()
        if name != "signIn"
    ]


def _arguments(args: Mapping[str, Any]) -> str:
    needed = [f"{name}: {_sample(arg.type.of_type)}" for name, arg in args.items() if is_required_argument(arg)]
    return f"({', '.join(needed)})" if needed else ""


def _sample(type: Any) -> str:
    if isinstance(type, GraphQLInputObjectType):
        needed = {name: field.type.of_type for name, field in type.fields.items() if is_required_input_field(field)}
        return "{" + ", ".join(f"{name}: {_sample(inner)}" for name, inner in needed.items()) + "}"
    if isinstance(type, GraphQLEnumType):
        return str(next(iter(type.values)))
    return "[]" if isinstance(type, GraphQLList) else {"Boolean": "true", "Int": "1"}.get(type.name, '"x"')


async def test_introspection_needs_no_token(client: Client) -> None:
    """The schema, and the names of types, are no secret."""
    assert await client.data('{ __typename __type(name: "User") { name } }') == {
        "__typename": "Query",
        "__type": {"name": "User"},
    }


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Basic YWRhOmVuZ2luZXM=", "The authorization must be `Bearer <token>`"),
        ("Bearer", "The authorization must be `Bearer <token>`"),
        ("Bearer nonsense", "The token is not a valid token."),
    ],
)
async def test_a_wrong_header_says_what_is_wrong(client: Client, header: str, message: str) -> None:
    """Another scheme, no token, and a token that is none."""
    response = await client.http.post(
        "/graphql", json={"query": "{ viewer { id } }"}, headers={"Authorization": header}
    )
    assert response.status_code == 200
    error = response.json()["errors"][0]
    assert (error["message"], error["extensions"]) == (message, REFUSED)


async def test_a_token_expires(client: Client, world: World, home: list[Viewer]) -> None:
    """After an hour the token is refused."""
    headers = client.headers(home[1])
    world.clock.advance(3_601)
    answer = await client.http.post("/graphql", json={"query": "{ viewer { id } }"}, headers=headers)
    assert answer.json()["errors"][0]["extensions"] == REFUSED


async def test_the_account_picker(client: Client, home: list[Viewer]) -> None:
    """An admin can act for themself and the test users; a member for themself."""
    admin, member, _ = home
    query = "{ accounts { name isTest role community { name } } }"
    assert [user["name"] for user in (await client.data(query, viewer=admin))["accounts"]] == ["Admin", "Test"]
    assert await client.data(query, viewer=member) == {
        "accounts": [{"name": "Member", "isTest": False, "role": "MEMBER", "community": {"name": "Home"}}]
    }


async def test_who_finds_whom(client: Client, world: World, home: list[Viewer]) -> None:
    """A member finds themself, an admin everybody of the community, and nobody anybody else."""
    admin, member, _ = home
    stranger = await stored_viewer(world.unit_of_work, role=Role.ADMIN)
    query = "query ($id: ID!) { user(id: $id) { name } node(id: $id) { id } }"
    for viewer, sees in ((member, True), (admin, True), (stranger, False)):
        data = await client.data(query, {"id": gid(member.user)}, viewer)
        assert data == {
            "user": {"name": "Member"} if sees else None,
            "node": {"id": gid(member.user)} if sees else None,
        }
    assert await client.data(query, {"id": gid(admin.user)}, member) == {"user": None, "node": None}


async def test_the_owner_of_a_public_image_stays_private(client: Client, world: World, home: list[Viewer]) -> None:
    """A member sees the name of a public image's owner, but neither address nor slots nor identities."""
    admin, member, _ = home
    await world.add(
        an_image(admin.user, is_public=True), a_slot(admin.user), an_identity(admin.user), an_image(admin.user)
    )
    query = "{ images(scope: PUBLIC) { nodes { owner { name email referenceImages { id } identities { id } } } } }"
    (image,) = (await client.data(query, viewer=member))["images"]["nodes"]
    assert image["owner"] == {"name": "Admin", "email": "", "referenceImages": [], "identities": []}


async def test_nodes_by_their_ids(client: Client, world: World, home: list[Viewer]) -> None:
    """Every noun is found by its id, in the order asked; what is no id, or of nobody, is null."""
    _, member, _ = home
    prompt = a_prompt(member.user.community_id, 7)
    rows = [a_slot(member.user), an_identity(member.user), an_image(member.user), prompt, a_generation(member.user)]
    await world.add(*rows)
    ids = [gid(row) for row in rows] + ["nonsense", nobody("Image"), nobody("Wizard"), gid(member.user)]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    nodes = (await client.data(query, {"ids": ids}, member))["nodes"]
    nouns = ["ReferenceImage", "Identity", "Image", "Prompt", "Generation", None, None, None, "User"]
    assert [node and node["__typename"] for node in nodes] == nouns
    assert [node and node["id"] for node in nodes] == [
        id if noun else None for id, noun in zip(ids, nouns, strict=True)
    ]


async def test_two_communities_see_nothing_of_each_other(client: Client, world: World, home: list[Viewer]) -> None:
    """No id of one community's things finds anything for another's admin, nor does any list."""
    _, member, _ = home
    rows = [
        a_slot(member.user),
        an_identity(member.user),
        an_image(member.user, is_public=True),
        a_prompt(member.user.community_id, 7),
        a_generation(member.user),
    ]
    await world.add(*rows)
    stranger = await stored_viewer(world.unit_of_work, role=Role.ADMIN)
    ids = [gid(row) for row in rows] + [gid(member.user), global_id("Community", member.user.community_id)]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert (await client.data(query, {"ids": ids}, stranger))["nodes"] == [None] * len(ids)
    lists = """{ images(scope: PUBLIC) { nodes { id } totalCount } generations { nodes { id } } accounts { id }
        prompts { version } viewer { identities { id } } }"""
    assert await client.data(lists, viewer=stranger) == {
        "images": {"nodes": [], "totalCount": 0},
        "generations": {"nodes": []},
        "accounts": [{"id": gid(stranger.user)}],
        "prompts": [{"version": 1}],
        "viewer": {"identities": []},
    }


async def test_members_see_nothing_private_of_each_other(client: Client, world: World, home: list[Viewer]) -> None:
    """By its id a member finds of another's things the public image alone; an admin finds all."""
    admin, member, other = home
    public = an_image(member.user, is_public=True)
    private = [a_slot(member.user), an_identity(member.user), an_image(member.user), a_generation(member.user)]
    await world.add(public, *private)
    ids = [gid(public), *(gid(row) for row in private)]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert (await client.data(query, {"ids": ids}, other))["nodes"] == [{"id": gid(public)}] + [None] * 4
    assert (await client.data(query, {"ids": ids}, admin))["nodes"] == [{"id": id} for id in ids]


async def test_a_hundred_nodes_at_once(client: Client, home: list[Viewer]) -> None:
    """More than a hundred ids are refused."""
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    answer = await client.ask(query, {"ids": ["x"] * 101}, home[0])
    assert answer["errors"][0]["extensions"] == {"code": "INVALID_INPUT"}
