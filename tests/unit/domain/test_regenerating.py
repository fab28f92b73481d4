"""Pictures made again from others: what the parent's recipe gives, what the caller may say anew, and who may."""

from dataclasses import replace
from typing import Any

import pytest

from domain.errors import InvalidInput, UnsupportedByModel
from domain.generations import Generation
from domain.identities import Identity
from domain.images import Image
from domain.prompts import Prompts, PromptType, StructuredPrompt
from domain.providers import ImageModel, ImageOptions, OutputFormat, ProviderKind
from domain.users import Community, Viewer
from domain.wishes import GenerateImage
from tests.fakes.providers import MODEL
from tests.rows import stored_viewer
from tests.uploads import a_photo
from tests.workshop import Workshop

BRUSH = ImageModel(
    id="brush-2",
    name="Brush",
    sizes=("64x64",),
    aspect_ratios=("1:1", "16:9"),
    qualities=("high", "low"),
    output_formats=(OutputFormat.WEBP,),
    takes_seed=True,
    max_references=5,
)
OPTIONS = ImageOptions(n=2, aspect_ratio="16:9", quality="high", output_format=OutputFormat.WEBP, seed=7)
ASKED = GenerateImage(prompt="A house", additional_prompt="by night", model="brush-2", options=OPTIONS)


@pytest.fixture(autouse=True)
def models(shop: Workshop) -> None:
    """A provider that is not the default, with a model that is not its first."""
    shop.other.models = [replace(BRUSH, id="brush-1"), BRUSH]


@pytest.fixture
async def other(shop: Workshop, community: Community) -> Viewer:
    """Another member of the community."""
    return await stored_viewer(shop.unit_of_work, community, name="Bob")


async def made(shop: Workshop, viewer: Viewer, wish: GenerateImage = ASKED, *, is_public: bool = False) -> Image:
    """The first picture of a generation that has ended."""
    first = (await shop.images(await shop.run(await shop.requests.ask(viewer, wish))))[0]
    return await shop.library.set_public(viewer, first.id, is_public)


async def again(shop: Workshop, viewer: Viewer, image: Image, **said: Any) -> Generation:
    """A picture made again from the image."""
    return await shop.requests.ask(viewer, GenerateImage(parent_image_id=image.id, **said))


class TestTheSame:
    """When the caller says nothing else."""

    async def test_a_picture_is_asked_for_as_it_was(self, shop: Workshop, viewer: Viewer) -> None:
        """Word for word, of the same model with the same options; but how many is the caller's to say."""
        image = await made(shop, viewer)
        repeated = await again(shop, viewer, image)
        assert (repeated.prompt, repeated.structured_prompt) == ("A house\nby night", None)
        assert (repeated.provider, repeated.model) == (ProviderKind.OPENAI, "brush-2")
        assert repeated.options == replace(OPTIONS, n=1)
        assert repeated.options.output_format is OutputFormat.WEBP
        assert (repeated.parent_image_id, repeated.owner_id, repeated.identity_id) == (image.id, viewer.id, None)
        (child,) = await shop.images(await shop.run(repeated))
        assert child.recipe
        assert image.recipe
        assert child.recipe.parent_image_id == image.id
        assert child.recipe.prompt == image.recipe.prompt

    async def test_the_same_call_again_answers_with_the_first_generation(self, shop: Workshop, viewer: Viewer) -> None:
        """By what the caller said, and not by what was inherited."""
        image = await made(shop, viewer)
        first, second = [await again(shop, viewer, image, idempotency_key="once") for _ in range(2)]
        assert first == second

    async def test_the_parts_of_a_prompt_are_kept(self, shop: Workshop, viewer: Viewer) -> None:
        """Beside the words that were made of them."""
        parts = StructuredPrompt(style="oil", mood="calm")
        image = await made(shop, viewer, GenerateImage(structured_prompt=parts))
        repeated = await again(shop, viewer, image)
        assert (repeated.prompt, repeated.structured_prompt) == ("Style: oil\nMood: calm", parts)

    async def test_a_person_is_pictured_by_the_words_of_then(
        self, shop: Workshop, viewer: Viewer, admin: Viewer
    ) -> None:
        """Though the template and the identity have changed since; the recipe says which version it was."""
        identity = await shop.identity(viewer)
        image = await made(shop, viewer, GenerateImage(identity_id=identity.id, prompt="at sea"))
        await renamed(shop, identity)
        prompts = Prompts(shop.unit_of_work, shop.clock)
        body = "New: {identity_context} {structured_prompt}"
        new = await prompts.create(admin, type=PromptType.IMAGE_GENERATION, name="New", body=body)
        repeated = await again(shop, viewer, image)
        assert image.recipe
        assert repeated.prompt == image.recipe.prompt
        assert (repeated.prompt_id, repeated.prompt_version) == (image.prompt_id, 1)
        assert (repeated.identity_id, image.prompt_id is None) == (identity.id, False)
        assert (repeated.identity or {})["name"] == "Another"
        assert len((await shop.load((await shop.run(repeated)).id)).references) == 1
        anew = await again(shop, viewer, image, prompt="at home")
        assert anew.prompt.startswith('New: Identity Name: "Another"')
        assert (anew.prompt_id, anew.prompt_version) == (new.id, 2)

    async def test_a_picture_made_again_is_made_again_once_more(self, shop: Workshop, viewer: Viewer) -> None:
        """From generation to generation."""
        image = await made(shop, viewer)
        (child,) = await shop.images(await shop.run(await again(shop, viewer, image)))
        assert (await again(shop, viewer, child)).prompt == "A house\nby night"


class TestOtherwise:
    """What the caller says goes first."""

    async def test_words_are_added(self, shop: Workshop, viewer: Viewer) -> None:
        """To those of the parent."""
        image = await made(shop, viewer)
        assert (await again(shop, viewer, image, additional_prompt=" in snow ")).prompt == "A house\nby night\nin snow"

    @pytest.mark.parametrize(
        ("said", "prompt"),
        [
            ({"prompt": "A boat"}, "A boat"),
            ({"structured_prompt": StructuredPrompt(mood="wild")}, "Mood: wild"),
        ],
    )
    async def test_another_prompt_takes_its_place(
        self, shop: Workshop, viewer: Viewer, said: dict[str, Any], prompt: str
    ) -> None:
        """Model and options stay."""
        parent = replace(ASKED, prompt=None, structured_prompt=StructuredPrompt(style="oil"))
        image = await made(shop, viewer, parent)
        varied = await again(shop, viewer, image, **said)
        assert (varied.prompt, varied.structured_prompt) == (prompt, said.get("structured_prompt"))
        assert (varied.model, varied.options) == ("brush-2", replace(OPTIONS, n=1))

    async def test_single_options_are_changed(self, shop: Workshop, viewer: Viewer) -> None:
        """The others stay; a size says everything about the shape."""
        image = await made(shop, viewer)
        varied = await again(shop, viewer, image, options=ImageOptions(n=3, quality="low", seed=8))
        assert varied.options == replace(OPTIONS, n=3, quality="low", seed=8)
        shaped = await again(shop, viewer, image, options=ImageOptions(size="64x64"))
        assert shaped.options == replace(OPTIONS, n=1, aspect_ratio=None, size="64x64")

    @pytest.mark.parametrize(
        "said",
        [
            {"provider": ProviderKind.OPENAI},
            {"model": "brush-2"},
            {"provider": ProviderKind.OPENAI, "model": "brush-2"},
        ],
    )
    async def test_the_same_model_named_is_the_same(self, shop: Workshop, viewer: Viewer, said: dict[str, Any]) -> None:
        """Its options stay."""
        varied = await again(shop, viewer, await made(shop, viewer), **said)
        assert (varied.model, varied.options) == ("brush-2", replace(OPTIONS, n=1))

    @pytest.mark.parametrize(
        ("said", "model"),
        [
            ({"provider": ProviderKind.OFFLINE}, (ProviderKind.OFFLINE, "sketch-1")),
            ({"model": "sketch-1"}, (ProviderKind.OFFLINE, "sketch-1")),
            ({"model": "brush-1"}, (ProviderKind.OPENAI, "brush-1")),
            ({"provider": ProviderKind.OPENAI, "model": "brush-1"}, (ProviderKind.OPENAI, "brush-1")),
        ],
    )
    async def test_another_model_gets_its_own_options(
        self, shop: Workshop, viewer: Viewer, said: dict[str, Any], model: tuple[ProviderKind, str]
    ) -> None:
        """What it makes of the old ones is not what the caller has seen; the words stay."""
        varied = await again(shop, viewer, await made(shop, viewer), **said)
        assert (varied.provider, varied.model) == model
        assert varied.options == ImageOptions(n=1)
        assert varied.prompt == "A house\nby night"

    async def test_another_identity_takes_the_persons_place(self, shop: Workshop, viewer: Viewer) -> None:
        """Pictured by the template with the parts of the prompt."""
        first = await shop.identity(viewer)
        parts = StructuredPrompt(mood="calm")
        image = await made(shop, viewer, GenerateImage(identity_id=first.id, structured_prompt=parts))
        second = await shop.identity(viewer)
        varied = await again(shop, viewer, image, identity_id=second.id)
        assert (varied.identity_id, varied.structured_prompt) == (second.id, parts)
        assert "Mood: calm" in varied.prompt

    async def test_the_new_picture_may_become_the_portrait(self, shop: Workshop, viewer: Viewer) -> None:
        """Of the person on the parent; where there is none, there is nothing to save to."""
        identity = await shop.identity(viewer)
        image = await made(shop, viewer, GenerateImage(identity_id=identity.id))
        await shop.run(await again(shop, viewer, image, save_to_identity=True))
        async with shop.unit_of_work(read_only=True) as work:
            assert (await work.identities.get(viewer.scope, identity.id)).image_id
        with pytest.raises(InvalidInput, match=r"^There is no identity to save to: give identityId$") as caught:
            await again(shop, viewer, await made(shop, viewer), save_to_identity=True)
        assert [problem.path for problem in caught.value.problems] == [("saveToIdentity",)]


class TestWhoMay:
    """Only a recipe that may be seen is repeated."""

    async def test_a_shared_picture_is_everybodys_to_repeat(
        self, shop: Workshop, viewer: Viewer, other: Viewer
    ) -> None:
        """What comes of it is theirs."""
        image = await made(shop, viewer, is_public=True)
        repeated = await again(shop, other, image)
        assert (repeated.owner_id, repeated.prompt) == (other.id, "A house\nby night")

    async def test_what_a_person_wrote_about_themselves_is_not_repeated_by_others(
        self, shop: Workshop, viewer: Viewer, other: Viewer
    ) -> None:
        """Though the picture is shared; with words of their own they may begin from it, and nothing is inherited."""
        identity = await shop.identity(viewer)
        wish = replace(ASKED, prompt=None, identity_id=identity.id)
        image = await made(shop, viewer, wish, is_public=True)
        with pytest.raises(InvalidInput) as caught:
            await again(shop, other, image)
        assert caught.value.message == (
            "That image has no recipe that you can repeat: give identityId, prompt or structuredPrompt"
        )
        assert [problem.path for problem in caught.value.problems] == [("parentImageId",)]
        assert await shop.generations(other) == []
        own = await again(shop, other, image, prompt="A boat")
        assert (own.identity_id, own.identity, own.parent_image_id) == (None, None, image.id)
        assert (own.provider, own.options, own.prompt) == (ProviderKind.OFFLINE, ImageOptions(), "A boat")

    async def test_an_admin_repeats_it_for_the_person(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """With the person's reference images; what comes of it is the person's."""
        identity = await shop.identity(viewer)
        image = await made(shop, viewer, GenerateImage(identity_id=identity.id))
        repeated = await again(shop, admin, image)
        assert (repeated.owner_id, repeated.requested_by_id) == (viewer.id, admin.id)

    async def test_an_upload_has_no_recipe(self, shop: Workshop, viewer: Viewer) -> None:
        """With words it can be the parent."""
        image = await shop.library.upload(viewer, a_photo())
        with pytest.raises(InvalidInput, match=r"^That image has no recipe that you can repeat"):
            await again(shop, viewer, image)
        assert (await again(shop, viewer, image, prompt="A boat")).parent_image_id == image.id

    async def test_another_person_in_the_same_picture(self, shop: Workshop, viewer: Viewer) -> None:
        """What was asked for freely joins the template; an identity's whole prompt is that identity's."""
        free = await made(shop, viewer, GenerateImage(prompt="A boat at sea"))
        first, second = await shop.identity(viewer), await shop.identity(viewer)
        asked = await again(shop, viewer, free, identity_id=second.id)
        assert "A boat at sea" in asked.prompt
        assert asked.prompt_version == 1
        image = await made(shop, viewer, GenerateImage(identity_id=first.id, additional_prompt="in the rain"))
        assert "in the rain" not in (await again(shop, viewer, image, identity_id=second.id)).prompt

    async def test_a_person_who_is_gone_is_not_pictured_again(self, shop: Workshop, viewer: Viewer) -> None:
        """The identity was deleted; the picture can still be the parent of another person's, or of nobody's."""
        identity = await shop.identity(viewer)
        image = await made(shop, viewer, GenerateImage(identity_id=identity.id))
        async with shop.unit_of_work() as work:
            await work.identities.delete(identity.id)
            await work.commit()
        with pytest.raises(InvalidInput, match=r"^The identity of that image is gone"):
            await again(shop, viewer, image)
        nobody = await again(shop, viewer, image, prompt="A boat")
        assert (nobody.identity_id, nobody.identity, nobody.prompt) == (None, None, "A boat")
        second = await shop.identity(viewer)
        assert (await again(shop, viewer, image, identity_id=second.id)).identity_id == second.id

    async def test_a_model_that_was_retired_since_names_its_successor(self, shop: Workshop, viewer: Viewer) -> None:
        """Which may then be named."""
        image = await made(shop, viewer)
        gone = replace(BRUSH, is_retired=True, replaced_by="brush-1")
        shop.other.models = [shop.other.models[0], gone]
        with pytest.raises(UnsupportedByModel, match=r"Use brush-1 instead"):
            await again(shop, viewer, image)
        assert (await again(shop, viewer, image, model="brush-1")).model == "brush-1"

    async def test_the_models_limits_hold_for_what_is_repeated(self, shop: Workshop, viewer: Viewer) -> None:
        """They may have changed since, and words are added."""
        image = await made(shop, viewer, GenerateImage(prompt="x" * 90))
        shop.provider.models = [replace(MODEL, max_prompt_chars=100)]
        await again(shop, viewer, image)
        with pytest.raises(UnsupportedByModel) as caught:
            await again(shop, viewer, image, additional_prompt="y" * 10)
        assert caught.value.option == "prompt"


async def renamed(shop: Workshop, identity: Identity) -> None:
    """Give the identity another name."""
    async with shop.unit_of_work() as work:
        await work.identities.update(replace(identity, name="Another"))
        await work.commit()


async def test_a_parent_that_is_deleted_is_forgotten(shop: Workshop, viewer: Viewer) -> None:
    """The generation goes on without it."""
    image = await made(shop, viewer)
    repeated = await again(shop, viewer, image)
    await shop.library.delete(viewer, image.id)
    ended = await shop.run(repeated)
    assert ended.parent_image_id is None
    (child,) = await shop.images(ended)
    assert child.recipe
    assert (child.recipe.prompt, child.recipe.parent_image_id) == ("A house\nby night", None)
