"""How large a document may be, and what it must not hold: hostile ones are refused in no time."""

import time

import pytest
from graphql import get_introspection_query

from domain.users import Viewer
from tests.graphql import PREFLIGHT, Client, World
from tests.rows import stored_viewer


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


def bomb(count: int) -> str:
    """Fragments that each spread the next one twice."""
    fragments = [f"fragment F{n} on User {{ ...F{n + 1} community {{ ...C }} ...F{n + 1} }}" for n in range(count)]
    last = f"fragment F{count} on User {{ name }} fragment C on Community {{ name }}"
    return "{ viewer { ...F0 } } " + " ".join(fragments) + last


def nested(depth: int) -> str:
    """User and identity around each other."""
    return "{ viewer { " + "identities { user { " * depth + "name" + " } }" * depth + " } }"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (nested(2), None),
        (nested(3), "asks for too much"),
        (nested(12), "nests too deeply"),
        (nested(200), "nested too deeply"),
        ("{ viewer { " + " ".join(f"n{n}: name" for n in range(51)) + " } }", "has too many aliases"),
        ("{ viewer { name " + "@include(if: true) " * 6 + "} }", "5 directives at most"),
        (
            "{ images(first: 100) { nodes { owner { identities { user { identities { id } } } } } } }",
            "asks for too much",
        ),
        (
            "{ wizards { steps { title background { filename tags { value } picture { url width placeholder } } } } }",
            None,
        ),
        ("{ wizards { " + "steps { wizard { " * 4 + "name" + " } }" * 4 + " } }", "asks for too much"),
        ("{ prompts { " + " ".join(f"i{n}: images(first: 1) {{ totalCount }}" for n in range(4)) + " } }", None),
        (
            "{ prompts { " + " ".join(f"i{n}: images(first: 1) {{ totalCount }}" for n in range(30)) + " } }",
            "asks for too much",
        ),
        (
            "{ images(first: 100) { nodes { owner { "
            + " ".join(f"q{n}: quota(feature: IMAGE_GENERATION) {{ used }}" for n in range(6))
            + " } } } }",
            None,
        ),
        ("{ " + " ".join(f"p{n}: connectionProfiles {{ id needsKey problem }}" for n in range(20)) + " }", None),
        (
            "{ "
            + " ".join(f"p{n}: connectionProfiles {{ id name keyHint needsKey problem }}" for n in range(50))
            + " }",
            "asks for too much",
        ),
        ("{ viewer { " + "name " * 2_100 + "} }", "2000"),
        ("{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A }", "Cannot spread fragment"),
        (bomb(28), "asks for too much"),
        ("{ a " * 900, "nested too deeply"),
        ("{ __schema { " + " ".join(f"t{n}: types {{ name }}" for n in range(6)) + " } }", "has too many aliases"),
        ("{ " + " ".join(f"t{n}: __typename" for n in range(50)) + " }", None),
        (f"{{ images(first: {'1' * 10_000}) {{ nodes {{ id }} }} }}", "thousands of digits"),
        ('{ node(id: "\\u{0}") { id } }', "the character NUL"),
    ],
    ids=[
        "fair",
        "wide cycle",
        "deep",
        "deeper",
        "aliases",
        "directives",
        "cost",
        "wizards with their pictures",
        "wizards around themselves",
        "pages of pages",
        "too many pages of pages",
        "quotas of a page",
        "connection profiles",
        "connection profiles again and again",
        "tokens",
        "cycle",
        "bomb",
        "braces",
        "introspection again and again",
        "type names",
        "long number",
        "NUL",
    ],
)
async def test_documents_are_limited(client: Client, ada: Viewer, query: str, message: str | None) -> None:
    """Documents that would cost too much are refused, quickly; a bomb of fragments is measured in no time."""
    began = time.perf_counter()
    answer = await client.ask(query, viewer=ada)
    took_s = time.perf_counter() - began
    assert took_s < 5
    if message is None:
        assert "errors" not in answer
    else:
        assert any(message in error["message"] for error in answer["errors"]), answer["errors"][:3]


@pytest.mark.parametrize("nul", ["\0", "\\u0000", "\\u{000}"], ids=["raw", "escaped", "escaped in braces"])
async def test_nul_is_refused_in_addresses_too(client: Client, nul: str) -> None:
    """PostgreSQL could not store it, however it is written."""
    query = f'{{ node(id: "{nul}") {{ id }} }}'
    response = await client.http.get("/graphql", params={"query": query}, headers=PREFLIGHT)
    (error,) = response.json()["errors"]
    assert error["message"] == "The document has the character NUL, or a number of thousands of digits."


async def test_introspection_fits_the_limits(client: Client) -> None:
    """The query that every tool sends is answered."""
    data = await client.data(get_introspection_query(specified_by_url=True, input_value_deprecation=True))
    assert data["__schema"]["queryType"]["name"] == "Query"
