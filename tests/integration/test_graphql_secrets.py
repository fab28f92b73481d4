"""What nobody is told again: the keys and passwords of an operation that is wrong in some way."""

import json
import logging
from typing import Any

import pytest

from domain.users import Viewer
from tests.graphql import Client, World
from tests.rows import stored_viewer

KEY = "sk-proj-0123456789-ends"


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


CREATE = "mutation ($input: CreateConnectionProfileInput!) { createConnectionProfile(input: $input) { __typename } }"
GOOD = {"name": "Mine", "provider": "OPENAI"}
BY_VARIABLES: dict[str, Any] = {
    "a number": {**GOOD, "apiKey": 5_550_123_456},
    "a fraction": {**GOOD, "apiKey": 5550123456.5},
    "a list": {**GOOD, "apiKey": [KEY]},
    "an object": {**GOOD, "apiKey": {"key": KEY}},
    "an unknown field": {**GOOD, "apiKey": KEY, "colour": "red"},
    "a misspelt field": {**GOOD, "apikey": KEY},
    "a field missing": {"provider": "OPENAI", "apiKey": KEY},
    "a field null": {**GOOD, "name": None, "apiKey": KEY},
    "another field wrong": {**GOOD, "isDefault": "yes", "apiKey": KEY},
    "a wrong provider": {**GOOD, "provider": "OPEN_AI", "apiKey": KEY},
    "fields swapped": {"name": "Mine", "provider": KEY, "apiKey": "OPENAI"},
    "another swapped": {**GOOD, "isDefault": KEY},
    "nothing but a key": KEY,
    "a list of inputs": [{**GOOD, "apiKey": KEY}],
}
BY_LITERALS = {
    "a number": '{name: "Mine", provider: OPENAI, apiKey: 5550123456}',
    "a list": f'{{name: "Mine", provider: OPENAI, apiKey: ["{KEY}"]}}',
    "an object": f'{{name: "Mine", provider: OPENAI, apiKey: {{key: "{KEY}"}}}}',
    "an unknown field": f'{{name: "Mine", provider: OPENAI, apiKey: "{KEY}", colour: "red"}}',
    "a misspelt field": f'{{name: "Mine", provider: OPENAI, apikey: "{KEY}"}}',
    "a field missing": f'{{provider: OPENAI, apiKey: "{KEY}"}}',
    "fields swapped": f'{{name: "Mine", provider: "{KEY}", apiKey: "OPENAI"}}',
    "nothing but a key": f'"{KEY}"',
    "no colon": f'{{name: "Mine", provider: OPENAI, apiKey "{KEY}"}}',
    "a quote too many": f'{{name: "Mine", provider: OPENAI, apiKey: ""{KEY}"}}',
    "two texts": f'{{name: "Mine", provider: OPENAI, apiKey: "x" "{KEY}"}}',
    "two block texts": f'{{name: "Mine", provider: OPENAI, apiKey: "x" """{KEY}"""}}',
    "never closed": f'{{name: "Mine", provider: OPENAI, apiKey: "{KEY}}}',
    "two numbers": '{name: "Mine", provider: OPENAI, apiKey: 1 5550123456}',
    "no quotes": '{name: "Mine", provider: OPENAI, apiKey: proj5550123456}',
}
MALFORMED = [
    *((f"variables: {name}", CREATE, {"input": input}) for name, input in BY_VARIABLES.items()),
    *(
        (f"document: {name}", f"mutation {{ createConnectionProfile(input: {literal}) {{ __typename }} }}", None)
        for name, literal in BY_LITERALS.items()
    ),
    (
        "a variable of its own",
        """mutation ($key: String) {
            createConnectionProfile(input: {name: "Mine", provider: OPENAI, apiKey: $key}) { __typename }
        }""",
        {"key": [KEY]},
    ),
    ("a variable in another place", "query ($first: Int) { images(first: $first) { totalCount } }", {"first": KEY}),
    (
        "a password",
        "mutation ($input: SignInInput!) { signIn(input: $input) { __typename } }",
        {"input": {"email": "ada@example.org", "password": KEY, "remember": True}},
    ),
]


@pytest.mark.parametrize(("query", "variables"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
async def test_no_error_repeats_a_key(
    client: Client, world: World, ada: Viewer, caplog: pytest.LogCaptureFixture, query: str, variables: Any
) -> None:
    """Whatever is wrong with an operation, its errors say so without the values it was given, and so do the logs."""
    with caplog.at_level(logging.DEBUG):
        answer = await client.ask(query, variables, ada)
    assert answer["errors"]
    for trace in (KEY, KEY[3:15], "555012345", "proj"):
        assert trace not in json.dumps(answer)
        assert trace not in caplog.text
    assert all(error["message"] for error in answer["errors"])
    assert world.vendors.connected == []
