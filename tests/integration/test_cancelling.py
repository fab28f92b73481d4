"""Cancelling through the whole house but GraphQL: the call that somebody pays for is really broken off."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import engine.jobs
from app.settings import load_settings
from app.wiring import compose
from domain.generations import CANCELLED, GenerationState
from domain.providers import ImageOptions, ProviderKind
from domain.wishes import GenerateImage
from tests.engines import SOON_S, until
from tests.rows import stored_community, stored_viewer
from tests.wire.server import Answer, Ending, WireServer


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


async def test_the_provider_is_hung_up_on(tmp_path: Path, database_url: str, server: WireServer) -> None:
    """The connection is closed, nothing that only the work needed is left, and the worker is free for others."""
    server.answer = Answer(pieces=[b"{"], ending=Ending.HANG)
    environ: dict[str, Any] = {
        "ATELIER_DATA_DIR": str(tmp_path),
        "DATABASE_URL": database_url,
        "SECRET_KEY": "s" * 32,
        "OPENAI_COMPATIBLE_BASE_URL": f"{server.url}/v1",
    }
    atelier = compose(load_settings(environ, tmp_path / "no.env"))
    engine.jobs.migrate(atelier.database.sync_engine())
    viewer = await stored_viewer(atelier.unit_of_work, await stored_community(atelier.unit_of_work))
    wish = GenerateImage(
        prompt="A house", provider=ProviderKind.OPENAI_COMPATIBLE, model="m", options=ImageOptions(n=1)
    )
    async with atelier.running(works=True):
        generation = await atelier.requests.ask(viewer, wish)
        await asyncio.wait_for(server.arrived.wait(), SOON_S)
        assert (await atelier.requests.cancel(viewer, generation.id)).state is GenerationState.CANCELLED
        await asyncio.wait_for(server.hung_up.wait(), SOON_S)
        await until(lambda: atelier.engine.running == 0)
        async with atelier.unit_of_work(read_only=True) as work:
            attempts = await work.generations.attempts_of([generation.id])
    assert [(attempt.outcome, attempt.is_charged) for attempt in attempts] == [(CANCELLED, True)]
    assert len(server.received) == 1
