"""Every provider at once, each by a profile: no key is found where it isn't due, and none takes another's place.

The server has keys of its own for every provider, and an environment in which every vendor's variables are set. All of
that leads to one server of ours, `own`, where nothing of a profile's may arrive.
"""

import asyncio
from base64 import b32encode, b64encode
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from domain.providers import ProviderKind
from graph.ids import uuid_of
from storage.database.databases import open_database
from storage.database.tables import usage_event
from storage.vault import new_master_key
from tests.admin import Browser
from tests.e2e.harness import ADMIN, CREATE_REFERENCE, IDENTITY, Server
from tests.pictures import jpeg
from tests.wire import openai
from tests.wire.cases import Dialect
from tests.wire.dialects import DIALECTS
from tests.wire.environment import ENVIRONMENT
from tests.wire.pictures import BLUE
from tests.wire.server import Answer, Ending, WireServer, json_answer, text_answer

OUTCOME = """
query($id: ID!) {
  generation(id: $id) {
    state actualCostMicroUsd costBasis images { id } failures { code message isCharged }
    attempts { route provider outcome providerMessage providerRequestId costMicroUsd costBasis profile { id keyHint } }
  }
}
"""
PIECE_CHARS = 8
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

# Of two pictures: what is told of them, and what counts in the ledger.
UNTOLD = ((None, None), (500_000, "ASSUMED"))
COSTS = {
    ProviderKind.OPENAI: ((61_800, "USAGE"),) * 2,
    ProviderKind.GEMINI: ((480_000, "LISTED"),) * 2,
    ProviderKind.XAI: ((120_000, "REPORTED"),) * 2,
    ProviderKind.OPENROUTER: ((80_000, "REPORTED"),) * 2,
    ProviderKind.OLLAMA: ((0, "LISTED"), (0, None)),
    ProviderKind.IMAGEN: UNTOLD,
    ProviderKind.OPENAI_COMPATIBLE: UNTOLD,
    ProviderKind.GAB: UNTOLD,
}


def marker(name: str) -> str:
    """A key that looks like none, so that no pattern hides it, and of which no piece is found anywhere by chance."""
    letters = b32encode(sha256(name.encode()).digest()).decode().lower()
    return letters[:32].translate(str.maketrans("234567", "ghjkmn"))


OWN_KEYS = {kind: marker(f"the server's own {kind}") for kind in DIALECTS}
FIRST_KEYS = {kind: marker(f"the first of {kind}") for kind in DIALECTS}
SECOND_KEYS = {kind: marker(f"the second of {kind}") for kind in DIALECTS}
OLD, NEW = new_master_key("old"), new_master_key("new")
SECRET = marker("signs tokens")
SECRETS = (
    *(*OWN_KEYS.values(), *FIRST_KEYS.values(), *SECOND_KEYS.values(), SECRET),
    *(master.partition(":")[2] for master in (OLD, NEW)),
)


def encodings(secret: str) -> Iterable[bytes]:
    """Every piece of the secret, and all of it as bytes are written into texts."""
    data = secret.encode()
    yield from (data[start : start + PIECE_CHARS] for start in range(len(data) - PIECE_CHARS + 1))
    # Three bytes are four characters: what comes before decides where they begin.
    yield from (b64encode(data[start : start + 24]) for start in range(3))
    yield data.hex().encode()


PIECES = frozenset(piece for secret in SECRETS for piece in encodings(secret)) | {b"leaked"}


@dataclass
class Vendor:
    """A provider that has a server of its own, and the profile that leads there with a key."""

    kind: ProviderKind
    dialect: Dialect
    wire: WireServer
    key: str
    profile: str = ""

    @property
    def model(self) -> str:
        """One whose price is known, where there is one."""
        return "gpt-image-2" if self.kind is ProviderKind.OPENAI else self.dialect.model

    @property
    def models(self) -> Answer:
        """The answer to who asks what there is, in every vendor's words at once."""
        listed = {"id": self.model, "name": self.model, "capabilities": ["image"]}
        published = {"name": f"publishers/google/models/{self.model}"}
        return json_answer({"data": [listed], "models": [listed], "publisherModels": [published]})

    @property
    def quoted(self) -> Answer:
        """An answer that repeats the key in as many ways as vendors do."""
        masked = f"{self.key[:12]}***{self.key[-4:]}"
        words = (
            f"Wrong key {self.key} ({masked}), sent as 'Bearer {self.key}'. See https://keys.example/?key={self.key}"
        )
        return json_answer({"error": {"message": words, "code": 401, "status": "UNAUTHENTICATED"}}, 401)

    async def connect(self, server: Server, *, tried: bool) -> None:
        """Make the profile, as an operator: with an address, whatever the provider."""
        self.wire.answer = self.models
        made = await server.change(
            "createConnectionProfile",
            "profile { id keyHint needsKey problem }",
            name=f"Mine of {self.kind}",
            provider=self.kind,
            baseUrl=self.wire.url + self.dialect.path,
            apiKey=self.key,
            model=self.model,
            test=tried,
        )
        self.profile = made["profile"].pop("id")
        assert made["profile"] == {"keyHint": self.key[-4:], "needsKey": False, "problem": None}

    async def change_key(self, server: Server, key: str) -> None:
        """Give the profile another key."""
        self.check_requests()
        self.key, self.wire.answer = key, self.models
        changed = await server.change("updateConnectionProfile", "profile { keyHint }", id=self.profile, apiKey=key)
        assert changed["profile"]["keyHint"] == key[-4:]

    def check_requests(self) -> None:
        """What arrived since the last time carries the key where it belongs, and no other secret anywhere."""
        assert self.wire.received
        name, value = self.dialect.credential(self.key)
        for received in self.wire.received:
            assert received.headers[name] == value
            rest = [f"{other}: {told}" for other, told in received.headers.items() if other != name]
            assert secrets_in({"request": "\n".join([received.path, *rest]).encode() + received.body}) == []
        self.wire.received.clear()


def secrets_in(places: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """Where a key, a master key, a value of the environment or a piece of one is found."""
    return [(place, piece) for place, content in places.items() for piece in PIECES if piece in content]


@pytest.fixture
async def own() -> AsyncIterator[WireServer]:
    """Where the server's own access leads, and every address in its environment."""
    async with WireServer() as own:
        own.answer = openai.picture()
        yield own


@pytest.fixture
async def vendors() -> AsyncIterator[list[Vendor]]:
    """One of every kind."""
    async with AsyncExitStack() as stack:
        yield [
            Vendor(kind, dialect, await stack.enter_async_context(WireServer()), FIRST_KEYS[kind])
            for kind, dialect in DIALECTS.items()
        ]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The settings of each kind of database."""
    if request.param == "sqlite":
        return {"DATABASE_URL": f"sqlite:///{tmp_path / 'data' / 'atelier.db'}"}
    url = str(request.getfixturevalue("postgresql_url"))
    return {"DATABASE_URL": url, "SEED_SAMPLES": "true"}


@pytest.fixture
async def server(tmp_path: Path, database: dict[str, str], own: WireServer) -> AsyncIterator[Server]:
    """A server with access of its own to every provider, on a machine with every vendor's variables."""
    server = Server(
        tmp_path,
        **ENVIRONMENT
        | {f"{kind}_API_KEY": key for kind, key in OWN_KEYS.items()}
        | {f"{kind}_BASE_URL": own.url + dialect.path for kind, dialect in DIALECTS.items()}
        | dict.fromkeys(PROXIES, own.url),
        **database,
        SECRET_KEY=SECRET,
        MASTER_KEYS=f"{OLD},{NEW}",
        PRIVATE_NETWORKS="127.0.0.0/8",
        REPEAT_UNKNOWN_CALLS="true",
        LOG_LEVEL="DEBUG",
    )
    async with server:
        if database["DATABASE_URL"].startswith("postgresql"):
            assert server.command("migrate").returncode == 0
        await server.start()
        yield server


async def ended(server: Server, id: str) -> dict[str, Any]:
    """What became of a generation, once it has ended."""
    assert [event async for event in server.follow(id)][-1]["isTerminal"]
    outcome: dict[str, Any] = (await server.send(OUTCOME, id=id))["generation"]
    return outcome


async def asked(server: Server, vendor: Vendor, answer: Answer, **input: Any) -> dict[str, Any]:
    """What becomes of a generation by the vendor's profile when it is answered so."""
    vendor.wire.answer = answer
    return await ended(server, await server.generate(**{"prompt": "A fox", "profileId": vendor.profile, **input}))


def outcomes(generation: dict[str, Any]) -> list[str]:
    """How its calls ended, in order."""
    return [attempt["outcome"] for attempt in generation["attempts"]]


async def used(server: Server, vendor: Vendor, identity: str) -> str:
    """Everything that is done with a profile, well and badly. Returns the id of its first generation."""
    await vendor.connect(server, tried=True)
    tested = await server.change("testConnectionProfile", "models { id }", id=vendor.profile)
    assert vendor.model in [model["id"] for model in tested["models"]]
    vendor.wire.answer = vendor.quoted
    told = await server.change("testConnectionProfile", "__typename", id=vendor.profile)
    assert told["__typename"] == "ProviderUnusableError"

    subject = {"identityId": identity} if vendor.dialect.references else {"prompt": "A fox"}
    vendor.wire.answer = vendor.dialect.picture
    first = await server.generate(profileId=vendor.profile, options={"n": 2}, **subject)
    made = await ended(server, first)
    assert (made["state"], len(made["images"]), outcomes(made)) == ("SUCCEEDED", 2, ["SUCCEEDED"] * 2)
    assert (made["actualCostMicroUsd"], made["costBasis"]) == COSTS[vendor.kind][0]
    if vendor.dialect.references:
        for received in vendor.wire.received[-2:]:
            assert len(await vendor.dialect.references(received)) == 2

    if refusals := vendor.dialect.failures.get("refused prompt"):
        refused = await asked(server, vendor, refusals[0].answer)
        assert (refused["state"], outcomes(refused)) == ("REFUSED", ["REFUSED_INPUT"])
    wrong = await asked(server, vendor, vendor.quoted)
    assert outcomes(wrong) == ["INVALID_KEY"]
    assert "Wrong key" in wrong["attempts"][0]["providerMessage"]
    broken = await asked(server, vendor, text_answer(f"<html>{vendor.key}</html>"))
    assert outcomes(broken) == ["BAD_RESPONSE"]
    return first


async def admin_pages(server: Server, generations: Iterable[str]) -> dict[str, bytes]:
    """What operators read of generations."""
    async with httpx.AsyncClient(base_url=server.url) as http:
        browser = Browser(http)
        await browser.get("/login")
        form = {"username": ADMIN, "password": server.password}
        assert (await browser.send("/login", form, origin=server.url)).status_code == 303
        pages = {"list": await browser.page("/generations/list")}
        for id in generations:
            pages[id] = await browser.page("/generations/detail", pk=uuid_of("Generation", id))
    return {name: page.encode() for name, page in pages.items()}


def written(server: Server, folder: Path) -> dict[str, bytes]:
    """The log, every file of the data folder, and every row of every table of PostgreSQL."""
    files = {str(path): path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file()}
    places = {"log": server.log.read_bytes(), **files}
    if "postgresql" in server.environ["DATABASE_URL"]:
        with psycopg.connect(server.environ["DATABASE_URL"]) as connection:
            tables = connection.execute(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for (table,) in tables:
                with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as rows:
                    places[table] = b"".join(map(bytes, rows))
    return places


async def ledger(server: Server, generations: Mapping[ProviderKind, str]) -> dict[ProviderKind, tuple[int, str | None]]:
    """What the generations count in the ledger, none of whose lines counts money without its ground."""
    database = open_database(server.environ["DATABASE_URL"], pool_size=1)
    async with database.read() as connection:
        lines = (await connection.execute(sa.select(usage_event).where(usage_event.c.unit == "MICRO_USD"))).all()
    await database.aclose()
    assert all(line.basis for line in lines if line.kind != "RELEASE")
    settled = {line.generation_id: (line.used_delta, line.basis) for line in lines if line.kind != "RESERVE"}
    return {kind: settled[uuid_of("Generation", id)] for kind, id in generations.items()}


async def test_no_key_is_found_where_it_is_not_due(
    server: Server, vendors: list[Vendor], own: WireServer, tmp_path: Path
) -> None:
    """Profiles of every provider used, answered badly, given new keys and sealed anew: each key goes to its provider
    alone, and no piece of it beyond the last four characters is in logs, database, objects, answers or admin pages.
    """
    by_kind = {vendor.kind: vendor for vendor in vendors}
    for name in ("Headshot", "Profile"):
        await server.upload(CREATE_REFERENCE, {"input": {"name": name}}, "me.jpg", jpeg())
    identity = (await server.send(IDENTITY))["viewer"]["identities"][0]["id"]
    firsts = await asyncio.gather(*(used(server, vendor, identity) for vendor in vendors))
    made = dict(zip(by_kind, firsts, strict=True))

    broke, wrong, rich = (by_kind[kind] for kind in (ProviderKind.XAI, ProviderKind.GAB, ProviderKind.OPENROUTER))
    broke.wire.answer = broke.dialect.failures["no credit"][-1].answer
    wrong.wire.answer = wrong.quoted
    chain = await asked(
        server, rich, rich.dialect.picture, profileId=broke.profile, fallbackProfileIds=[wrong.profile, rich.profile]
    )
    shown = [(each["route"], each["provider"], each["profile"]["id"], each["outcome"]) for each in chain["attempts"]]
    assert shown == [
        (0, broke.kind, broke.profile, "INSUFFICIENT_CREDIT"),
        (1, wrong.kind, wrong.profile, "INVALID_KEY"),
        (2, rich.kind, rich.profile, "SUCCEEDED"),
    ]
    assert (chain["state"], chain["actualCostMicroUsd"], chain["costBasis"]) == ("SUCCEEDED", 40_000, "REPORTED")

    await asyncio.gather(*(vendor.change_key(server, SECOND_KEYS[vendor.kind]) for vendor in vendors))
    server.environ["MASTER_KEYS"] = f"{NEW},{OLD}"
    rotated = server.command("keys", "rotate")
    assert f"Sealed anew: {len(vendors)}. Left as they were: 0." in rotated.stdout
    again = await asyncio.gather(*(asked(server, vendor, vendor.dialect.picture) for vendor in vendors))
    assert {generation["state"] for generation in again} == {"SUCCEEDED"}
    for vendor in vendors:
        vendor.check_requests()

    async with WireServer() as elsewhere:
        elsewhere.answer = Answer(200, [BLUE], {"content-type": "image/png"})
        imported = await server.change("importImage", "image { id }", url=f"{elsewhere.url}/sea.png")
        assert imported["__typename"] == "ImportImageSuccess"
        assert secrets_in({"request": repr(elsewhere.received).encode()}) == []

    assert own.received == []
    by_own_key = await ended(server, await server.generate(prompt="A fox", provider="OPENAI"))
    assert by_own_key["state"] == "SUCCEEDED"
    check_own_request(own)

    pages = await admin_pages(server, firsts)
    server.kill()
    assert await ledger(server, made) == {kind: counted for kind, (_, counted) in COSTS.items()}
    places = written(server, tmp_path)
    # What is looked through is what was written: all that may be known of the keys is there.
    everything = b"".join(places.values())
    assert all(vendor.key[-4:].encode() in everything for vendor in vendors)
    assert b"Wrong key" in everything
    commands = {"rotation": (rotated.stdout + rotated.stderr).encode()}
    # Neither does the log repeat what is written to the database: prompts, hashes of passwords, sealed keys.
    assert [told for told in (b"A fox", b"argon2", b"v1.old.", b"v1.new.") if told in places["log"]] == []
    answers = {f"answer {number}": text.encode() for number, text in enumerate(server.heard)}
    assert secrets_in({**places, **answers, **pages, **commands}) == []


def check_own_request(own: WireServer) -> None:
    """The server's own access was used once, with its own key and nothing of anybody else's."""
    (received,) = own.received
    assert received.headers["authorization"] == f"Bearer {OWN_KEYS[ProviderKind.OPENAI]}"
    rest = {name: value for name, value in received.headers.items() if name != "authorization"}
    assert secrets_in({"request": repr((received.path, rest)).encode() + received.body}) == []


async def test_a_killed_call_goes_on_by_its_profile(server: Server, vendors: list[Vendor], own: WireServer) -> None:
    """After kill -9 in the middle of a call, and with keys sealed anew meanwhile, the profile's key is used again;
    where the profile is gone the server's own isn't, and each lost call is shown as perhaps charged.
    """
    for vendor in vendors:
        await vendor.connect(server, tried=False)
        vendor.wire.first, vendor.wire.answer = [Answer(ending=Ending.HANG)], vendor.dialect.picture
    ids = [await server.generate(prompt="A fox", profileId=vendor.profile) for vendor in vendors]
    await asyncio.gather(*(vendor.wire.arrived.wait() for vendor in vendors))
    gone, *others = vendors
    await server.change("deleteConnectionProfile", "deletedId", id=gone.profile)
    server.kill()
    server.environ["MASTER_KEYS"] = f"{NEW},{OLD}"
    assert f"Sealed anew: {len(others)}." in server.command("keys", "rotate").stdout
    server.environ["MASTER_KEYS"] = NEW
    await server.start()

    lost, *resumed = [await ended(server, id) for id in ids]
    assert (lost["state"], outcomes(lost)) == ("FAILED", ["UNKNOWN_CHARGED", "INVALID_KEY"])
    assert lost["failures"] == [
        {"code": "INVALID_KEY", "message": "The connection profile is gone.", "isCharged": True}
    ]
    for vendor, generation in zip(others, resumed, strict=True):
        assert (generation["state"], outcomes(generation)) == ("SUCCEEDED", ["UNKNOWN_CHARGED", "SUCCEEDED"])
        assert len(vendor.wire.received) == 2
    assert len(gone.wire.received) == 1
    for vendor in vendors:
        vendor.check_requests()
    assert own.received == []
