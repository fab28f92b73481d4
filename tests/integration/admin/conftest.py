"""A server with the operators' page over each database, and browsers that use it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from app.server import asgi_app
from app.settings import Settings
from app.wiring import Atelier, compose
from domain.costs import Cost, CostBasis
from domain.failures import FailureCode, failure
from domain.generations import EventDraft, GenerationState
from domain.images import Recipe
from domain.providers import ProviderKind
from domain.quotas import reserve, settle
from domain.tags import Tag, TagKind
from domain.users import User, Viewer
from tests.admin import BASE, KEY, PASSWORD, SECRET, SUBJECT, Browser, Things, nobody, stored
from tests.fakes.clock import FakeClock
from tests.rows import (
    NOW,
    a_generation,
    a_plan,
    a_prompt,
    a_step,
    a_user,
    a_wizard,
    after,
    an_attempt,
    an_identity,
    an_image,
    limit_of,
    stored_community,
)
from tests.uploads import a_photo


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Those of a server at BASE."""
    given = {"DATABASE_URL": database_url, "SECRET_KEY": SECRET, "ATELIER_DATA_DIR": tmp_path, "PUBLIC_URL": BASE}
    return Settings.model_validate({**given, "DATABASE_POOL_SIZE": 1})


@pytest.fixture
def clock() -> FakeClock:
    """What time it is for the page."""
    return FakeClock(after(60))


@pytest.fixture
async def atelier(settings: Settings, clock: FakeClock) -> AsyncIterator[Atelier]:
    """A server's parts; the database lends one connection at a time, so that nothing may wait for itself."""
    parts = compose(settings)
    timely: Any = {"clock": clock}
    yield replace(parts, **timely)
    await parts.aclose()


@pytest.fixture
def app(atelier: Atelier) -> Starlette:
    """The server."""
    return asgi_app(atelier, works=False, welcome=nobody)


@pytest.fixture
async def operator(atelier: Atelier) -> User:
    """Who runs the server; no more than a member of their own community."""
    return await stored(atelier, PASSWORD, email="olga@example.org", name="Olga", is_operator=True)


@pytest.fixture
async def stranger(app: Starlette) -> AsyncIterator[Browser]:
    """A browser in which nobody has signed in."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
        yield Browser(http)


@pytest.fixture
async def browser(stranger: Browser, operator: User) -> Browser:
    """The operator's browser, signed in."""
    assert (await stranger.sign_in(operator.email)).status_code == 303
    return stranger


@pytest.fixture
async def things(atelier: Atelier, operator: User) -> Things:
    """A member with pictures, a generation with everything that may become of it, and what it used."""
    community = await stored_community(atelier.unit_of_work, "Looms")
    member = await stored(atelier, "another password", community=community, email="mary@example.org", name="Mary")
    viewer = Viewer(member)
    await atelier.reference_images.create(viewer, name="From the left", file=a_photo(90, 60))
    images = [await atelier.images.upload(viewer, a_photo(40 + number, 30, f"{number}.jpg")) for number in range(2)]
    generation = a_generation(
        member,
        prompt="<b>A house</b>",
        idempotency_key=KEY,
        failures=(failure(FailureCode.TIMEOUT, "Too late").at(1),),
    )
    recipe = Recipe(
        prompt="<i>The house of the recipe</i>",
        structured_prompt=None,
        prompt_version=None,
        revised_prompt=None,
        identity={"name": "The Analyst"},
        reference_hashes=(),
        provider=ProviderKind.OFFLINE,
        model="sketch-1",
        options={"n": 2},
        cost_micro_usd=40_000,
        parent_image_id=None,
    )
    made = an_image(
        member,
        picture=images[0].picture,
        filename="made.png",
        recipe=recipe,
        generation_id=generation.id,
        generation_index=0,
        created_at=after(5),
        tags=(Tag(TagKind.THEME, "Industry"),),
    )
    version = a_prompt(member.community_id, 7)
    limits = a_plan(None, limit_of(12), name="Modest")
    wizard = a_wizard(member.community_id)
    async with atelier.unit_of_work() as work:
        await work.users.add_external(a_user(community, email="eva@example.org"), SUBJECT)
        await work.prompts.add(version)
        await work.plans.add(limits)
        await work.generations.add(generation)
        await work.generations.append(generation.id, after(1), EventDraft(GenerationState.PREPARING, "Preparing"))
        call = an_attempt(
            generation,
            cost=Cost(40_000, CostBasis.LISTED),
            finished_at=after(3),
            outcome="TIMEOUT",
            is_charged=True,
            detail="The vendor's own words",
        )
        await work.generations.add_attempt(replace(call, outcome="STARTED", finished_at=None))
        await work.generations.finish_attempt(call)
        await work.pictures.keep(made.owner_id, made.picture)
        await work.images.add(made)
        await work.identities.add(an_identity(member, image_id=made.id))
        await work.wizards.add(wizard)
        await work.wizards.add_step(a_step(wizard, title="First step", background_id=made.id))
        await work.commit()
    async with atelier.unit_of_work() as work:
        allowance = await work.usage.allowance(community.id, [member.id])
        await reserve(work, generation, allowance, NOW)
        await settle(work, generation, 1, Cost(40_000, CostBasis.LISTED), after(4))
        await work.commit()
    ids = {
        "users": member.id,
        "communities": community.id,
        "plans": limits.id,
        "prompts": version.id,
        "images": made.id,
        "generations": generation.id,
    }
    return Things(member, [*images, made], generation, ids)
