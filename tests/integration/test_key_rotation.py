"""Rotating the master key of a server at work: nobody notices, and afterwards the old one isn't needed."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from domain.connection_profiles import ConnectionProfile, ProfileChange
from domain.generations import GenerationState
from domain.key_rotation import KeyRotation, Rotated, SealedKeys
from domain.providers import ProviderKind
from domain.repositories import UnitOfWorkFactory
from domain.users import Community, Viewer
from domain.wishes import GenerateImage
from storage.database.databases import Database
from storage.database.tables import connection_profile, user_account
from storage.vault import AesVault, new_master_key, parse_master_keys
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.rows import NOW, a_profile, a_user, stored_community
from tests.workshop import Workshop

ROOT = Path(__file__).parents[2]
USERS, PROFILES_EACH = 100, 100
AT_ONCE = 6
OLD, NEW = b"1" * 32, b"2" * 32
BEFORE, DURING, AFTERWARDS = AesVault({"old": OLD}), AesVault({"new": NEW, "old": OLD}), AesVault({"new": NEW})


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def shop(unit_of_work: UnitOfWorkFactory) -> Workshop:
    """What makes pictures, on a server that has both master keys already."""
    clock = FakeClock(NOW)
    shop = Workshop(UnluckyUnitOfWork(unit_of_work), FakeObjectStore(clock), clock)
    shop.access.vault = DURING
    return shop


@dataclass(frozen=True, slots=True)
class Owned:
    """A profile, whose it is, and the key it begins with."""

    viewer: Viewer
    profile: ConnectionProfile

    @property
    def key(self) -> str:
        """No two profiles have the same."""
        return f"sk-{self.profile.id}"


def many_profiles(database: Database, community: Community) -> list[Owned]:
    """As many people as there are profiles of each, in the database, with keys that the old master key sealed."""
    viewers = [Viewer(a_user(community)) for _ in range(USERS)]
    every = [Owned(viewer, a_profile(viewer.user)) for viewer in viewers for _ in range(PROFILES_EACH)]
    sealed = [
        replace(each.profile, sealed_key=BEFORE.seal(each.key, each.profile.key_binding), key_hint=each.key[-4:])
        for each in every
    ]
    users = sa.insert(user_account), [_values(user_account, viewer.user) for viewer in viewers]
    profiles = sa.insert(connection_profile), [_values(connection_profile, profile) for profile in sealed]
    with database.sync_engine().begin() as connection:
        for statement, rows in (users, profiles):
            connection.execute(statement, rows)
    return every


def _values(table: sa.Table, row: object) -> dict[str, object]:
    return {column.name: getattr(row, column.name, None) for column in table.c}


async def make_a_picture(shop: Workshop, owned: Owned, key: str) -> None:
    """A generation by the profile, for which the provider is called once, with the right key."""
    prompt = f"House {uuid4()}"
    asked = await shop.requests.ask(owned.viewer, GenerateImage(prompt=prompt, profile_id=owned.profile.id))
    made = await shop.run(asked)
    assert (made.state, made.failures) == (GenerationState.SUCCEEDED, ())
    assert [request.prompt for request in shop.vendors.of(ProviderKind.OPENAI, key).requests].count(prompt) == 1
    assert len(await shop.attempts(made)) == 1


async def test_ten_thousand_keys_are_rotated_while_generations_run(
    shop: Workshop, unit_of_work: UnitOfWorkFactory, database: Database
) -> None:
    """Every call has the key that its owner gave last, nothing fails, and the new master key alone opens every key."""
    every = many_profiles(database, await stored_community(unit_of_work))
    expected = {owned.profile.id: owned.key for owned in every}
    rotation = KeyRotation(unit_of_work, DURING)
    assert await rotation.status() == SealedKeys(current=0, older=len(every), unreadable=0)
    rotating = asyncio.create_task(rotation.run())
    busy = iter(every)

    async def be_busy() -> None:
        while not rotating.done():
            owned = next(busy)
            await shop.profiles.update(owned.viewer, owned.profile.id, ProfileChange(name="Renamed"), tried=False)
            await make_a_picture(shop, owned, owned.key)
            changed = expected[owned.profile.id] = f"{owned.key}-changed"
            await shop.profiles.update(owned.viewer, owned.profile.id, ProfileChange(api_key=changed), tried=False)
            await make_a_picture(shop, owned, changed)

    await asyncio.gather(*(be_busy() for _ in range(AT_ONCE)))
    rotated = await rotating
    assert rotated.resealed + rotated.skipped_current == len(every)
    assert (rotated.resealed > len(every) / 2, rotated.unreadable) == (True, 0)
    assert sum(key.endswith("changed") for key in expected.values()) >= AT_ONCE
    assert await KeyRotation(unit_of_work, AFTERWARDS).status() == SealedKeys(len(every), older=0, unreadable=0)
    async with unit_of_work(read_only=True) as work:
        found = await work.connection_profiles.keys(None, len(every))
    opened = {profile.id: AFTERWARDS.open(profile.sealed_key or "", profile.key_binding) for profile in found}
    assert opened == expected
    assert await rotation.run() == Rotated(resealed=0, skipped_current=len(every), unreadable=0)


def command(database_url: str, folder: Path, master_keys: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the commands about keys, as an operator does."""
    environ = {
        "PATH": os.environ["PATH"],
        "ATELIER_DATA_DIR": str(folder),
        "DATABASE_URL": database_url,
        "SECRET_KEY": "k" * 32,
        "MASTER_KEYS": master_keys,
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "keys", *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_operator_rotates_by_command(
    unit_of_work: UnitOfWorkFactory, database_url: str, tmp_path: Path
) -> None:
    """A new master key is printed, put first, and told when it is the only one that is needed; no key is ever shown."""
    community = await stored_community(unit_of_work)
    user = a_user(community)
    old = new_master_key("old")
    profiles = [a_profile(user) for _ in range(3)]
    async with unit_of_work() as work:
        await work.users.add(user, None)
        for profile, master_key in zip(profiles, (old, old, new_master_key("lost")), strict=True):
            vault = AesVault(parse_master_keys(master_key))
            sealed = replace(profile, sealed_key=vault.seal("sk-nobodys", profile.key_binding))
            await work.connection_profiles.add(sealed)
        await work.commit()

    async def told(master_keys: str, *arguments: str) -> str:
        done = await asyncio.to_thread(command, database_url, tmp_path, master_keys, *arguments)
        assert done.returncode == 0, done.stderr
        assert "sk-nobodys" not in done.stdout + done.stderr
        return done.stdout

    new = (await told("", "new", "2026a")).strip()
    assert list(parse_master_keys(new)) == ["2026a"]
    both = f"{new},{old}"
    assert await told(both, "status") == (
        "Sealed with the first master key: 0. With another: 2.\nCan't be opened: 1.\n"
    )
    assert await told(both, "rotate") == "Sealed anew: 2. Left as they were: 0.\nCan't be opened: 1.\n"
    assert await told(new, "status") == ("Sealed with the first master key: 2. With another: 0.\nCan't be opened: 1.\n")
    refused = await asyncio.to_thread(command, database_url, tmp_path, "", "new", "a:b")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert (
        refused.stderr == "That can't be a key's id: the id must be 1 to 32 letters, digits, hyphens or underscores.\n"
    )
