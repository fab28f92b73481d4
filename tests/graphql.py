"""A server of the GraphQL edge over real storage, and a client that asks it: what the tests of the edge share."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from graphql import GraphQLUnionType
from sqlalchemy import event
from sqlalchemy.engine import Engine

from domain.accounts import Accounts
from domain.connection_profiles import ConnectionProfiles
from domain.generation_events import GenerationEvents
from domain.generation_requests import GenerationRequests
from domain.generations import EventDraft, Generation
from domain.identities import Identities
from domain.images import Image, Images
from domain.picture_store import PictureStore
from domain.pictures import PictureLimits
from domain.prompts import Prompts
from domain.provider_access import ProviderAccess
from domain.providers import Access, ImageProvider, ProviderKind
from domain.quotas import Quotas
from domain.reference_images import ReferenceImages
from domain.repositories import UnitOfWorkFactory
from domain.routes import Routes
from domain.users import User, Viewer
from domain.wizards import Wizards
from graph.context import Services
from graph.edge import GraphQLApp
from graph.ids import global_id
from graph.schema import AtelierSchema, build_schema
from providers.outbound import Outbound
from providers.registry import Registry
from storage.credentials import Argon2Hasher, OwnTokens
from storage.imaging import PillowImaging
from storage.objects.local import LocalObjectStore
from tests.fakes.bus import FakeEventBus
from tests.fakes.clock import FakeClock
from tests.fakes.fetcher import FakeFetcher
from tests.fakes.jobs import FakeJobs
from tests.fakes.providers import FakeProvider, FakeVendors
from tests.fakes.vault import FakeVault
from tests.rows import NOW

BASE = "http://atelier.test"
PREFLIGHT = {"Apollo-Require-Preflight": "1"}


@dataclass(slots=True)
class World:
    """The services of a server, and what stands behind them.

    `vendors` are what connection profiles lead to, `line` is what the job engine is told.
    """

    services: Services
    schema: AtelierSchema
    unit_of_work: UnitOfWorkFactory
    clock: FakeClock
    bus: FakeEventBus
    line: FakeJobs
    folder: Path
    vendors: FakeVendors
    vault: FakeVault
    fetcher: FakeFetcher

    def token(self, viewer: Viewer) -> str:
        """A token of the viewer's."""
        return self.services.accounts.token_for(viewer.user)[0]

    def files(self) -> list[str]:
        """Every file in the object store."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    async def add(self, *rows: Any) -> None:
        """Put rows into the database."""
        async with self.unit_of_work() as work:
            adding: dict[str, Any] = {
                "ReferenceImage": work.reference_images.add,
                "Identity": work.identities.add,
                "Image": work.images.add,
                "Prompt": work.prompts.add,
                "Generation": work.generations.add,
                "Wizard": work.wizards.add,
                "Step": work.wizards.add_step,
                "Plan": work.plans.add,
                "ConnectionProfile": work.connection_profiles.add,
            }
            for row in rows:
                await adding[type(row).__name__](row)
            await work.commit()

    async def tell(self, generation: Generation, draft: EventDraft, image: Image | None = None) -> None:
        """Record an event of a generation, with the image that was just stored, and publish it."""
        if image:
            async with self.unit_of_work() as work:
                await work.pictures.doom(image.picture.keys, self.clock.now())
                await work.commit()
        await self.services.events.tell(generation, draft, image)


class Client:
    """Asks the server over HTTP."""

    def __init__(self, http: httpx.AsyncClient, world: World) -> None:
        self.http = http
        self._world = world

    async def ask(
        self, query: str, variables: Mapping[str, object] | None = None, viewer: Viewer | None = None
    ) -> dict[str, Any]:
        """The whole answer."""
        response = await self.http.post(
            "/graphql", json={"query": query, "variables": variables}, headers=self.headers(viewer)
        )
        answer: dict[str, Any] = response.json()
        return answer

    async def data(
        self, query: str, variables: Mapping[str, object] | None = None, viewer: Viewer | None = None
    ) -> dict[str, Any]:
        """The data of an answer that has no errors."""
        answer = await self.ask(query, variables, viewer)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def mutate(
        self, name: str, input: Mapping[str, object], selection: str, viewer: Viewer | None, *files: bytes
    ) -> dict[str, Any]:
        """The result of one mutation. Each file goes where `input` has None for `file`."""
        kind = name[0].upper() + name[1:]
        errors = errors_of(self._world.schema, f"{kind}Result")
        query = f"mutation ($input: {kind}Input!) {{ {name}(input: $input) {{ __typename {selection} {errors} }} }}"
        if files:
            answer = await self.upload(
                query, {"input": {**input, "file": None}}, {"variables.input.file": files[0]}, viewer
            )
        else:
            answer = await self.ask(query, {"input": input}, viewer)
        assert "errors" not in answer, answer
        result: dict[str, Any] = answer["data"][name]
        return result

    async def upload(
        self, query: str, variables: Mapping[str, object], files: Mapping[str, bytes], viewer: Viewer | None
    ) -> dict[str, Any]:
        """The answer to a multipart request; `files` are by the path of their variable."""
        places = {str(number): [path] for number, path in enumerate(files)}
        form = {"operations": json.dumps({"query": query, "variables": variables}), "map": json.dumps(places)}
        parts = {str(number): (f"me {number}.png", body) for number, body in enumerate(files.values())}
        response = await self.http.post("/graphql", data=form, files=parts, headers=self.headers(viewer))
        answer: dict[str, Any] = response.json()
        return answer

    def headers(self, viewer: Viewer | None) -> dict[str, str]:
        """What speaks for the viewer."""
        return {"Authorization": f"Bearer {self._world.token(viewer)}"} if viewer else {}


_ERRORS = {
    "InvalidInputError": "fields { path message }",
    "NotFoundError": "id",
    "LimitReachedError": "limit",
    "InvalidImageError": "reason",
    "UnsupportedByModelError": "option supported model",
    "ProviderUnusableError": "provider",
    "ImageInUseError": "usedBy { __typename ... on Node { id } }",
    "QuotaExceededError": "feature unit limit used resetsAt",
}


def errors_of(schema: AtelierSchema, union: str) -> str:
    """A selection of every field of every error that the union has."""
    members = {member.name for member in cast("GraphQLUnionType", schema._schema.get_type(union)).types}
    parts = [f"... on {name} {{ {fields} }}" for name, fields in _ERRORS.items() if name in members]
    return " ".join(["... on UserError { message }", *parts])


def gid(row: Any) -> str:
    """The global id of a row."""
    return global_id(type(row).__name__, row.id)


@dataclass(slots=True)
class Statements:
    """The statements that were sent to the database, transactions' own left out."""

    sent: list[str] = field(default_factory=list)

    def note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        """Remember one."""
        if not statement.startswith(("BEGIN", "PRAGMA")):
            self.sent.append(statement)


@pytest.fixture
def statements() -> Any:
    """Every statement of the test from now on."""
    noted = Statements()
    event.listen(Engine, "before_cursor_execute", noted.note)
    yield noted
    event.remove(Engine, "before_cursor_execute", noted.note)


@pytest.fixture(scope="session")
def schema() -> AtelierSchema:
    """The schema that is served."""
    return build_schema()


@pytest.fixture
async def world(unit_of_work: UnitOfWorkFactory, schema: AtelierSchema, tmp_path: Path) -> World:
    """A server's parts over SQLite and a folder, at NOW. It has access to OPENAI; profiles lead to fakes."""
    clock = FakeClock(NOW + timedelta(minutes=1))
    bus, line = FakeEventBus(), FakeJobs()
    events = GenerationEvents(unit_of_work, bus, clock)
    folder = tmp_path / "objects"
    objects = LocalObjectStore(folder, BASE, b"k" * 32, clock)
    tokens = OwnTokens(b"k" * 32, clock)
    limits = PictureLimits(max_bytes=5_000_000, max_pixels=50_000_000)
    pictures = PictureStore(unit_of_work, objects, PillowImaging(), limits, clock)
    registry, openai = Registry(Outbound(), 5.0), Access(api_key="key", is_trusted=True)
    own = {
        kind: registry.provider(kind, openai if kind is ProviderKind.OPENAI else Access(is_trusted=True))
        for kind in ProviderKind
    }
    vendors = FakeVendors({kind: _alike(provider) for kind, provider in own.items()})
    vault, fetcher = FakeVault(), FakeFetcher()
    access = ProviderAccess(own, vendors.connect, vault)
    services = Services(
        unit_of_work=unit_of_work,
        accounts=Accounts(
            unit_of_work, Argon2Hasher(memory_kib=64, time_cost=1), tokens, tokens, clock, timedelta(hours=1)
        ),
        reference_images=ReferenceImages(unit_of_work, pictures, clock),
        identities=Identities(unit_of_work, pictures, clock),
        images=Images(unit_of_work, pictures, fetcher, clock),
        connection_profiles=ConnectionProfiles(unit_of_work, access, clock),
        wizards=Wizards(unit_of_work, clock),
        prompts=Prompts(unit_of_work, clock),
        quotas=Quotas(unit_of_work, clock),
        requests=GenerationRequests(
            unit_of_work, Routes(access, (ProviderKind.OFFLINE, None)), objects, events, line, clock
        ),
        events=events,
        access=access,
        objects=objects,
        clock=clock,
    )
    return World(services, schema, unit_of_work, clock, bus, line, folder, vendors, vault, fetcher)


def _alike(provider: ImageProvider) -> FakeProvider:
    """A fake that says of itself what the provider says."""
    fake = FakeProvider(provider.kind, provider.models)
    fake.name, fake.problem, fake.makes_images = provider.name, provider.problem, provider.makes_images
    fake.needs_key, fake.needs_base_url = provider.needs_key, provider.needs_base_url
    return fake


@pytest.fixture
def app(world: World) -> GraphQLApp:
    """The edge."""
    return GraphQLApp(world.schema, world.services, max_request_bytes=80_000_000, watch_every_s=0.05, ping_every_s=0.1)


@pytest.fixture
async def client(app: GraphQLApp, world: World) -> AsyncIterator[Client]:
    """A client of the edge."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
        yield Client(http, world)


def nobody(noun: str) -> str:
    """A well-formed id of an object that never was."""
    return global_id(noun, UUID(int=1))


def as_user(viewer: Viewer, user: User) -> dict[str, object]:
    """The input that names for whom a viewer acts."""
    return {} if viewer.user == user else {"userId": gid(user)}
