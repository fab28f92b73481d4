"""From a profile to a provider: whose key is used, where it opens, and who lets go of what."""

from dataclasses import replace
from uuid import uuid4

import pytest

from domain.connection_profiles import ProfileChange
from domain.provider_access import KEY_UNREADABLE
from domain.providers import Access, ProviderKind
from domain.users import Viewer
from tests.workshop import KEY, Workshop

OPENAI, COMPATIBLE = ProviderKind.OPENAI, ProviderKind.OPENAI_COMPATIBLE
HERE, THERE = "https://one.example/v1", "https://two.example/v1"


async def test_without_a_profile_it_is_the_servers_own(shop: Workshop) -> None:
    """Which goes on being used by others."""
    async with shop.access.lend(OPENAI, None) as provider:
        assert provider is shop.other
    assert shop.other.let_go == 0
    assert shop.vendors.connected == []


async def test_a_profile_leads_to_its_own_address_with_its_own_key(shop: Workshop, viewer: Viewer) -> None:
    """It is not trusted with any address, as the server's own settings are; afterwards it is let go of."""
    profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
    async with shop.access.lend(COMPATIBLE, profile) as provider:
        assert provider is shop.vendors.of(COMPATIBLE, KEY)
        assert shop.vendors.of(COMPATIBLE, KEY).let_go == 0
    assert shop.vendors.connected == [(COMPATIBLE, Access(KEY, HERE, is_trusted=False))]
    assert shop.vendors.of(COMPATIBLE, KEY).let_go == 1


async def test_it_is_let_go_of_whatever_happens(shop: Workshop, viewer: Viewer) -> None:
    """Also when the work with it goes wrong."""
    profile = await shop.profile(viewer)
    with pytest.raises(RuntimeError, match=r"^broken$"):
        async with shop.access.lend(OPENAI, profile):
            raise RuntimeError("broken")
    assert shop.vendors.of(OPENAI, KEY).let_go == 1


async def test_what_can_not_be_let_go_of_spoils_nothing(shop: Workshop, viewer: Viewer) -> None:
    """The answer has been heard by then, and may have been paid."""
    profile = await shop.profile(viewer)
    shop.vendors.of(OPENAI, KEY).sticks = True
    async with shop.access.lend(OPENAI, profile) as provider:
        answer = await provider.check()
    assert answer
    assert shop.vendors.of(OPENAI, KEY).let_go == 1


@pytest.mark.parametrize("kind", [OPENAI, COMPATIBLE])
async def test_a_key_that_does_not_open_makes_its_profile_useless(
    shop: Workshop, viewer: Viewer, kind: ProviderKind
) -> None:
    """Where a key is needed and where none is: it needs its key again, and the server's own access is not used."""
    profile = await shop.profile(viewer, kind, base_url=HERE if kind is COMPATIBLE else None)
    assert (shop.access.needs_key(profile), shop.access.problem_of(profile)) == (False, None)
    shop.vault.masters = ["second"]
    assert (shop.access.needs_key(profile), shop.access.problem_of(profile)) == (True, KEY_UNREADABLE)
    async with shop.access.lend(kind, profile) as provider:
        assert provider is not shop.own[kind]


async def test_a_profile_without_a_key_needs_one_where_the_provider_does(shop: Workshop, viewer: Viewer) -> None:
    """Its problem is the provider's to tell."""
    bare = await shop.profile(viewer, OPENAI, None)
    assert (shop.access.needs_key(bare), shop.access.problem_of(bare)) == (True, "No API key is set for Openai.")
    open_to_all = await shop.profile(viewer, COMPATIBLE, None, base_url=HERE)
    assert (shop.access.needs_key(open_to_all), shop.access.problem_of(open_to_all)) == (False, None)


async def test_a_sealed_key_opens_in_its_own_profile_alone(shop: Workshop, viewer: Viewer) -> None:
    """Whoever can write to the database can't send it to another address, or make it somebody else's."""
    profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
    for moved in (
        replace(profile, base_url=THERE),
        replace(profile, base_url=None),
        replace(profile, provider=OPENAI),
        replace(profile, user_id=uuid4()),
        replace(profile, id=uuid4()),
    ):
        assert shop.access.problem_of(moved) == KEY_UNREADABLE
    renamed = replace(profile, name="Another", model="brush-2", is_default=True)
    assert shop.access.problem_of(renamed) is None


async def test_nothing_prints_a_key(shop: Workshop, viewer: Viewer) -> None:
    """Neither as it is nor sealed: what is printed gets into logs."""
    profile = await shop.profile(viewer)
    assert profile.sealed_key
    printed = repr([profile, ProfileChange(api_key=KEY), Access(KEY)])
    assert KEY not in printed
    assert profile.sealed_key not in printed
