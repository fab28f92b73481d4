"""What the tests of the rules share: people, a store in memory, tiny pictures, and the real SQLite database."""

import pytest

from domain.picture_store import PictureStore
from domain.pictures import PictureLimits
from domain.provider_calls import CallLimits
from domain.repositories import UnitOfWorkFactory
from domain.users import Community, Role, Viewer
from storage.imaging import PillowImaging
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.rows import NOW, stored_community, stored_viewer
from tests.workshop import Workshop


@pytest.fixture
def clock() -> FakeClock:
    """A clock an hour after everything was stored."""
    clock = FakeClock(NOW)
    clock.advance(3600)
    return clock


@pytest.fixture
def store(clock: FakeClock) -> FakeObjectStore:
    """An object store in memory."""
    return FakeObjectStore(clock)


@pytest.fixture
def pictures(unlucky: UnluckyUnitOfWork, store: FakeObjectStore, clock: FakeClock) -> PictureStore:
    """Pictures of at most 100 kB."""
    limits = PictureLimits(max_bytes=100_000, max_pixels=1_000_000)
    return PictureStore(unlucky, store, PillowImaging(), limits, clock)


@pytest.fixture
def unlucky(unit_of_work: UnitOfWorkFactory) -> UnluckyUnitOfWork:
    """The same database, where calls can be made to go wrong."""
    return UnluckyUnitOfWork(unit_of_work)


@pytest.fixture
async def community(unit_of_work: UnitOfWorkFactory) -> Community:
    """A community."""
    return await stored_community(unit_of_work)


@pytest.fixture
async def viewer(unit_of_work: UnitOfWorkFactory, community: Community) -> Viewer:
    """A member, Ada."""
    return await stored_viewer(unit_of_work, community)


@pytest.fixture
async def admin(unit_of_work: UnitOfWorkFactory, community: Community) -> Viewer:
    """An admin of the same community."""
    return await stored_viewer(unit_of_work, community, role=Role.ADMIN, name="Grace")


@pytest.fixture
async def stranger(unit_of_work: UnitOfWorkFactory) -> Viewer:
    """An admin of another community."""
    return await stored_viewer(unit_of_work, role=Role.ADMIN, name="Eve")


@pytest.fixture
def shop(unlucky: UnluckyUnitOfWork, store: FakeObjectStore, clock: FakeClock) -> Workshop:
    """Everything that makes pictures."""
    return Workshop(unlucky, store, clock)


@pytest.fixture
def daring(unlucky: UnluckyUnitOfWork, store: FakeObjectStore, clock: FakeClock) -> Workshop:
    """The same, where a call is made once more though the first may have been paid for."""
    return Workshop(unlucky, store, clock, CallLimits(timeout_s=5.0, repeats_unknown=True))
