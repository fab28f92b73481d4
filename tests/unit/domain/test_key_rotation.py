"""Rotating master keys: what is sealed anew, what stays, and what is told of it."""

from dataclasses import replace

import pytest

from domain.connection_profiles import ConnectionProfile
from domain.key_rotation import KeyRotation, Rotated, SealedKeys
from domain.repositories import UnitOfWorkFactory
from domain.users import Viewer
from tests.fakes.mishaps import WORKS, UnluckyUnitOfWork
from tests.fakes.vault import FakeVault
from tests.rows import a_profile

OLD, BOTH, NEW, LOST = FakeVault("old"), FakeVault("new", "old"), FakeVault("new"), FakeVault("lost")


def sealed_by(vault: FakeVault, viewer: Viewer) -> ConnectionProfile:
    """A profile of the viewer's, called as its key."""
    profile = a_profile(viewer.user)
    key = f"sk-{profile.id}"
    return replace(profile, name=key, sealed_key=vault.seal(key, profile.key_binding))


async def stored(unit_of_work: UnitOfWorkFactory, *profiles: ConnectionProfile) -> None:
    """Store profiles together."""
    async with unit_of_work() as work:
        for profile in profiles:
            await work.connection_profiles.add(profile)
        await work.commit()


async def profiles_of(unit_of_work: UnitOfWorkFactory, viewer: Viewer) -> dict[str, ConnectionProfile]:
    """The viewer's profiles by their names."""
    async with unit_of_work(read_only=True) as work:
        return {profile.name: profile for profile in await work.connection_profiles.of_user(viewer.id)}


@pytest.mark.parametrize("batch", [1, 3, 500])
async def test_older_keys_are_sealed_anew_and_all_others_stay(
    unlucky: UnluckyUnitOfWork, viewer: Viewer, batch: int
) -> None:
    """Whatever the size of a batch each is looked at once; the new master key alone opens what could be opened."""
    older = [sealed_by(OLD, viewer) for _ in range(5)]
    current = [sealed_by(NEW, viewer) for _ in range(3)]
    unreadable = [sealed_by(LOST, viewer) for _ in range(2)]
    keyless = a_profile(viewer.user, sealed_key=None, key_hint=None)
    every = [*older, *current, *unreadable, keyless]
    await stored(unlucky, *every)
    rotation = KeyRotation(unlucky, BOTH)
    assert await rotation.status(batch) == SealedKeys(current=3, older=5, unreadable=2)
    assert await rotation.run(batch) == Rotated(resealed=5, skipped_current=3, unreadable=2)
    found = await profiles_of(unlucky, viewer)
    for profile in (*older, *current):
        assert NEW.open(found[profile.name].sealed_key or "", profile.key_binding) == profile.name
    for profile in every:
        expected = replace(profile, sealed_key=found[profile.name].sealed_key) if profile in older else profile
        assert found[profile.name] == expected
    assert await rotation.status(batch) == SealedKeys(current=8, older=0, unreadable=2)
    assert await rotation.run(batch) == Rotated(resealed=0, skipped_current=8, unreadable=2)


async def test_without_any_key_there_is_nothing_to_do(unlucky: UnluckyUnitOfWork, viewer: Viewer) -> None:
    """A profile without one is none of its business."""
    await stored(unlucky, a_profile(viewer.user, sealed_key=None, key_hint=None))
    assert await KeyRotation(unlucky, BOTH).run() == Rotated(0, 0, 0)
    assert await KeyRotation(unlucky, BOTH).status() == SealedKeys(0, 0, 0)


async def test_a_key_that_its_owner_changed_meanwhile_is_left_alone(unlucky: UnluckyUnitOfWork, viewer: Viewer) -> None:
    """It was read before, and is another when it comes to swapping: the owner's word counts."""
    profile = sealed_by(OLD, viewer)
    changed = replace(profile, sealed_key=NEW.seal("sk-changed", profile.key_binding))
    await stored(unlucky, changed)
    unlucky.mishaps["connection_profiles.keys"] = [[profile]]
    assert await KeyRotation(unlucky, BOTH).run() == Rotated(resealed=0, skipped_current=1, unreadable=0)
    assert await profiles_of(unlucky, viewer) == {changed.name: changed}


async def test_a_rotation_that_was_broken_off_is_run_again(unlucky: UnluckyUnitOfWork, viewer: Viewer) -> None:
    """What was done by then stays done, a batch whole or not at all."""
    await stored(unlucky, *(sealed_by(OLD, viewer) for _ in range(6)))
    # In the second batch, after its first key.
    unlucky.mishaps["connection_profiles.reseal"] = [WORKS, WORKS, WORKS, ConnectionError("gone")]
    rotation = KeyRotation(unlucky, BOTH)
    with pytest.raises(ConnectionError):
        await rotation.run(batch=2)
    assert await rotation.status() == SealedKeys(current=2, older=4, unreadable=0)
    assert await rotation.run(batch=2) == Rotated(resealed=4, skipped_current=2, unreadable=0)
