"""The contract of the profiles' repository: always one user's, one default, and keys that are swapped, not overwritten."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from domain.connection_profiles import ConnectionProfile
from domain.providers import ProviderKind
from domain.repositories import UnitOfWorkFactory
from domain.users import Viewer
from tests.rows import a_profile, after, stored_community, stored_viewer


async def stored(unit_of_work: UnitOfWorkFactory, *profiles: ConnectionProfile) -> None:
    """Store profiles together."""
    async with unit_of_work() as work:
        for profile in profiles:
            await work.connection_profiles.add(profile)
        await work.commit()


async def profiles_of(unit_of_work: UnitOfWorkFactory, viewer: Viewer) -> list[ConnectionProfile]:
    """The viewer's profiles."""
    async with unit_of_work(read_only=True) as work:
        return list(await work.connection_profiles.of_user(viewer.id))


async def reseal(unit_of_work: UnitOfWorkFactory, id: UUID, before: str, sealed_key: str) -> bool:
    """Reseal in a unit of work of its own."""
    async with unit_of_work() as work:
        is_swapped = await work.connection_profiles.reseal(id, before, sealed_key)
        await work.commit()
    return is_swapped


async def test_a_profile_comes_back_as_stored(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field, filled in and empty; the oldest first, and nobody else's."""
    viewer = await stored_viewer(unit_of_work)
    full = a_profile(
        viewer.user,
        provider=ProviderKind.OPENAI_COMPATIBLE,
        base_url="https://images.example.org/v1",
        model="sdxl",
        is_default=True,
        created_at=after(1),
        last_used_at=after(2),
    )
    bare = a_profile(viewer.user, provider=ProviderKind.OLLAMA, sealed_key=None, key_hint=None)
    neighbour = await stored_viewer(unit_of_work, await stored_community(unit_of_work, "Byron"))
    await stored(unit_of_work, full, bare, a_profile(neighbour.user))
    assert await profiles_of(unit_of_work, viewer) == [bare, full]
    async with unit_of_work() as work:
        assert await work.connection_profiles.of_user(viewer.id, for_update=True) == [bare, full]


async def test_a_profile_is_found_for_its_user_alone(unit_of_work: UnitOfWorkFactory) -> None:
    """Whoever else names its id finds nothing, in the same community too."""
    viewer = await stored_viewer(unit_of_work)
    community = await stored_community(unit_of_work)
    other = await stored_viewer(unit_of_work, community)
    mine, theirs = a_profile(viewer.user), a_profile(other.user)
    await stored(unit_of_work, mine, theirs)
    async with unit_of_work(read_only=True) as work:
        asked = [mine.id, theirs.id, uuid4()]
        assert await work.connection_profiles.of_user_by_ids(viewer.id, asked) == [mine]
        assert await work.connection_profiles.of_user_by_ids(other.id, asked) == [theirs]
        assert await work.connection_profiles.of_user_by_ids(viewer.id, []) == []


async def test_a_profile_is_changed_and_removed_by_itself(unit_of_work: UnitOfWorkFactory) -> None:
    """Every value but whose it is, of which provider, and when it was made and used; the one beside it stays."""
    viewer = await stored_viewer(unit_of_work)
    profile, other = a_profile(viewer.user), a_profile(viewer.user, created_at=after(1))
    await stored(unit_of_work, profile, other)
    changed = replace(
        profile,
        name="Renamed",
        base_url="https://images.example.org",
        model="gpt-image-2",
        sealed_key="sealed again",
        key_hint="6789",
        is_default=True,
    )
    async with unit_of_work() as work:
        await work.connection_profiles.used(profile.id, after(5))
        await work.connection_profiles.used(uuid4(), after(5))
        await work.connection_profiles.update(replace(changed, created_at=after(9), last_used_at=None))
        await work.commit()
    changed = replace(changed, last_used_at=after(5))
    assert await profiles_of(unit_of_work, viewer) == [changed, other]
    async with unit_of_work() as work:
        await work.connection_profiles.delete(other.id)
        await work.connection_profiles.update(replace(changed, sealed_key=None, key_hint=None))
        await work.commit()
    assert await profiles_of(unit_of_work, viewer) == [replace(changed, sealed_key=None, key_hint=None)]


async def test_a_user_has_one_default(unit_of_work: UnitOfWorkFactory) -> None:
    """A second one is refused, however it comes; where the first ends being so, another may be; others have theirs."""
    viewer, other = await stored_viewer(unit_of_work), await stored_viewer(unit_of_work)
    default = a_profile(viewer.user, is_default=True)
    second = a_profile(viewer.user, created_at=after(1))
    await stored(unit_of_work, default, second, a_profile(other.user, is_default=True))
    with pytest.raises(IntegrityError):
        await stored(unit_of_work, a_profile(viewer.user, is_default=True))
    async with unit_of_work() as work:
        with pytest.raises(IntegrityError):
            await work.connection_profiles.update(replace(second, is_default=True))
    async with unit_of_work() as work:
        await work.connection_profiles.end_default(viewer.id)
        await work.connection_profiles.update(replace(second, is_default=True))
        await work.commit()
    found = await profiles_of(unit_of_work, viewer)
    assert [profile.is_default for profile in found] == [False, True]
    assert [profile.is_default for profile in await profiles_of(unit_of_work, other)] == [True]


async def test_no_hint_outlives_its_key(unit_of_work: UnitOfWorkFactory) -> None:
    """The database refuses what would show the end of a key that is gone."""
    viewer = await stored_viewer(unit_of_work)
    with pytest.raises(IntegrityError):
        await stored(unit_of_work, a_profile(viewer.user, sealed_key=None))


async def test_who_locks_a_users_profiles_goes_alone(unit_of_work: UnitOfWorkFactory) -> None:
    """Of many at once who add a profile while there are fewer than three, three do; on none to begin with."""
    viewer = await stored_viewer(unit_of_work)

    async def add_another() -> None:
        async with unit_of_work() as work:
            others = await work.connection_profiles.of_user(viewer.id, for_update=True)
            if len(others) < 3:
                await work.connection_profiles.add(a_profile(viewer.user))
            await work.commit()

    await asyncio.gather(*(add_another() for _ in range(10)))
    assert len(await profiles_of(unit_of_work, viewer)) == 3


async def test_keys_of_everybody_are_walked_in_the_order_of_ids(unit_of_work: UnitOfWorkFactory) -> None:
    """A few at a time, each once; profiles without a key are passed by."""
    viewers = [await stored_viewer(unit_of_work) for _ in range(3)]
    profiles = [a_profile(viewer.user) for viewer in viewers for _ in range(3)]
    keyless = [a_profile(viewer.user, sealed_key=None, key_hint=None) for viewer in viewers]
    await stored(unit_of_work, *profiles, *keyless)
    expected = sorted(profiles, key=lambda profile: profile.id)
    async with unit_of_work(read_only=True) as work:
        assert await work.connection_profiles.keys(None, 4) == expected[:4]
        assert await work.connection_profiles.keys(expected[3].id, 4) == expected[4:8]
        assert await work.connection_profiles.keys(expected[7].id, 4) == expected[8:]
        assert await work.connection_profiles.keys(expected[8].id, 4) == []


async def test_a_key_is_swapped_for_the_one_it_was_read_as(unit_of_work: UnitOfWorkFactory) -> None:
    """Not for one that its owner gave meanwhile, nor where it or the profile is gone; nothing else changes."""
    viewer = await stored_viewer(unit_of_work)
    profile = a_profile(viewer.user, sealed_key="old")
    keyless = a_profile(viewer.user, sealed_key=None, key_hint=None, created_at=after(1))
    await stored(unit_of_work, profile, keyless)
    assert await reseal(unit_of_work, profile.id, "old", "new")
    assert not await reseal(unit_of_work, profile.id, "old", "newer")
    assert not await reseal(unit_of_work, keyless.id, "old", "new")
    assert not await reseal(unit_of_work, uuid4(), "old", "new")
    assert await profiles_of(unit_of_work, viewer) == [replace(profile, sealed_key="new"), keyless]


async def test_a_key_sealed_anew_is_not_put_back_by_a_change_of_the_name(unit_of_work: UnitOfWorkFactory) -> None:
    """Who reads a profile to change it holds it until then: the key is swapped afterwards, and stays so."""
    viewer = await stored_viewer(unit_of_work)
    profile = a_profile(viewer.user, sealed_key="old")
    await stored(unit_of_work, profile)
    async with unit_of_work() as work:
        await work.connection_profiles.of_user(viewer.id, for_update=True)
        (found,) = await work.connection_profiles.of_user_by_ids(viewer.id, [profile.id])
        swapping = asyncio.create_task(reseal(unit_of_work, profile.id, "old", "new"))
        await asyncio.wait([swapping], timeout=0.2)
        await work.connection_profiles.update(replace(found, name="Renamed"))
        await work.commit()
    assert await swapping
    assert await profiles_of(unit_of_work, viewer) == [replace(profile, name="Renamed", sealed_key="new")]


async def test_who_seals_many_keys_anew_and_who_changes_one_never_wait_in_a_circle(
    unit_of_work: UnitOfWorkFactory,
) -> None:
    """Both take profiles in the order of their ids, whatever order they are listed in."""
    viewer = await stored_viewer(unit_of_work)
    low, high = sorted(uuid4() for _ in range(2))
    profiles = [a_profile(viewer.user, id=high), a_profile(viewer.user, id=low, created_at=after(1))]
    await stored(unit_of_work, *profiles)

    async def change() -> None:
        async with unit_of_work() as work:
            found = await work.connection_profiles.of_user(viewer.id, for_update=True)
            await work.connection_profiles.update(replace(found[0], name="Renamed"))
            await work.commit()

    async with unit_of_work() as work:
        assert await work.connection_profiles.reseal(low, "sealed", "new")
        changing = asyncio.create_task(change())
        await asyncio.wait([changing], timeout=0.2)
        assert await work.connection_profiles.reseal(high, "sealed", "new")
        await work.commit()
    await changing
    found = await profiles_of(unit_of_work, viewer)
    assert [(profile.name, profile.sealed_key) for profile in found] == [("Renamed", "new"), ("Mine", "new")]
