"""Connection profiles: who makes, changes and tries them, and that a key never goes where it wasn't meant to go."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.connection_profiles import MAX_PROFILES, ConnectionProfile, ProfileChange
from domain.errors import Conflict, InvalidInput, LimitReached, NotFound, ProviderUnusable
from domain.provider_access import KEY_UNREADABLE
from domain.providers import Access, ProviderKind
from domain.users import Community, Viewer
from tests.rows import stored_viewer
from tests.workshop import KEY, Workshop

OPENAI, GEMINI = ProviderKind.OPENAI, ProviderKind.GEMINI
COMPATIBLE, ANTHROPIC = ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC
HERE, THERE = "https://one.example/v1", "https://two.example/v1"
OTHER_KEY = "another-key-9876"
MINE = ProfileChange(name="Mine", api_key=KEY)


async def stored(shop: Workshop, viewer: Viewer) -> list[ConnectionProfile]:
    """The viewer's profiles as the database has them."""
    async with shop.unit_of_work(read_only=True) as work:
        return list(await work.connection_profiles.of_user(viewer.id))


async def defaults(shop: Workshop, viewer: Viewer) -> set[UUID]:
    """Which of the viewer's profiles are the default."""
    return {profile.id for profile in await stored(shop, viewer) if profile.is_default}


async def changed(shop: Workshop, viewer: Viewer, profile: ConnectionProfile, **said: Any) -> ConnectionProfile:
    """The profile after a change that isn't tried."""
    return await shop.profiles.update(viewer, profile.id, ProfileChange(**said), tried=False)


def opened(shop: Workshop, profile: ConnectionProfile) -> str | None:
    """The profile's key."""
    return shop.vault.open(profile.sealed_key, profile.key_binding) if profile.sealed_key else None


@pytest.fixture
async def bob(shop: Workshop, community: Community) -> Viewer:
    """Another member of the community."""
    return await stored_viewer(shop.unit_of_work, community, name="Bob")


@pytest.fixture
async def operator(shop: Workshop, community: Community) -> Viewer:
    """Who runs the server."""
    return await stored_viewer(shop.unit_of_work, community, is_operator=True)


class TestMaking:
    """New profiles."""

    async def test_it_is_stored_with_its_key_sealed(self, shop: Workshop, viewer: Viewer) -> None:
        """Of the key, four characters are shown."""
        wanted = ProfileChange(name=" Mine ", api_key=f" {KEY}\n", model=" brush-2 ", base_url=f" {HERE}/ ")
        made = await shop.profiles.create(viewer, COMPATIBLE, wanted)
        assert made == ConnectionProfile(
            id=made.id,
            community_id=viewer.user.community_id,
            user_id=viewer.id,
            name="Mine",
            provider=COMPATIBLE,
            base_url=HERE,
            model="brush-2",
            sealed_key=made.sealed_key,
            key_hint="tail",
            is_default=False,
            created_at=shop.clock.time,
            last_used_at=None,
        )
        assert await stored(shop, viewer) == [made]
        assert made.sealed_key
        assert KEY not in made.sealed_key
        assert opened(shop, made) == KEY

    @pytest.mark.parametrize(("key", "hint"), [("k" * 8 + "tail", "tail"), ("k" * 7 + "tail", None), ("k", None)])
    async def test_a_short_key_shows_nothing_of_itself(
        self, shop: Workshop, viewer: Viewer, key: str, hint: str | None
    ) -> None:
        """Its last characters would be too much of it."""
        assert (await shop.profile(viewer, key=key)).key_hint == hint

    @pytest.mark.parametrize("key", ["two words", " ", "sk-\nline", "sk-\ttab", "sk-\x00", "schlüssel", "k" * 4001])
    async def test_what_is_no_key_is_refused(self, shop: Workshop, viewer: Viewer, key: str) -> None:
        """Without repeating it: it may be a key with something pasted beside it."""
        with pytest.raises(InvalidInput, match=r"^That is not an API key$") as caught:
            await shop.profiles.create(viewer, OPENAI, replace(MINE, api_key=key), tried=False)
        assert [problem.path for problem in caught.value.problems] == [("apiKey",)]
        assert await stored(shop, viewer) == []
        assert (await shop.profile(viewer, key="k" * 4000)).key_hint == "kkkk"

    @pytest.mark.parametrize("name", [None, "", "  ", "x" * 256])
    async def test_it_needs_a_name(self, shop: Workshop, viewer: Viewer, name: str | None) -> None:
        """Of up to 255 characters."""
        with pytest.raises(InvalidInput, match=r"^Name must be 1 to 255 characters$"):
            await shop.profiles.create(viewer, OPENAI, replace(MINE, name=name))
        assert shop.vendors.of(OPENAI, KEY).checked == 0

    @pytest.mark.parametrize("model", ["x" * 129, "../x", "a\nb", "a?b", "-x"])
    async def test_a_models_name_is_one(self, shop: Workshop, viewer: Viewer, model: str) -> None:
        """An empty one is none."""
        with pytest.raises(InvalidInput, match=r"^That is not the name of a model$"):
            await shop.profile(viewer, model=model)
        assert (await shop.profile(viewer, model="x" * 128)).model == "x" * 128
        assert (await shop.profile(viewer, model=" ")).model is None

    async def test_there_is_room_for_a_hundred(self, shop: Workshop, viewer: Viewer, bob: Viewer) -> None:
        """For each user."""
        first = await shop.profile(viewer)
        async with shop.unit_of_work() as work:
            for _ in range(MAX_PROFILES - 2):
                await work.connection_profiles.add(replace(first, id=uuid4()))
            await work.commit()
        await shop.profile(viewer)
        with pytest.raises(LimitReached, match=r"^Maximum 100 connection profiles allowed$") as caught:
            await shop.profile(viewer)
        assert caught.value.limit == 100
        assert len(await stored(shop, viewer)) == 100
        await shop.profile(bob)

    async def test_the_last_one_is_made_once(self, shop: Workshop, viewer: Viewer) -> None:
        """However many ask for it at the same time."""
        first = await shop.profile(viewer)
        async with shop.unit_of_work() as work:
            for _ in range(MAX_PROFILES - 2):
                await work.connection_profiles.add(replace(first, id=uuid4()))
            await work.commit()
        answers = await asyncio.gather(*(shop.profile(viewer) for _ in range(4)), return_exceptions=True)
        assert sum(isinstance(answer, LimitReached) for answer in answers) == 3
        assert len(await stored(shop, viewer)) == 100

    async def test_a_server_without_master_keys_keeps_none(self, shop: Workshop, viewer: Viewer) -> None:
        """What needs none can be kept all the same."""
        shop.vault.masters = []
        with pytest.raises(Conflict, match=r"^This server keeps no keys"):
            await shop.profile(viewer)
        assert await stored(shop, viewer) == []
        assert (await shop.profile(viewer, COMPATIBLE, None, base_url=HERE)).sealed_key is None


class TestTrying:
    """The first call, before anything is stored."""

    async def test_a_key_is_tried_before_it_is_stored(self, shop: Workshop, viewer: Viewer) -> None:
        """By a call with that key, to that address, which is let go of."""
        await shop.profiles.create(viewer, COMPATIBLE, replace(MINE, base_url=HERE))
        tried = shop.vendors.of(COMPATIBLE, KEY)
        assert (tried.checked, tried.requests, tried.let_go) == (1, [], 1)
        assert {access for _, access in shop.vendors.connected} == {Access(KEY, HERE)}
        assert shop.own[COMPATIBLE].checked == 0

    async def test_a_key_that_is_refused_is_not_stored(self, shop: Workshop, viewer: Viewer) -> None:
        """In the provider's words."""
        shop.vendors.of(OPENAI, KEY).refusal = "The provider does not accept the API key."
        with pytest.raises(ProviderUnusable, match=r"^The provider does not accept the API key\.$") as caught:
            await shop.profiles.create(viewer, OPENAI, MINE)
        assert caught.value.provider is OPENAI
        assert await stored(shop, viewer) == []
        assert shop.vendors.of(OPENAI, KEY).let_go == 1

    async def test_it_is_stored_untried_on_request(self, shop: Workshop, viewer: Viewer) -> None:
        """Nobody is called."""
        shop.vendors.of(OPENAI, KEY).refusal = "The provider does not accept the API key."
        made = await shop.profiles.create(viewer, OPENAI, MINE, tried=False)
        assert await stored(shop, viewer) == [made]
        assert shop.vendors.of(OPENAI, KEY).checked == 0

    async def test_who_makes_no_images_is_not_called(self, shop: Workshop, viewer: Viewer) -> None:
        """A profile for it can be stored untried."""
        with pytest.raises(ProviderUnusable, match=r"^Anthropic's API has no image generation\.$"):
            await shop.profiles.create(viewer, ANTHROPIC, MINE)
        assert shop.vendors.of(ANTHROPIC, KEY).checked == 0
        assert await stored(shop, viewer) == []
        assert (await shop.profiles.create(viewer, ANTHROPIC, MINE, tried=False)).provider is ANTHROPIC

    async def test_a_profile_without_the_key_it_needs_is_not_called(self, shop: Workshop, viewer: Viewer) -> None:
        """Above all not with the server's own key."""
        with pytest.raises(ProviderUnusable, match=r"^No API key is set for Openai\.$"):
            await shop.profiles.create(viewer, OPENAI, ProfileChange(name="Mine"))
        assert (shop.other.checked, shop.vendors.of(OPENAI).checked) == (0, 0)

    async def test_a_profile_is_tried_whenever_its_owner_likes(self, shop: Workshop, viewer: Viewer) -> None:
        """It answers with the models there are."""
        profile = await shop.profile(viewer)
        shop.vendors.of(OPENAI, KEY).models = [replace(shop.other.models[0], id="brush-9")]
        tried, models = await shop.profiles.test(viewer, profile.id)
        assert tried == profile
        assert [model.id for model in models] == ["brush-9"]
        assert await stored(shop, viewer) == [profile]

    async def test_a_new_key_is_tried_and_not_stored(self, shop: Workshop, viewer: Viewer) -> None:
        """The old one is not sent."""
        profile = await shop.profile(viewer)
        shop.vendors.of(OPENAI, KEY).refusal = "The provider does not accept the API key."
        tried, _ = await shop.profiles.test(viewer, profile.id, f" {OTHER_KEY} ")
        assert tried == profile
        assert (shop.vendors.of(OPENAI, KEY).checked, shop.vendors.of(OPENAI, OTHER_KEY).checked) == (0, 1)
        assert [opened(shop, each) for each in await stored(shop, viewer)] == [KEY]
        with pytest.raises(ProviderUnusable, match=r"^The provider does not accept the API key\.$"):
            await shop.profiles.test(viewer, profile.id)
        with pytest.raises(InvalidInput, match=r"^That is not an API key$"):
            await shop.profiles.test(viewer, profile.id, "two words")

    async def test_a_key_that_does_not_open_is_told_and_not_left_out(self, shop: Workshop, viewer: Viewer) -> None:
        """A call without it would prove nothing, where none is needed."""
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
        shop.vault.masters = ["second"]
        with pytest.raises(ProviderUnusable) as caught:
            await shop.profiles.test(viewer, profile.id)
        assert caught.value.message == KEY_UNREADABLE
        assert shop.vendors.of(COMPATIBLE).checked == 0
        await shop.profiles.test(viewer, profile.id, OTHER_KEY)
        assert shop.vendors.of(COMPATIBLE, OTHER_KEY).checked == 1


class TestAddresses:
    """Who may give one, and which."""

    @pytest.mark.parametrize(
        "url",
        [
            *("https://one.example", "http://one.example:8080/v1", "HTTPS://One.Example/v1", "http://[2001:db8::1]:9/"),
            f"https://one.example/{'x' * 480}",
        ],
    )
    async def test_an_address_of_the_web_is_taken(self, shop: Workshop, viewer: Viewer, url: str) -> None:
        """Whether it may be connected to shows when it is."""
        assert (await shop.profile(viewer, COMPATIBLE, base_url=url)).base_url == url.rstrip("/")

    @pytest.mark.parametrize(
        "url",
        [
            *(
                "one.example",
                "//one.example",
                "ftp://one.example",
                "file:///etc/passwd",
                "javascript:alert(1)",
                "http:",
            ),
            *("http://", "http:///v1", "http://:80", "http://one.example:0", "http://one.example:99999", "http://[::1"),
            *(
                "http://ada:secret@one.example",
                "http://one.example?key=1",
                "http://one.example#a",
                "http://one .example",
            ),
            *("http://one.example\n.two.example", "http://\x00one.example", "http://bücher.example"),
            f"https://one.example/{'x' * 481}",
        ],
    )
    async def test_anything_else_is_refused(self, shop: Workshop, viewer: Viewer, url: str) -> None:
        """Passwords and queries too: they would be shown."""
        with pytest.raises(InvalidInput, match=r"^Give an http:// or https:// address of up to 500") as caught:
            await shop.profile(viewer, COMPATIBLE, base_url=url)
        assert [problem.path for problem in caught.value.problems] == [("baseUrl",)]
        assert await stored(shop, viewer) == []

    @pytest.mark.parametrize("url", [None, "", " "])
    async def test_who_has_no_address_of_their_own_needs_one(
        self, shop: Workshop, viewer: Viewer, url: str | None
    ) -> None:
        """It can't be taken away either."""
        with pytest.raises(InvalidInput, match=r"has no address of its own: give baseUrl$"):
            await shop.profile(viewer, COMPATIBLE, base_url=url)
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
        if url is not None:
            with pytest.raises(InvalidInput, match=r"has no address of its own: give baseUrl$"):
                await changed(shop, viewer, profile, base_url=url, api_key=KEY)
        assert await stored(shop, viewer) == [profile]

    async def test_a_vendors_own_address_is_the_operators_to_replace(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, operator: Viewer
    ) -> None:
        """Nobody else has keys for a vendor sent elsewhere, admins neither."""
        for who in (viewer, admin):
            with pytest.raises(InvalidInput, match=r"only the operator of this server gives another one$"):
                await shop.profile(who, OPENAI, base_url=HERE)
            assert (await shop.profile(who, OPENAI, base_url="")).base_url is None
        assert (await shop.profile(operator, OPENAI, base_url=HERE)).base_url == HERE


class TestKeysAndAddresses:
    """A key was given for one address."""

    async def test_it_never_follows_to_another(self, shop: Workshop, viewer: Viewer) -> None:
        """The address alone can't be changed, and nobody is called with the key."""
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
        with pytest.raises(InvalidInput, match=r"^A key never follows to another address: give apiKey again$"):
            await shop.profiles.update(viewer, profile.id, ProfileChange(base_url=THERE))
        assert await stored(shop, viewer) == [profile]
        assert shop.vendors.of(COMPATIBLE, KEY).checked == 0

    async def test_it_never_follows_back_to_the_vendor(self, shop: Workshop, operator: Viewer) -> None:
        """An address that is taken away is another address."""
        profile = await shop.profile(operator, OPENAI, base_url=HERE)
        with pytest.raises(InvalidInput, match=r"^A key never follows to another address"):
            await changed(shop, operator, profile, base_url="")
        moved = await changed(shop, operator, profile, base_url="", api_key=OTHER_KEY)
        assert (moved.base_url, opened(shop, moved)) == (None, OTHER_KEY)

    async def test_with_a_key_again_the_address_changes(self, shop: Workshop, viewer: Viewer) -> None:
        """Or without one: an address that had no key is free to change."""
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
        moved = await changed(shop, viewer, profile, base_url=THERE, api_key=OTHER_KEY)
        assert (moved.base_url, opened(shop, moved), moved.key_hint) == (THERE, OTHER_KEY, "9876")
        bare = await changed(shop, viewer, moved, base_url=HERE, api_key="")
        assert (bare.base_url, bare.sealed_key, bare.key_hint) == (HERE, None, None)
        assert (await changed(shop, viewer, bare, base_url=THERE)).base_url == THERE

    async def test_the_same_address_again_is_no_other(self, shop: Workshop, viewer: Viewer) -> None:
        """The key stays."""
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
        assert await changed(shop, viewer, profile, base_url=f"{HERE}/") == profile

    @pytest.mark.parametrize("is_moved", [True, False])
    async def test_a_key_is_not_stored_for_an_address_that_came_meanwhile(
        self, shop: Workshop, viewer: Viewer, is_moved: bool
    ) -> None:
        """It was tried at the one before, and meant for that."""
        profile = await shop.profile(viewer, COMPATIBLE, None, base_url=HERE)
        trying = shop.vendors.of(COMPATIBLE, OTHER_KEY)
        trying.may_check.clear()
        change = ProfileChange(api_key=OTHER_KEY)
        update = asyncio.create_task(shop.profiles.update(viewer, profile.id, change))
        await trying.called.wait()
        moved = await changed(shop, viewer, profile, base_url=THERE) if is_moved else profile
        trying.may_check.set()
        if is_moved:
            with pytest.raises(Conflict, match=r"^The profile's address was changed meanwhile"):
                await update
            assert await stored(shop, viewer) == [moved]
        else:
            assert opened(shop, await update) == OTHER_KEY


class TestChanging:
    """What is said is changed, and nothing else."""

    async def test_what_is_not_said_stays(self, shop: Workshop, viewer: Viewer) -> None:
        """Nobody is called for a name."""
        profile = await shop.profile(viewer, model="brush-2", is_default=True)
        assert await shop.profiles.update(viewer, profile.id, ProfileChange()) == profile
        named = await shop.profiles.update(viewer, profile.id, ProfileChange(name="Another", model="brush-3"))
        assert named == replace(profile, name="Another", model="brush-3")
        assert await stored(shop, viewer) == [named]
        assert shop.vendors.of(OPENAI, KEY).checked == 0

    async def test_an_empty_text_takes_away(self, shop: Workshop, viewer: Viewer) -> None:
        """The model and the key; a name there must be."""
        profile = await shop.profile(viewer, model="brush-2")
        bare = await shop.profiles.update(viewer, profile.id, ProfileChange(model="", api_key=""))
        assert bare == replace(profile, model=None, sealed_key=None, key_hint=None)
        with pytest.raises(InvalidInput, match=r"^That is not an API key$"):
            await changed(shop, viewer, await shop.profile(viewer), api_key=" ")
        with pytest.raises(InvalidInput, match=r"^Name must be 1 to 255 characters$"):
            await shop.profiles.update(viewer, profile.id, ProfileChange(name=""))
        assert bare in await stored(shop, viewer)

    async def test_a_new_key_is_tried_before_the_old_one_goes(self, shop: Workshop, viewer: Viewer) -> None:
        """When it is refused, everything stays as it was."""
        profile = await shop.profile(viewer)
        refusing = shop.vendors.of(OPENAI, OTHER_KEY)
        refusing.refusal = "The provider does not accept the API key."
        change = ProfileChange(name="Another", api_key=OTHER_KEY)
        with pytest.raises(ProviderUnusable):
            await shop.profiles.update(viewer, profile.id, change)
        assert await stored(shop, viewer) == [profile]
        refusing.refusal = None
        after = await shop.profiles.update(viewer, profile.id, change)
        assert (after.name, opened(shop, after), after.key_hint) == ("Another", OTHER_KEY, "9876")
        assert (refusing.checked, shop.vendors.of(OPENAI, KEY).checked) == (2, 0)

    async def test_a_new_address_is_tried(self, shop: Workshop, viewer: Viewer) -> None:
        """With the key that came with it, or without one."""
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
        await shop.profiles.update(viewer, profile.id, ProfileChange(base_url=THERE, api_key=OTHER_KEY))
        assert shop.vendors.connected[-1] == (COMPATIBLE, Access(OTHER_KEY, THERE))
        assert shop.vendors.of(COMPATIBLE, OTHER_KEY).checked == 1
        bare = await shop.profile(viewer, COMPATIBLE, None, base_url=HERE)
        shop.vendors.of(COMPATIBLE).refusal = "There is nobody."
        with pytest.raises(ProviderUnusable, match=r"^There is nobody\.$"):
            await shop.profiles.update(viewer, bare.id, ProfileChange(base_url=THERE))
        assert bare in await stored(shop, viewer)

    async def test_a_key_that_does_not_open_is_replaced(self, shop: Workshop, viewer: Viewer) -> None:
        """The rest of its profile can be changed meanwhile."""
        profile = await shop.profile(viewer)
        shop.vault.masters = ["second"]
        renamed = await shop.profiles.update(viewer, profile.id, ProfileChange(name="Another"))
        assert renamed == replace(profile, name="Another")
        assert opened(shop, await shop.profiles.update(viewer, profile.id, ProfileChange(api_key=KEY))) == KEY

    async def test_it_is_gone_when_it_is_deleted(self, shop: Workshop, viewer: Viewer) -> None:
        """The others stay."""
        first, second = await shop.profile(viewer), await shop.profile(viewer, GEMINI)
        await shop.profiles.delete(viewer, first.id)
        assert await stored(shop, viewer) == [second]
        with pytest.raises(NotFound):
            await shop.profiles.delete(viewer, first.id)

    async def test_a_profile_that_goes_while_a_key_is_tried_does_not_come_back(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """It is not found any more."""
        profile = await shop.profile(viewer)
        trying = shop.vendors.of(OPENAI, OTHER_KEY)
        trying.may_check.clear()
        update = asyncio.create_task(shop.profiles.update(viewer, profile.id, ProfileChange(api_key=OTHER_KEY)))
        await trying.called.wait()
        await shop.profiles.delete(viewer, profile.id)
        trying.may_check.set()
        with pytest.raises(NotFound):
            await update
        assert await stored(shop, viewer) == []


class TestDefault:
    """At most one profile of a user is the default."""

    async def test_it_is_the_newest_that_was_made_so(self, shop: Workshop, viewer: Viewer, bob: Viewer) -> None:
        """When it is made or changed; other people's stay what they are."""
        theirs = await shop.profile(bob, is_default=True)
        first = await shop.profile(viewer, is_default=True)
        second = await shop.profile(viewer, GEMINI, is_default=True)
        assert await defaults(shop, viewer) == {second.id}
        await shop.profile(viewer)
        await changed(shop, viewer, first, is_default=True)
        await changed(shop, viewer, first, name="Still the default")
        assert await defaults(shop, viewer) == {first.id}
        await changed(shop, viewer, first, is_default=False)
        assert await defaults(shop, viewer) == set()
        assert len(await stored(shop, viewer)) == 3
        assert await stored(shop, bob) == [theirs]

    async def test_a_default_that_is_refused_ends_no_other(self, shop: Workshop, viewer: Viewer) -> None:
        """Nothing of a failed change is left."""
        first = await shop.profile(viewer, is_default=True)
        shop.unit_of_work.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await shop.profile(viewer, GEMINI, is_default=True)
        assert await stored(shop, viewer) == [first]


class TestPrivacy:
    """Profiles are their owners' alone."""

    async def test_nobody_reaches_those_of_others(
        self, shop: Workshop, viewer: Viewer, bob: Viewer, admin: Viewer, stranger: Viewer, operator: Viewer
    ) -> None:
        """Neither members nor admins, neither here nor elsewhere, the operator neither; and nobody is called."""
        profile = await shop.profile(viewer, is_default=True)
        for who in (bob, admin, stranger, operator):
            assert await shop.profiles.list(who) == []
            for attempt in (
                shop.profiles.update(who, profile.id, ProfileChange(name="Mine now", api_key=OTHER_KEY)),
                shop.profiles.delete(who, profile.id),
                shop.profiles.test(who, profile.id),
                shop.profiles.test(who, profile.id, OTHER_KEY),
            ):
                with pytest.raises(NotFound, match=r"^Connection profile not found$"):
                    await attempt
        assert await stored(shop, viewer) == [profile]
        assert shop.vendors.of(OPENAI, KEY).checked == shop.vendors.of(OPENAI, OTHER_KEY).checked == 0

    async def test_what_never_was_looks_the_same(self, shop: Workshop, viewer: Viewer) -> None:
        """As what belongs to somebody else."""
        with pytest.raises(NotFound, match=r"^Connection profile not found$") as caught:
            await shop.profiles.test(viewer, UUID(int=1))
        assert caught.value.id == str(UUID(int=1))


async def test_they_are_listed_the_oldest_first(shop: Workshop, viewer: Viewer) -> None:
    """All of them, or those whose provider makes images, whether they can be used or not."""
    made = []
    for kind in (GEMINI, ANTHROPIC, OPENAI):
        made.append(await shop.profile(viewer, kind))
        shop.clock.advance(1)
    shop.vault.masters = ["second"]
    assert await shop.profiles.list(viewer) == made
    assert await shop.profiles.list(viewer, images_only=True) == [made[0], made[2]]
