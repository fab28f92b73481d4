"""Races on PostgreSQL: whoever comes first, the second sees what the first did, and neither fails for the other's sake.

No race is left to chance: a row is held until all who run stand in line for it, or for each other. SQLite needs none of
this: it lets one write at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
import sqlalchemy as sa

from domain.connection_profiles import MAX_PROFILES, ConnectionProfile, ProfileChange
from domain.errors import Conflict, ImageInUse, InvalidInput, LimitReached, NotFound
from domain.generations import EventDraft, Generation, GenerationState
from domain.identities import Identities
from domain.images import Image
from domain.providers import ProviderKind
from domain.quotas import MAX_PLANS
from domain.repositories import UnitOfWorkFactory
from domain.users import Community, Role, Viewer
from domain.wizards import MAX_WIZARDS
from storage.database.databases import Database
from storage.database.tables import community as community_table
from storage.database.tables import connection_profile, stored_picture, user_account
from storage.database.tables import generation as generation_table
from storage.database.tables import identity as identity_table
from storage.database.tables import image as image_table
from storage.database.tables import plan as plan_table
from storage.database.tables import step as step_table
from tests.database import drop_postgres, new_postgres
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.rows import (
    NOW,
    a_generation,
    a_plan,
    a_profile,
    a_wizard,
    an_identity,
    an_image,
    limit_of,
    stored_community,
    stored_images,
    stored_viewer,
)
from tests.uploads import a_photo
from tests.workshop import Workshop

WAITING = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture(scope="module")
def database_url(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """The address of one migrated PostgreSQL database for all the races: each has a community of its own."""
    url = new_postgres(postgres_url, postgres_template)
    yield url
    drop_postgres(postgres_url, url)


@pytest.fixture
def shop(unit_of_work: UnitOfWorkFactory) -> Workshop:
    """The services."""
    clock = FakeClock(NOW)
    return Workshop(UnluckyUnitOfWork(unit_of_work), FakeObjectStore(clock), clock)


@pytest.fixture
def identities(shop: Workshop) -> Identities:
    """The service of identities."""
    return Identities(shop.unit_of_work, shop.pictures, shop.clock)


@pytest.fixture
async def community(unit_of_work: UnitOfWorkFactory) -> Community:
    """A community."""
    return await stored_community(unit_of_work)


@pytest.fixture
async def ada(unit_of_work: UnitOfWorkFactory, community: Community) -> Viewer:
    """A member."""
    return await stored_viewer(unit_of_work, community)


@pytest.fixture
async def grace(unit_of_work: UnitOfWorkFactory, community: Community) -> Viewer:
    """An admin of the same community."""
    return await stored_viewer(unit_of_work, community, role=Role.ADMIN, name="Grace")


@pytest.fixture
async def image(unit_of_work: UnitOfWorkFactory, ada: Viewer) -> Image:
    """An image of Ada's that is public."""
    image = an_image(ada.user, is_public=True)
    await stored_images(unit_of_work, image)
    return image


class Line:
    """Lets calls meet at a row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def at(self, table: sa.Table, key: object, *calls: Awaitable[object]) -> list[object]:
        """Start the calls one by one, each once those before it wait, while the row is held: what each returns or raises."""
        tasks: list[asyncio.Future[object]] = []
        (column,) = table.primary_key
        with self._database.sync_engine().connect() as holder:
            holder.execute(sa.select(column).where(column == key).with_for_update())
            for call in calls:
                tasks.append(asyncio.ensure_future(call))
                await self._stand_still(tasks)
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    async def _stand_still(self, tasks: list[asyncio.Future[object]]) -> None:
        async with asyncio.timeout(9), self._database.read() as connection:
            while (await connection.execute(WAITING)).scalar_one() < sum(not task.done() for task in tasks):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.01)


@pytest.fixture
def line(database: Database) -> Line:
    """A line in the test's database."""
    return Line(database)


@dataclass(frozen=True, slots=True)
class Place:
    """Where Grace shows images: its row, how she shows one there or removes the place, and which one is shown."""

    table: sa.Table
    id: UUID
    show: Callable[[Image], Awaitable[object]]
    remove: Callable[[], Awaitable[object]]
    shown: Callable[[], Awaitable[UUID | None]]

    def asked_for(self, owner: Viewer) -> Generation:
        """A generation of two pictures of which one is to be shown here."""
        if self.table is step_table:
            return a_generation(owner.user, step_id=self.id)
        return a_generation(owner.user, identity_id=self.id, save_to_identity=True)


@pytest.fixture(params=["portrait", "background"])
async def place(request: pytest.FixtureRequest, shop: Workshop, identities: Identities, grace: Viewer) -> Place:
    """An identity of Grace's, or a step: nothing is shown there yet."""
    if request.param == "background":
        step = await shop.step(grace)
        return Place(
            step_table,
            step.id,
            lambda image: shop.wizards.set_background(grace, step.id, image.id),
            lambda: shop.wizards.delete_step(grace, step.id),
            lambda: shop.background(step),
        )
    identity = an_identity(grace.user)
    async with shop.unit_of_work() as work:
        await work.identities.add(identity)
        await work.commit()

    async def portrait() -> UUID | None:
        async with shop.unit_of_work(read_only=True) as work:
            return (await work.identities.get(grace.scope, identity.id)).image_id

    return Place(
        identity_table,
        identity.id,
        lambda image: identities.save_portrait(grace, identity.id, image.id),
        lambda: identities.delete(grace, identity.id),
        portrait,
    )


async def left(shop: Workshop, image: Image) -> Image | None:
    """The image as it is now."""
    async with shop.unit_of_work(read_only=True) as work:
        return next(iter(await work.images.by_ids(image.community_id, [image.id])), None)


def parted(shop: Workshop, ada: Viewer, image: Image, *, is_deleted: bool, force: bool) -> Awaitable[object]:
    """Ada's image, deleted or no longer public."""
    if is_deleted:
        return shop.library.delete(ada, image.id, force=force)
    return shop.library.set_public(ada, image.id, is_public=False, force=force)


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_an_image_that_somebody_shows_just_now_is_in_use(
    shop: Workshop, line: Line, place: Place, image: Image, ada: Viewer, is_deleted: bool
) -> None:
    """Its owner, who deletes it or no longer shares it, is told so."""
    change = parted(shop, ada, image, is_deleted=is_deleted, force=False)
    answers = await line.at(place.table, place.id, place.show(image), change)
    assert isinstance(answers[1], ImageInUse)
    assert (await left(shop, image), await place.shown()) == (image, image.id)


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_an_image_that_somebody_shows_just_now_is_taken_from_there_by_force(
    shop: Workshop, line: Line, place: Place, image: Image, ada: Viewer, is_deleted: bool
) -> None:
    """Also where it is shown for the second time."""
    await place.show(image)
    change = parted(shop, ada, image, is_deleted=is_deleted, force=True)
    answers = await line.at(image_table, image.id, place.show(image), change)
    assert not any(isinstance(answer, BaseException) for answer in answers)
    assert await left(shop, image) == (None if is_deleted else replace(image, is_public=False))
    assert await place.shown() is None


@pytest.mark.parametrize("was_shown", [False, True])
@pytest.mark.parametrize(("is_deleted", "refusal"), [(True, NotFound), (False, InvalidInput)])
async def test_an_image_that_goes_just_now_is_not_shown(
    shop: Workshop,
    line: Line,
    place: Place,
    image: Image,
    ada: Viewer,
    was_shown: bool,
    is_deleted: bool,
    refusal: type[Exception],
) -> None:
    """Whoever wants to show what is deleted or no longer public comes too late, also where it was shown before."""
    if was_shown:
        await place.show(image)
    change = parted(shop, ada, image, is_deleted=is_deleted, force=True)
    answers = await line.at(image_table, image.id, change, place.show(image))
    assert [isinstance(answer, BaseException) for answer in answers] == [False, True]
    assert isinstance(answers[1], refusal)
    assert await place.shown() is None


async def drawn(shop: Workshop, generation: Generation) -> list[Image]:
    """Both pictures of a generation that is about to end, in the library."""
    async with shop.unit_of_work() as work:
        await work.generations.add(generation)
        await work.commit()
    images = [await shop.drawn(generation, index) for index in range(2)]
    for index, image in enumerate(images):
        await shop.events.tell(generation, EventDraft(index=index, image_id=image.id), image)
    return images


async def test_what_a_generation_shows_at_its_end_is_in_use(
    shop: Workshop, line: Line, place: Place, ada: Viewer
) -> None:
    """Its owner, who removes it in the same moment, is told so."""
    generation = place.asked_for(ada)
    images = await drawn(shop, generation)
    answers = await line.at(place.table, place.id, shop.events.end(generation), shop.library.delete(ada, images[0].id))
    assert list(map(type, answers)) == [type(None), ImageInUse]
    assert await place.shown() == images[0].id
    assert (await shop.load(generation.id)).state is GenerationState.SUCCEEDED


async def test_a_generation_that_ends_shows_what_is_left(shop: Workshop, line: Line, place: Place, ada: Viewer) -> None:
    """The next picture, when the first one is removed in the same moment."""
    generation = place.asked_for(ada)
    images = await drawn(shop, generation)
    answers = await line.at(
        image_table, images[0].id, shop.library.delete(ada, images[0].id), shop.events.end(generation)
    )
    assert answers == [None, None]
    assert await place.shown() == images[1].id
    assert (await shop.load(generation.id)).state is GenerationState.SUCCEEDED


@pytest.mark.parametrize("held", ["image", "generation"])
async def test_a_place_goes_as_a_generation_ends_that_shows_something_there(
    shop: Workshop, line: Line, place: Place, ada: Viewer, held: str
) -> None:
    """Wherever both meet: each takes what is shown before the generation."""
    generation = place.asked_for(ada)
    images = await drawn(shop, generation)
    at = (image_table, images[0].id) if held == "image" else (generation_table, generation.id)
    assert await line.at(*at, shop.events.end(generation), place.remove()) == [None, None]
    assert (await shop.load(generation.id)).state is GenerationState.SUCCEEDED
    with pytest.raises(NotFound):
        await place.shown()


@pytest.mark.parametrize("held", ["image", "generation"])
async def test_the_image_a_generation_varies_goes_as_that_one_takes_its_place(
    shop: Workshop, line: Line, place: Place, ada: Viewer, image: Image, held: str
) -> None:
    """The new one is shown, and the old one is gone."""
    await place.show(image)
    generation = replace(place.asked_for(ada), parent_image_id=image.id)
    images = await drawn(shop, generation)
    at = (image_table, images[0].id) if held == "image" else (generation_table, generation.id)
    removed = shop.library.delete(ada, image.id, force=True)
    assert await line.at(*at, shop.events.end(generation), removed) == [None, None]
    assert (await left(shop, image), await place.shown()) == (None, images[0].id)
    assert (await shop.load(generation.id)).state is GenerationState.SUCCEEDED


async def test_what_is_told_as_a_generation_ends_counts(shop: Workshop, line: Line, ada: Viewer, image: Image) -> None:
    """The only picture, told of just before the end: it was made, so nothing failed."""
    generation = a_generation(ada.user)
    async with shop.unit_of_work() as work:
        await work.generations.add(generation)
        await work.commit()
    told = shop.events.tell(generation, EventDraft(index=0, image_id=image.id))
    answers = await line.at(generation_table, generation.id, told, shop.events.end(generation))
    assert answers == [None, None]
    assert (await shop.load(generation.id)).state is GenerationState.SUCCEEDED


@pytest.mark.parametrize("first", ["name", "limits"])
async def test_a_plan_gets_its_name_and_its_limits_at_once(
    shop: Workshop, line: Line, grace: Viewer, first: str
) -> None:
    """From two people: neither change is lost."""
    plan = await shop.quotas.create_plan(grace, "Old", [limit_of(1000)])
    changes = [
        shop.quotas.update_plan(grace, plan.id, name="New"),
        shop.quotas.update_plan(grace, plan.id, limits=[limit_of(5)]),
    ]
    await line.at(plan_table, plan.id, *(changes if first == "name" else reversed(changes)))
    async with shop.unit_of_work(read_only=True) as work:
        assert await work.plans.get(grace.user.community_id, plan.id) == replace(
            plan, name="New", limits=(limit_of(5),)
        )


async def test_a_plan_that_is_deleted_just_now_is_gone(shop: Workshop, line: Line, grace: Viewer) -> None:
    """Whoever wants to change it, or to delete it too, is told so."""
    plan = await shop.quotas.create_plan(grace, "Old", [limit_of(10)])
    answers = await line.at(
        plan_table,
        plan.id,
        shop.quotas.delete_plan(grace, plan.id),
        shop.quotas.update_plan(grace, plan.id, limits=[limit_of(5)]),
        shop.quotas.delete_plan(grace, plan.id),
    )
    assert list(map(type, answers)) == [type(None), NotFound, NotFound]


async def test_the_last_wizard_is_made_once(shop: Workshop, line: Line, grace: Viewer) -> None:
    """Of two who make one when there may be one more, the second is refused."""
    community_id = grace.user.community_id
    async with shop.unit_of_work() as work:
        for _ in range(MAX_WIZARDS - 1):
            await work.wizards.add(a_wizard(community_id))
        await work.commit()
    calls = [shop.wizards.create(grace, "Who I am") for _ in range(2)]
    _, second = await line.at(community_table, community_id, *calls)
    assert isinstance(second, LimitReached)
    async with shop.unit_of_work(read_only=True) as work:
        assert len(await work.wizards.list(community_id)) == MAX_WIZARDS


async def test_the_last_plan_is_made_once(shop: Workshop, line: Line, grace: Viewer) -> None:
    """The same with plans."""
    community_id = grace.user.community_id
    async with shop.unit_of_work() as work:
        for _ in range(MAX_PLANS - 1 - len(await work.plans.list(community_id))):
            await work.plans.add(a_plan(community_id))
        await work.commit()
    calls = [shop.quotas.create_plan(grace, "Small", []) for _ in range(2)]
    _, second = await line.at(community_table, community_id, *calls)
    assert isinstance(second, Conflict)
    async with shop.unit_of_work(read_only=True) as work:
        assert len(await work.plans.list(community_id)) == MAX_PLANS


async def test_the_last_profile_is_made_once(shop: Workshop, line: Line, ada: Viewer) -> None:
    """The same with the connection profiles of a user."""
    async with shop.unit_of_work() as work:
        for _ in range(MAX_PROFILES - 1):
            await work.connection_profiles.add(a_profile(ada.user))
        await work.commit()
    first, second = await line.at(user_account, ada.id, *(shop.profile(ada) for _ in range(2)))
    assert isinstance(first, ConnectionProfile)
    assert isinstance(second, LimitReached)
    assert len(await shop.profiles.list(ada)) == MAX_PROFILES


async def test_of_two_that_are_made_the_default_the_second_is(shop: Workshop, line: Line, ada: Viewer) -> None:
    """Neither call fails, and there are never two."""
    profiles = [await shop.profile(ada) for _ in range(2)]
    is_default = ProfileChange(is_default=True)
    await line.at(user_account, ada.id, *(shop.profiles.update(ada, each.id, is_default) for each in profiles))
    assert [each.id for each in await shop.profiles.list(ada) if each.is_default] == [profiles[1].id]


async def test_a_key_is_not_kept_for_an_address_that_came_just_now(shop: Workshop, line: Line, ada: Viewer) -> None:
    """Whoever gave it meant the address before."""
    kind = ProviderKind.OPENAI_COMPATIBLE
    profile = await shop.profile(ada, kind, None, base_url="https://one.example")
    moved, refused = await line.at(
        user_account,
        ada.id,
        shop.profiles.update(ada, profile.id, ProfileChange(base_url="https://two.example"), tried=False),
        shop.profiles.update(ada, profile.id, ProfileChange(api_key="k"), tried=False),
    )
    assert isinstance(refused, Conflict)
    assert await shop.profiles.list(ada) == [moved]


async def test_a_profile_that_is_deleted_just_now_does_not_come_back(shop: Workshop, line: Line, ada: Viewer) -> None:
    """Whoever wants to change it is told so."""
    profile = await shop.profile(ada)
    changed, deleted = await line.at(
        user_account,
        ada.id,
        shop.profiles.update(ada, profile.id, ProfileChange(name="Another")),
        shop.profiles.delete(ada, profile.id),
    )
    assert isinstance(changed, NotFound)
    assert deleted is None
    assert await shop.profiles.list(ada) == []


async def test_a_key_that_is_sealed_anew_is_not_put_back(shop: Workshop, line: Line, ada: Viewer) -> None:
    """Whoever renames the profile in that moment writes the key that is there by then."""
    profile = await shop.profile(ada)
    assert profile.sealed_key
    rotated, _ = await line.at(
        connection_profile,
        profile.id,
        reseal(shop, profile.id, profile.sealed_key, "sealed anew"),
        shop.profiles.update(ada, profile.id, ProfileChange(name="Renamed")),
    )
    assert rotated is True
    assert await shop.profiles.list(ada) == [replace(profile, name="Renamed", sealed_key="sealed anew")]


async def reseal(shop: Workshop, id: UUID, before: str, sealed_key: str) -> bool:
    """Replace a key as the rotation of master keys does."""
    async with shop.unit_of_work() as work:
        is_swapped = await work.connection_profiles.reseal(id, before, sealed_key)
        await work.commit()
    return is_swapped


@pytest.mark.parametrize("held", [0, 1])
async def test_two_slots_swap_their_pictures(shop: Workshop, line: Line, ada: Viewer, held: int) -> None:
    """Whichever picture both meet at first: one waits for the other, and both pictures are there in the end."""
    slots = [await shop.slots.create(ada, file=a_photo(side, 30)) for side in (40, 50)]
    keys = [slot.picture.key for slot in slots if slot.picture]
    calls = [shop.slots.upload(ada, slot.id, a_photo(side, 30)) for slot, side in zip(slots, (50, 40), strict=True)]
    await line.at(stored_picture, keys[held], *(calls if held else reversed(calls)))
    pictures = [slot.picture for slot in await shop.references(ada) if slot.picture]
    assert [picture.width_px for picture in pictures] == [50, 40]
    assert set(shop.store.objects) == {key for picture in pictures for key in picture.keys}
