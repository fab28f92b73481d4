"""Who is asked for pictures: by a profile or by the server's own access, and who comes next when that fails."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from domain.connection_profiles import ConnectionProfile, ProfileChange
from domain.costs import UNKNOWN_PRICE_MICRO_USD, Cost, CostBasis
from domain.errors import InvalidInput, NotFound, ProviderUnusable, UnsupportedByModel
from domain.failures import REFUSALS, FailureCode, failure
from domain.generations import Generation
from domain.images import Image
from domain.provider_access import KEY_UNREADABLE
from domain.providers import ImageModel, ImageOptions, PictureFailed, ProviderKind, QualityWord
from domain.quotas import QuotaUnit
from domain.routes import Route, Routes, falls_back
from domain.users import Community, Viewer
from domain.wishes import GenerateImage
from tests.database import RecordedJobs
from tests.rows import after, an_attempt, stored_viewer
from tests.uploads import a_photo
from tests.workshop import KEY, Workshop

OFFLINE, OPENAI, GEMINI = ProviderKind.OFFLINE, ProviderKind.OPENAI, ProviderKind.GEMINI
COMPATIBLE, ANTHROPIC = ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC
HOUSE = GenerateImage(prompt="A house")
HERE = "https://one.example/v1"
BRUSH = ImageModel(
    id="brush-1",
    name="Brush",
    sizes=("64x64", "128x128"),
    qualities=("high", "low"),
    quality_words=(QualityWord("hd", "high"), QualityWord("standard", "low")),
    max_references=1,
    defaults=ImageOptions(size="128x128"),
)
PEN = ImageModel(id="pen-1", name="Pen", resolutions=("1K", "4K"), quality_words=(QualityWord("hd", None, "4K"),))


@pytest.fixture(autouse=True)
def models(shop: Workshop) -> None:
    """Providers with models of their own."""
    shop.other.models = (BRUSH, replace(BRUSH, id="brush-2"))
    shop.own[GEMINI].models = (PEN,)


@pytest.fixture
async def bob(shop: Workshop, community: Community) -> Viewer:
    """Another member of the community."""
    return await stored_viewer(shop.unit_of_work, community, name="Bob")


async def routes(shop: Workshop, viewer: Viewer, **said: Any) -> list[tuple[ProviderKind, str, object]]:
    """Provider, model and profile of each route of a house."""
    made = await shop.requests.ask(viewer, replace(HOUSE, **said))
    assert made.routes == (await shop.load(made.id)).routes
    return [(route.provider, route.model, route.profile_id) for route in made.routes]


async def passed_over(shop: Workshop, viewer: Viewer, *fallbacks: ConnectionProfile, **said: Any) -> tuple[str, ...]:
    """What is told of the fallbacks, none of which becomes a route."""
    wish = replace(HOUSE, **{"fallback_profile_ids": tuple(each.id for each in fallbacks), **said})
    estimate = await shop.requests.estimate(viewer, wish)
    made = await shop.requests.ask(viewer, wish)
    assert made.fallbacks == ()
    return estimate.problems


class TestTheFirst:
    """Who is asked."""

    async def test_a_profile_that_is_named_is_asked(self, shop: Workshop, viewer: Viewer) -> None:
        """With its provider's first model; nobody is called yet, and the key stays sealed in the database."""
        profile = await shop.profile(viewer)
        assert await routes(shop, viewer, profile_id=profile.id) == [(OPENAI, "brush-1", profile.id)]
        assert shop.vendors.of(OPENAI, KEY).requests == shop.other.requests == []

    async def test_its_own_model_goes_before_the_providers(self, shop: Workshop, viewer: Viewer) -> None:
        """And the caller's before that."""
        profile = await shop.profile(viewer, model="brush-2")
        assert await routes(shop, viewer, profile_id=profile.id) == [(OPENAI, "brush-2", profile.id)]
        assert await routes(shop, viewer, profile_id=profile.id, model="brush-9") == [(OPENAI, "brush-9", profile.id)]

    async def test_the_servers_default_model_is_not_a_profiles(self, shop: Workshop, viewer: Viewer) -> None:
        """Though it be of the same provider: the profile's owner has chosen another account."""
        default = Routes(shop.access, (OPENAI, "brush-2"))
        requests = shop.requests_by(default)
        profile = await shop.profile(viewer)
        assert (await requests.ask(viewer, HOUSE)).model == "brush-2"
        assert (await requests.ask(viewer, replace(HOUSE, profile_id=profile.id))).model == "brush-1"

    async def test_the_provider_may_be_named_too(self, shop: Workshop, viewer: Viewer) -> None:
        """When it is the profile's."""
        profile = await shop.profile(viewer)
        assert await routes(shop, viewer, profile_id=profile.id, provider=OPENAI) == [(OPENAI, "brush-1", profile.id)]
        with pytest.raises(InvalidInput, match=r"^The profile Openai is one for Openai: leave provider out$") as caught:
            await routes(shop, viewer, profile_id=profile.id, provider=GEMINI)
        assert [problem.path for problem in caught.value.problems] == [("provider",)]

    async def test_a_default_profile_is_asked_when_nobody_is_named(self, shop: Workshop, viewer: Viewer) -> None:
        """Before the server's default, by its own model or by one that no provider of ours knows."""
        await shop.profile(viewer, GEMINI)
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE, model="ours", is_default=True)
        assert await routes(shop, viewer) == [(COMPATIBLE, "ours", profile.id)]
        assert await routes(shop, viewer, model="theirs") == [(COMPATIBLE, "theirs", profile.id)]

    async def test_other_profiles_are_not_asked_unnamed(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """Nor is anybody else's default."""
        await shop.profile(viewer)
        await shop.profile(admin, is_default=True)
        assert await routes(shop, viewer) == [(OFFLINE, "sketch-1", None)]

    @pytest.mark.parametrize("said", [{"provider": OPENAI}, {"model": "brush-2"}])
    async def test_who_is_named_is_asked_by_the_servers_own_access(
        self, shop: Workshop, viewer: Viewer, said: dict[str, Any]
    ) -> None:
        """Where it has one; a model that is known names its provider."""
        await shop.profile(viewer, is_default=True)
        assert await routes(shop, viewer, **said) == [(OPENAI, said.get("model", "brush-1"), None)]

    @pytest.mark.parametrize("said", [{"provider": GEMINI}, {"model": "pen-1"}])
    async def test_where_the_server_has_none_the_default_profile_is(
        self, shop: Workshop, viewer: Viewer, said: dict[str, Any]
    ) -> None:
        """If it is one for whom was named."""
        other = await shop.profile(viewer, OPENAI, is_default=True)
        with pytest.raises(ProviderUnusable) as caught:
            await routes(shop, viewer, **said)
        message = "No API key is set for Gemini. Give profileId to ask by a profile of your own."
        assert (caught.value.message, caught.value.provider) == (message, GEMINI)
        profile = await shop.profile(viewer, GEMINI, is_default=True)
        assert await routes(shop, viewer, **said) == [(GEMINI, "pen-1", profile.id)]
        assert await routes(shop, viewer, profile_id=other.id) == [(OPENAI, "brush-1", other.id)]

    async def test_a_picture_is_repeated_by_the_default_profile_of_its_provider(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """One of another provider doesn't change what the picture was made with."""
        made = await shop.requests.ask(viewer, replace(HOUSE, provider=OPENAI))
        await shop.run(made)
        (image,) = await shop.images(made)
        again = GenerateImage(parent_image_id=image.id)
        profile = await shop.profile(viewer, is_default=True)
        assert (await shop.requests.ask(viewer, again)).profile_id == profile.id
        assert (await shop.requests.ask(viewer, replace(again, provider=OPENAI))).profile_id is None
        await shop.profile(viewer, GEMINI, is_default=True)
        repeated = await shop.requests.ask(viewer, again)
        assert (repeated.provider, repeated.profile_id) == (OPENAI, None)

    async def test_a_default_profile_without_images_is_not_asked(self, shop: Workshop, viewer: Viewer) -> None:
        """It is there for other things."""
        await shop.profile(viewer, ANTHROPIC, is_default=True)
        assert await routes(shop, viewer) == [(OFFLINE, "sketch-1", None)]

    async def test_who_makes_no_images_is_refused(self, shop: Workshop, viewer: Viewer) -> None:
        """With a profile and without: another key would not help."""
        profile = await shop.profile(viewer, ANTHROPIC)
        for said in ({"provider": ANTHROPIC}, {"profile_id": profile.id}):
            with pytest.raises(ProviderUnusable, match=r"^Anthropic's API has no image generation\.$"):
                await routes(shop, viewer, **said)

    async def test_a_provider_whose_models_nobody_knows_needs_one_named(self, shop: Workshop, viewer: Viewer) -> None:
        """By the caller or by the profile."""
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE)
        with pytest.raises(InvalidInput, match=r"^Say which model of Openai_Compatible to ask$") as caught:
            await routes(shop, viewer, profile_id=profile.id)
        assert [problem.path for problem in caught.value.problems] == [("model",)]
        assert await routes(shop, viewer, profile_id=profile.id, model="x") == [(COMPATIBLE, "x", profile.id)]

    async def test_a_misspelt_model_of_the_placeholder_is_refused(self, shop: Workshop, viewer: Viewer) -> None:
        """It would answer to any name."""
        profile = await shop.profile(viewer, OFFLINE, None)
        for said in ({"provider": OFFLINE}, {"profile_id": profile.id}):
            with pytest.raises(UnsupportedByModel, match=r"^The offline provider has no model brush-one\.") as caught:
                await routes(shop, viewer, model="brush-one", **said)
            assert (caught.value.option, caught.value.supported) == ("model", ("sketch-1",))


class TestPrivacyAndMoney:
    """By whose key, and never by another."""

    async def test_nobody_asks_by_the_profiles_of_others(
        self, shop: Workshop, viewer: Viewer, bob: Viewer, admin: Viewer, stranger: Viewer, jobs: RecordedJobs
    ) -> None:
        """As the first or as a fallback; they are not even found, by admins neither."""
        theirs = await shop.profile(viewer)
        for who in (bob, admin, stranger):
            mine = await shop.profile(who)
            for said in (
                {"profile_id": theirs.id},
                {"fallback_profile_ids": (theirs.id,)},
                {"profile_id": mine.id, "fallback_profile_ids": (theirs.id,)},
            ):
                with pytest.raises(NotFound, match=r"^Connection profile not found$") as caught:
                    await routes(shop, who, **said)
                assert caught.value.id == str(theirs.id)
                assert (await shop.requests.estimate(who, replace(HOUSE, **said))).problems == (
                    "Connection profile not found",
                )
        with pytest.raises(NotFound):
            await routes(shop, viewer, profile_id=uuid4())
        assert jobs.enqueued == []

    async def test_an_admin_asks_for_others_by_a_profile_of_their_own(
        self, shop: Workshop, viewer: Viewer, admin: Viewer
    ) -> None:
        """Not by that of the person whose identity it is, whatever is their default."""
        await shop.profile(viewer, is_default=True)
        identity = await shop.identity(viewer)
        shop.other.models = (replace(BRUSH, max_references=5),)
        wish = GenerateImage(identity_id=identity.id)
        assert (await shop.requests.ask(admin, wish)).routes[0].profile_id is None
        mine = await shop.profile(admin, is_default=True)
        assert (await shop.requests.ask(admin, wish)).routes[0].profile_id == mine.id

    @pytest.mark.parametrize("is_named", [True, False])
    async def test_a_key_that_does_not_open_is_never_replaced_by_the_servers_own(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs, is_named: bool
    ) -> None:
        """Named or by default: the profile's owner is told."""
        profile = await shop.profile(viewer, is_default=not is_named)
        shop.vault.masters = ["second"]
        with pytest.raises(ProviderUnusable) as caught:
            await routes(shop, viewer, **({"profile_id": profile.id} if is_named else {}))
        assert (caught.value.message, caught.value.provider) == (KEY_UNREADABLE, OPENAI)
        assert jobs.enqueued == []

    async def test_a_profile_without_its_key_is_refused(self, shop: Workshop, viewer: Viewer) -> None:
        """In the words of the provider; it has a profile already."""
        profile = await shop.profile(viewer, OPENAI, None)
        with pytest.raises(ProviderUnusable, match=r"^No API key is set for Openai\.$"):
            await routes(shop, viewer, profile_id=profile.id)


class TestAgain:
    """Pictures made again from others."""

    async def made(self, shop: Workshop, viewer: Viewer, **said: Any) -> Image:
        """The picture of a generation that has ended."""
        return (await shop.images(await shop.run(await shop.requests.ask(viewer, replace(HOUSE, **said)))))[0]

    async def again(self, shop: Workshop, viewer: Viewer, image: Image, **said: Any) -> Generation:
        """The picture made again."""
        return await shop.requests.ask(viewer, GenerateImage(parent_image_id=image.id, **said))

    async def test_a_profile_of_the_same_provider_makes_the_same(self, shop: Workshop, viewer: Viewer) -> None:
        """With the model and the options of the recipe."""
        image = await self.made(shop, viewer, model="brush-2", options=ImageOptions(size="64x64"))
        profile = await shop.profile(viewer)
        made = await self.again(shop, viewer, image, profile_id=profile.id)
        assert made.routes == (Route(OPENAI, "brush-2", ImageOptions(size="64x64"), profile.id, made.price),)

    async def test_a_profile_of_another_provider_makes_it_its_own_way(self, shop: Workshop, viewer: Viewer) -> None:
        """What another model makes of the options is not what the caller has seen."""
        image = await self.made(shop, viewer, model="brush-2", options=ImageOptions(size="64x64"))
        profile = await shop.profile(viewer, GEMINI)
        made = await self.again(shop, viewer, image, profile_id=profile.id)
        assert made.routes == (Route(GEMINI, "pen-1", ImageOptions(), profile.id),)
        assert made.prompt == "A house"

    async def test_a_profile_with_an_address_of_its_own_keeps_its_own_model(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """What another server has says nothing of what this one has."""
        one = await shop.profile(viewer, COMPATIBLE, base_url=HERE, model="flux")
        other = await shop.profile(viewer, COMPATIBLE, "another-key-0001", base_url=HERE, model="sdxl")
        made = await shop.requests.ask(viewer, replace(HOUSE, profile_id=one.id))
        await shop.run(made)
        (image,) = await shop.images(made)
        again = GenerateImage(parent_image_id=image.id, profile_id=other.id)
        assert (await shop.requests.ask(viewer, again)).model == "sdxl"
        assert (await shop.requests.ask(viewer, replace(again, model="flux"))).model == "flux"

    async def test_a_profile_is_no_part_of_a_recipe(self, shop: Workshop, viewer: Viewer, bob: Viewer) -> None:
        """Who may see how a picture was made doesn't learn by whose account, nor use it."""
        profile = await shop.profile(viewer)
        image = await self.made(shop, viewer, profile_id=profile.id)
        assert profile.id.hex not in str(image.recipe).replace("-", "")
        await shop.library.set_public(viewer, image.id, is_public=True)
        assert (await self.again(shop, bob, image)).profile_id is None

    async def test_a_picture_is_made_again_by_the_profile_that_made_it(self, shop: Workshop, viewer: Viewer) -> None:
        """What was told to one's own account goes to nobody else unasked: not to the server's, not to the default's."""
        failing, profile = (
            await shop.profile(viewer, COMPATIBLE, base_url=HERE, model="flux"),
            await shop.profile(viewer),
        )
        shop.vendors.of(COMPATIBLE, KEY).scripts = [[PictureFailed(failure(FailureCode.INVALID_KEY))]]
        image = await self.made(shop, viewer, profile_id=failing.id, fallback_profile_ids=(profile.id,), model="x")
        await shop.profile(viewer, key="another-key-0001", is_default=True)
        made = await self.again(shop, viewer, image)
        assert [(route.model, route.profile_id) for route in made.routes] == [("brush-1", profile.id)]
        assert (await self.again(shop, viewer, image, provider=OPENAI)).profile_id is None
        await shop.profiles.delete(viewer, profile.id)
        with pytest.raises(InvalidInput, match=r"^The connection profile that made that image is gone"):
            await self.again(shop, viewer, image)

    async def test_another_model_is_asked_of_the_profile_that_made_it(self, shop: Workshop, viewer: Viewer) -> None:
        """Unless it is known as another provider's; the picture's own model never leads elsewhere."""
        profile = await shop.profile(viewer, COMPATIBLE, base_url=HERE, model="brush-2")
        image = await self.made(shop, viewer, profile_id=profile.id)
        for model, asked in (("sdxl", profile.id), ("brush-2", profile.id), ("brush-1", None)):
            made = await self.again(shop, viewer, image, model=model)
            assert (made.model, made.profile_id) == (model, asked)

    async def test_a_default_with_an_address_of_its_own_takes_over_nothing(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """It may not have the model; it is asked when it is named."""
        operator = Viewer(replace(viewer.user, is_operator=True))
        image = await self.made(shop, operator, provider=OPENAI)
        profile = await shop.profile(operator, OPENAI, base_url=HERE, model="ours", is_default=True)
        assert (await self.again(shop, operator, image)).profile_id is None
        assert (await self.again(shop, operator, image, profile_id=profile.id)).model == "ours"

    async def test_an_upload_has_no_profile(self, shop: Workshop, viewer: Viewer) -> None:
        """As a parent it says nothing of whom to ask."""
        image = await shop.library.upload(viewer, a_photo(8, 8))
        profile = await shop.profile(viewer, is_default=True)
        assert await routes(shop, viewer, parent_image_id=image.id) == [(OPENAI, "brush-1", profile.id)]


class TestFallbacks:
    """Who comes next."""

    async def test_they_come_in_the_order_that_was_asked_for(self, shop: Workshop, viewer: Viewer) -> None:
        """Each with its own model, or its provider's first: the caller's is one of the first route's."""
        first, second, third, fourth = [
            await shop.profile(viewer),
            await shop.profile(viewer, GEMINI),
            await shop.profile(viewer, COMPATIBLE, base_url=HERE, model="ours"),
            await shop.profile(viewer, model="brush-2"),
        ]
        ids = (third.id, second.id, fourth.id)
        assert await routes(shop, viewer, profile_id=first.id, model="brush-7", fallback_profile_ids=ids) == [
            (OPENAI, "brush-7", first.id),
            (COMPATIBLE, "ours", third.id),
            (GEMINI, "pen-1", second.id),
            (OPENAI, "brush-2", fourth.id),
        ]

    async def test_the_servers_own_access_and_a_default_profile_have_them_too(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """Whoever is asked first."""
        second = await shop.profile(viewer, GEMINI)
        fallbacks = {"fallback_profile_ids": (second.id,)}
        assert await routes(shop, viewer, **fallbacks) == [(OFFLINE, "sketch-1", None), (GEMINI, "pen-1", second.id)]
        first = await shop.profile(viewer, is_default=True)
        expected = [(OPENAI, "brush-1", first.id), (GEMINI, "pen-1", second.id)]
        assert await routes(shop, viewer, **fallbacks) == expected
        assert await routes(shop, viewer, fallback_profile_ids=(first.id, second.id)) == expected, "no profile twice"

    async def test_each_gets_the_options_in_its_own_words(self, shop: Workshop, viewer: Viewer) -> None:
        """And with its own defaults."""
        first, second = await shop.profile(viewer), await shop.profile(viewer, GEMINI)
        wish = replace(HOUSE, options=ImageOptions(quality="hd"), profile_id=first.id)
        made = await shop.requests.ask(viewer, replace(wish, fallback_profile_ids=(second.id,)))
        assert [route.options for route in made.routes] == [
            ImageOptions(quality="high", size="128x128"),
            ImageOptions(resolution="4K"),
        ]

    @pytest.mark.parametrize(
        ("options", "model", "problem"),
        [
            (ImageOptions(n=4), replace(PEN, max_images=3), "Pen does not take n 4. Supported: 1-3."),
            (
                ImageOptions(size="64x64"),
                PEN,
                "Pen does not take size 64x64. It can't be set for this model.",
            ),
            (ImageOptions(), replace(PEN, max_prompt_chars=6), "The prompt has 7 characters; Pen takes 6"),
            (
                ImageOptions(),
                replace(PEN, is_retired=True, replaced_by="pen-2"),
                "pen-1 was retired by its provider. Use pen-2 instead.",
            ),
        ],
    )
    async def test_who_cannot_do_what_is_asked_is_passed_over(
        self, shop: Workshop, viewer: Viewer, options: ImageOptions, model: ImageModel, problem: str
    ) -> None:
        """Nothing of it is dropped; what stands against it is told beforehand."""
        shop.own[GEMINI].models = (model,)
        fallback = await shop.profile(viewer, GEMINI, name="Spare")
        told = await passed_over(shop, viewer, fallback, options=options)
        assert told == (f"Spare is passed over: {problem}",)

    async def test_who_cannot_take_the_references_is_passed_over(self, shop: Workshop, viewer: Viewer) -> None:
        """A picture without the person's face is not what was asked for."""
        identity = await shop.identity(viewer, references=2)
        fallback = await shop.profile(viewer, name="Spare")
        wish = GenerateImage(identity_id=identity.id, fallback_profile_ids=(fallback.id,))
        assert (await shop.requests.ask(viewer, wish)).fallbacks == ()
        told = (await shop.requests.estimate(viewer, wish)).problems
        assert told[0] == "Spare is passed over: Brush does not take references 2. Supported: 0-1."

    async def test_who_cannot_be_called_is_passed_over(self, shop: Workshop, viewer: Viewer) -> None:
        """Without a key, with one that doesn't open, without a model, without images: the rest stays in order."""
        broken = await shop.profile(viewer, GEMINI, name="Broken")
        shop.vault.masters = ["second"]
        bare = await shop.profile(viewer, OPENAI, None, name="Bare")
        unsaid = await shop.profile(viewer, COMPATIBLE, base_url=HERE, name="Unsaid")
        words = await shop.profile(viewer, ANTHROPIC, name="Words")
        assert await passed_over(shop, viewer, broken, bare, unsaid, words) == (
            f"Broken is passed over: {KEY_UNREADABLE}",
            "Bare is passed over: No API key is set for Openai.",
            "Unsaid is passed over: Say which model of Openai_Compatible to ask",
            "Words is passed over: Anthropic's API has no image generation.",
        )
        good = await shop.profile(viewer)
        asked = await routes(shop, viewer, fallback_profile_ids=(broken.id, good.id, bare.id))
        assert asked == [(OFFLINE, "sketch-1", None), (OPENAI, "brush-1", good.id)]

    async def test_a_first_that_cannot_be_called_leaves_it_to_the_others(self, shop: Workshop, viewer: Viewer) -> None:
        """As it would when its provider didn't take the key; without others that can, it is told."""
        first = await shop.profile(viewer, GEMINI, None, name="Bare")
        second = await shop.profile(viewer)
        asked = {"profile_id": first.id, "fallback_profile_ids": (second.id,)}
        assert await routes(shop, viewer, **asked) == [(OPENAI, "brush-1", second.id)]
        assert await routes(shop, viewer, provider=GEMINI, fallback_profile_ids=(second.id,)) == [
            (OPENAI, "brush-1", second.id)
        ]
        wish = replace(HOUSE, profile_id=first.id, fallback_profile_ids=(second.id,))
        told = (await shop.requests.estimate(viewer, wish)).problems
        assert told == ("Bare is passed over: No API key is set for Gemini.",)
        with pytest.raises(ProviderUnusable):
            await routes(shop, viewer, **asked, options=ImageOptions(style="ink"))

    async def test_the_first_is_never_passed_over(self, shop: Workshop, viewer: Viewer) -> None:
        """For what it can't do, which is the caller's to know, though a fallback could."""
        first, second = await shop.profile(viewer, GEMINI), await shop.profile(viewer)
        said = {"profile_id": first.id, "fallback_profile_ids": (second.id,), "options": ImageOptions(size="64x64")}
        with pytest.raises(UnsupportedByModel, match=r"^Pen does not take size 64x64\."):
            await routes(shop, viewer, **said)

    async def test_five_are_enough(self, shop: Workshop, viewer: Viewer) -> None:
        """A sixth is one too many."""
        ids = tuple([(await shop.profile(viewer)).id for _ in range(6)])
        assert len(await routes(shop, viewer, fallback_profile_ids=ids[:5])) == 6
        with pytest.raises(InvalidInput, match=r"^Give at most 5 profiles to fall back to$") as caught:
            await routes(shop, viewer, fallback_profile_ids=ids)
        assert [problem.path for problem in caught.value.problems] == [("fallbackProfileIds",)]

    async def test_each_is_named_once(self, shop: Workshop, viewer: Viewer) -> None:
        """Whoever failed is not asked again."""
        one, two = await shop.profile(viewer), await shop.profile(viewer, GEMINI)
        for said in (
            {"fallback_profile_ids": (one.id, two.id, one.id)},
            {"profile_id": one.id, "fallback_profile_ids": (two.id, one.id)},
        ):
            with pytest.raises(InvalidInput, match=r"^Name each profile once$") as caught:
                await routes(shop, viewer, **said)
            assert [problem.path for problem in caught.value.problems] == [("fallbackProfileIds",)]


class TestPrices:
    """What a picture costs by each route, and on what ground."""

    async def test_each_route_has_its_own(self, shop: Workshop, viewer: Viewer) -> None:
        """Listed, typical of the community, or unknown; the first one's is told, the dearest reserved."""
        shop.provider.price = 30_000
        learned = await shop.requests.ask(viewer, replace(HOUSE, provider=OPENAI))
        earlier = an_attempt(learned, outcome="SUCCEEDED", finished_at=after(1), cost=Cost(50_000, CostBasis.REPORTED))
        async with shop.unit_of_work() as work:
            await work.generations.add_attempt(earlier)
            await work.commit()
        await shop.events.end(learned)
        held = (await shop.used(viewer, QuotaUnit.MICRO_USD)).reserved
        fallbacks = (await shop.profile(viewer), await shop.profile(viewer, GEMINI))
        wish = replace(HOUSE, options=ImageOptions(n=2), fallback_profile_ids=tuple(each.id for each in fallbacks))
        made = await shop.requests.ask(viewer, wish)
        prices = [Cost(30_000, CostBasis.LISTED), Cost(50_000, CostBasis.TYPICAL), None]
        assert [route.price for route in made.routes] == prices
        assert made.routes[2].assumed_price == Cost(UNKNOWN_PRICE_MICRO_USD, CostBasis.ASSUMED)
        estimate = await shop.requests.estimate(viewer, wish)
        assert (estimate.cost_micro_usd, estimate.basis) == (60_000, "The provider's listed price.")
        assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).reserved - held == 2 * UNKNOWN_PRICE_MICRO_USD

    async def test_a_profile_is_priced_for_what_would_be_sent(self, shop: Workshop, viewer: Viewer) -> None:
        """With the route's own options."""
        first, second = await shop.profile(viewer), await shop.profile(viewer, GEMINI)
        said = {"profile_id": first.id, "fallback_profile_ids": (second.id,), "options": ImageOptions(quality="hd")}
        await routes(shop, viewer, **said)
        assert shop.other.priced == [("brush-1", ImageOptions(quality="high", size="128x128"), 0)]
        assert shop.own[GEMINI].priced == [("pen-1", ImageOptions(resolution="4K"), 0)]


@pytest.mark.parametrize("code", FailureCode)
def test_what_another_may_mend_falls_back(code: FailureCode) -> None:
    """A refusal never does, nor what may have been paid for, nor what is our own."""
    mends = {
        *("INVALID_KEY", "INSUFFICIENT_CREDIT", "RATE_LIMITED"),
        *("MODEL_GONE", "TIMEOUT", "PROVIDER_UNAVAILABLE"),
    }
    assert falls_back(failure(code)) is (code.value in mends)
    assert not falls_back(failure(code, is_charged=True))
    assert not mends & {refusal.value for refusal in REFUSALS}


async def test_a_profile_can_be_named_as_soon_as_it_is_there(shop: Workshop, viewer: Viewer) -> None:
    """And no longer when it is gone."""
    profile = await shop.profiles.create(viewer, OPENAI, ProfileChange(name="Mine", api_key=KEY))
    assert await routes(shop, viewer, profile_id=profile.id) == [(OPENAI, "brush-1", profile.id)]
    await shop.profiles.delete(viewer, profile.id)
    with pytest.raises(NotFound, match=r"^Connection profile not found$"):
        await routes(shop, viewer, profile_id=profile.id)
