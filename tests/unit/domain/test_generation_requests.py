"""Asking for pictures: what is refused before anything is paid, and what is put in line."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    ProviderUnusable,
    StoreUnavailable,
    UnsupportedByModel,
)
from domain.generations import GenerationState
from domain.prompts import PromptType, StructuredPrompt
from domain.providers import ImageModel, ImageOptions, ProviderKind
from domain.routes import Routes
from domain.tags import Tag, TagKind
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.database import RecordedJobs
from tests.fakes.providers import MODEL
from tests.rows import after, an_attempt, an_identity, an_image, stored_images
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
ID = uuid4()


class TestAsking:
    """What is put in line."""

    async def test_a_plain_prompt_is_the_viewers_own(self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs) -> None:
        """Queued, stored with its first event, and in line, in one transaction; the provider is not called."""
        wish = GenerateImage(prompt=" A house ", additional_prompt=" by night ")
        made = await shop.requests.ask(viewer, wish)
        assert (made.owner_id, made.requested_by_id, made.identity_id) == (viewer.id, viewer.id, None)
        assert (made.provider, made.model, made.prompt) == (ProviderKind.OFFLINE, "sketch-1", "A house\nby night")
        assert (made.state, made.event_seq, made.created_at) == (GenerationState.QUEUED, 1, shop.clock.time)
        assert (made.prompt_version, made.identity, made.references) == (None, None, ())
        assert await shop.load(made.id) == made
        assert [event.state for event in await shop.told(made)] == [GenerationState.QUEUED]
        assert [generation.id for generation in jobs.enqueued] == [made.id]
        assert shop.provider.requests == []

    async def test_the_plans_priority_goes_with_it(self, shop: Workshop, admin: Viewer, jobs: RecordedJobs) -> None:
        """That of the community by then; one without a plan."""
        await shop.requests.ask(admin, HOUSE)
        plan = await shop.quotas.create_plan(admin, "Quick", [], priority=7)
        await shop.quotas.set_community_plan(admin, plan.id)
        await shop.requests.ask(admin, HOUSE)
        await shop.quotas.update_plan(admin, plan.id, priority=2)
        await shop.requests.ask(admin, HOUSE)
        assert jobs.priorities == [1, 7, 2]

    async def test_followers_of_all_ones_own_hear_of_it(self, shop: Workshop, viewer: Viewer) -> None:
        """From its first event on, once that is committed."""
        made = await shop.requests.ask(viewer, HOUSE)
        assert (shop.bus.published, shop.bus.owners) == (await shop.told(made), [viewer.id])

    async def test_a_structured_prompt_is_rendered_and_kept(self, shop: Workshop, viewer: Viewer) -> None:
        """As it was given."""
        parts = StructuredPrompt(style="oil", mood="calm")
        made = await shop.requests.ask(viewer, GenerateImage(structured_prompt=parts, additional_prompt="by night"))
        assert (made.prompt, made.structured_prompt) == ("Style: oil\nMood: calm\nby night", parts)

    async def test_an_identity_brings_its_words_and_the_template(self, shop: Workshop, viewer: Viewer) -> None:
        """The snapshot keeps them, whatever becomes of the identity."""
        identity = await shop.identity(viewer)
        made = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id, prompt="at sea"))
        assert 'Identity Name: "The Analyst"' in made.prompt
        assert "Additional instructions: at sea" in made.prompt
        assert made.prompt_version == 1
        async with shop.unit_of_work(read_only=True) as work:
            assert made.prompt_id == (await work.prompts.active(made.community_id, PromptType.IMAGE_GENERATION)).id
        assert made.identity == {
            "id": str(identity.id),
            "name": "The Analyst",
            "category": "Work",
            "iAmStatement": "I am exact",
            "visualization": "At the engine",
            "notes": ["patient", "curious"],
        }

    async def test_the_owner_follows_from_the_identity(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """Also when an admin asks: the user's references are used and the user owns what comes of it."""
        identity = await shop.identity(viewer)
        await shop.identity(admin, references=2)
        made = await shop.requests.ask(admin, GenerateImage(identity_id=identity.id))
        assert (made.owner_id, made.requested_by_id) == (viewer.id, admin.id)
        await shop.jobs.prepare(made.id)
        mine = await shop.references(viewer)
        assert [pin.sha256 for pin in (await shop.load(made.id)).references] == [
            slot.picture.sha256 for slot in mine if slot.picture
        ]

    async def test_what_belongs_to_others_is_not_found(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, stranger: Viewer, jobs: RecordedJobs
    ) -> None:
        """Neither an identity nor a parent image."""
        theirs = await shop.identity(admin)
        image = an_image(admin.user)
        await stored_images(shop.unit_of_work, image)
        for who in (viewer, stranger):
            with pytest.raises(NotFound, match=r"^Identity not found$"):
                await shop.requests.ask(who, GenerateImage(identity_id=theirs.id))
            with pytest.raises(NotFound, match=r"^Image not found$"):
                await shop.requests.ask(who, replace(HOUSE, parent_image_id=image.id))
        assert jobs.enqueued == []
        made = await shop.requests.ask(admin, replace(HOUSE, parent_image_id=image.id))
        assert made.parent_image_id == image.id

    async def test_the_time_it_should_take_is_measured(self, shop: Workshop, viewer: Viewer) -> None:
        """On the model's earlier calls."""
        first = await shop.requests.ask(viewer, HOUSE)
        assert first.expected_s is None
        async with shop.unit_of_work() as work:
            await work.generations.add_attempt(an_attempt(first, outcome="SUCCEEDED", finished_at=after(12.5)))
            await work.commit()
        assert (await shop.requests.ask(viewer, HOUSE)).expected_s == 12.5

    async def test_the_pictures_get_the_tags_that_were_asked_for(self, shop: Workshop, viewer: Viewer) -> None:
        """Each once."""
        tags = (Tag(TagKind.THEME, " The  sea "), Tag(TagKind.THEME, "the SEA"))
        made = await shop.requests.ask(viewer, replace(HOUSE, tags=tags, options=ImageOptions(n=2)))
        await shop.run(made)
        assert [image.tags for image in await shop.images(made)] == [(Tag(TagKind.THEME, "The sea"),)] * 2

    async def test_a_failed_commit_puts_nothing_in_line(self, shop: Workshop, viewer: Viewer) -> None:
        """Nothing is there to be found."""
        shop.unit_of_work.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await shop.requests.ask(viewer, HOUSE)
        assert await shop.generations(viewer) == []


class TestSteps:
    """Backgrounds that are made."""

    async def test_the_first_picture_becomes_the_steps_background(self, shop: Workshop, admin: Viewer) -> None:
        """When it is there, and not before; it stays private, and shown."""
        step = await shop.step(admin)
        made = await shop.requests.ask(admin, replace(HOUSE, step_id=step.id, options=ImageOptions(n=2)))
        assert made.step_id == step.id
        assert await shop.background(step) is None
        await shop.run(made)
        first, _ = await shop.images(made)
        assert await shop.background(step) == first.id
        assert not first.is_public

    async def test_an_admin_may_show_an_identity_of_their_own(self, shop: Workshop, admin: Viewer) -> None:
        """And save it at once."""
        identity, step = await shop.identity(admin), await shop.step(admin)
        wish = GenerateImage(identity_id=identity.id, step_id=step.id, save_to_identity=True)
        made = await shop.run(await shop.requests.ask(admin, wish))
        (image,) = await shop.images(made)
        assert await shop.background(step) == image.id

    async def test_nobody_elses_face_is_shown_to_all(
        self, shop: Workshop, admin: Viewer, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """That is theirs to allow."""
        identity, step = await shop.identity(viewer), await shop.step(admin)
        with pytest.raises(InvalidInput, match=r"^A step's background shows an identity of your own, or none$") as no:
            await shop.requests.ask(admin, GenerateImage(identity_id=identity.id, step_id=step.id))
        assert [problem.path for problem in no.value.problems] == [("stepId",)]
        assert jobs.enqueued == []

    async def test_members_make_no_backgrounds(
        self, shop: Workshop, admin: Viewer, viewer: Viewer, stranger: Viewer, jobs: RecordedJobs
    ) -> None:
        """They are told so; for another community's admin there is no such step."""
        step = await shop.step(admin)
        with pytest.raises(Forbidden, match=r"^Only an admin of the community may change wizards$"):
            await shop.requests.ask(viewer, replace(HOUSE, step_id=step.id))
        with pytest.raises(NotFound, match=r"^Step not found$"):
            await shop.requests.ask(stranger, replace(HOUSE, step_id=step.id))
        assert jobs.enqueued == []

    async def test_a_step_that_is_gone_by_then_hurts_nobody(self, shop: Workshop, admin: Viewer) -> None:
        """The picture is in the library all the same."""
        step = await shop.step(admin)
        made = await shop.requests.ask(admin, replace(HOUSE, step_id=step.id))
        await shop.wizards.delete(admin, step.wizard_id)
        ended = await shop.run(made)
        assert (ended.state, ended.step_id) == (GenerationState.SUCCEEDED, None)
        assert len(await shop.images(ended)) == 1


class TestReferences:
    """Nothing is paid for a picture without the person's face."""

    async def test_without_a_reference_image_nothing_is_asked_for(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """A slot without a picture is none."""
        identity = await shop.identity(viewer, references=0)
        await shop.slots.create(viewer)
        with pytest.raises(InvalidInput, match=r"^Upload at least one reference image$") as caught:
            await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        assert caught.value.problems[0].path == ("identityId",)
        assert jobs.enqueued == []

    async def test_a_reference_that_is_gone_from_the_store_is_told_by_its_slot(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """The person knows which to upload again; slots without a picture don't matter."""
        identity = await shop.identity(viewer, references=2)
        await shop.slots.create(viewer)
        picture = (await shop.references(viewer))[1].picture
        assert picture
        del shop.store.objects[picture.key]
        with pytest.raises(InvalidInput, match=r"^Reference image 1 can't be read\. Upload it again\.$"):
            await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        assert jobs.enqueued == []

    async def test_a_store_that_is_away_is_told(self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs) -> None:
        """Nothing was changed, and the person may try again."""
        identity = await shop.identity(viewer)
        shop.store.is_down = True
        with pytest.raises(StoreUnavailable):
            await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        assert jobs.enqueued == []

    async def test_more_than_the_model_takes_are_refused(self, shop: Workshop, viewer: Viewer) -> None:
        """Only those with a picture count."""
        shop.provider.models = [replace(MODEL, max_references=1)]
        identity = await shop.identity(viewer)
        await shop.slots.create(viewer)
        await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        await shop.identity(viewer)
        with pytest.raises(UnsupportedByModel) as caught:
            await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        assert caught.value.option == "references"


class TestChoosing:
    """Which provider and model."""

    async def test_a_known_model_is_enough(self, shop: Workshop, viewer: Viewer) -> None:
        """Its provider is the one who has it."""
        shop.other.models = [replace(MODEL, id="brush-1"), replace(MODEL, id="brush-2")]
        made = await shop.requests.ask(viewer, replace(HOUSE, model="brush-2"))
        assert (made.provider, made.model) == (ProviderKind.OPENAI, "brush-2")

    async def test_a_provider_is_enough(self, shop: Workshop, viewer: Viewer) -> None:
        """Its first model is the default."""
        shop.other.models = [replace(MODEL, id="brush-1"), replace(MODEL, id="brush-2")]
        made = await shop.requests.ask(viewer, replace(HOUSE, provider=ProviderKind.OPENAI))
        assert (made.provider, made.model) == (ProviderKind.OPENAI, "brush-1")

    async def test_an_unknown_model_passes_to_the_provider(self, shop: Workshop, viewer: Viewer) -> None:
        """Vendors bring out models faster than we do."""
        made = await shop.requests.ask(viewer, replace(HOUSE, provider=ProviderKind.OPENAI, model="brush-9"))
        assert (made.provider, made.model) == (ProviderKind.OPENAI, "brush-9")

    @pytest.mark.parametrize("provider", [None, ProviderKind.OFFLINE])
    async def test_the_placeholder_does_not_answer_to_any_name(
        self, shop: Workshop, viewer: Viewer, provider: ProviderKind | None
    ) -> None:
        """A misspelt model would otherwise seem to have made a picture."""
        with pytest.raises(UnsupportedByModel) as caught:
            await shop.requests.ask(viewer, replace(HOUSE, provider=provider, model="brush-9"))
        assert (caught.value.option, caught.value.supported) == ("model", ("sketch-1",))
        assert "Name the provider whose model it is" in caught.value.message

    async def test_a_retired_model_names_its_successor_also_without_a_key(self, shop: Workshop, viewer: Viewer) -> None:
        """The key would not have helped."""
        shop.other.problem = "It has no key"
        gone = replace(shop.other.models[0], id="brush-0", is_retired=True, replaced_by="brush-2")
        shop.other.models = (*shop.other.models, gone)
        with pytest.raises(UnsupportedByModel, match=r"Use brush-2 instead"):
            await shop.requests.ask(viewer, replace(HOUSE, model="brush-0"))

    async def test_the_servers_default_model_goes_with_its_default_provider(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """And with no other."""
        routes = Routes(shop.access, (ProviderKind.OPENAI, "brush-7"))
        requests = shop.requests_by(routes)
        assert (await requests.ask(viewer, HOUSE)).model == "brush-7"
        assert (await requests.ask(viewer, replace(HOUSE, provider=ProviderKind.OFFLINE))).model == "sketch-1"

    async def test_a_provider_that_cannot_be_called_is_refused(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """In the words of its problem."""
        shop.provider.problem = "It has no key"
        with pytest.raises(ProviderUnusable, match=r"^It has no key$"):
            await shop.requests.ask(viewer, HOUSE)
        assert jobs.enqueued == []

    async def test_the_models_defaults_fill_what_is_not_asked_for(self, shop: Workshop, viewer: Viewer) -> None:
        """They are kept with the generation."""
        shop.provider.models = [replace(MODEL, qualities=("high",), defaults=ImageOptions(quality="high"))]
        made = await shop.requests.ask(viewer, replace(HOUSE, options=ImageOptions(n=2)))
        assert made.options == ImageOptions(n=2, quality="high")

    async def test_what_the_model_cannot_do_is_refused(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """Before anything is stored."""
        with pytest.raises(UnsupportedByModel):
            await shop.requests.ask(viewer, replace(HOUSE, options=ImageOptions(n=5)))
        assert jobs.enqueued == []
        assert await shop.generations(viewer) == []

    async def test_a_prompt_that_is_too_long_for_the_model_is_refused(self, shop: Workshop, viewer: Viewer) -> None:
        """As it would be sent; the limit itself is taken."""
        shop.provider.models = [ImageModel(id="short", name="Short", max_prompt_chars=1_000)]
        await shop.requests.ask(viewer, GenerateImage(prompt="x" * 1000))
        with pytest.raises(UnsupportedByModel) as caught:
            await shop.requests.ask(viewer, GenerateImage(prompt="x" * 1001))
        assert caught.value.message == "The prompt has 1,001 characters; Short takes 1,000"
        assert (caught.value.option, caught.value.supported) == ("prompt", ("1-1000",))


class TestIdempotency:
    """The same call again."""

    WISH = replace(HOUSE, idempotency_key="once")

    async def test_the_same_call_again_answers_with_the_first_generation(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """As it is by now; also when the provider can't be called any more."""
        first = await shop.requests.ask(viewer, self.WISH)
        await shop.jobs.prepare(first.id)
        shop.provider.problem = "It has no key"
        again = await shop.requests.ask(viewer, self.WISH)
        assert again == await shop.load(first.id)
        assert again.state is GenerationState.GENERATING
        assert len(jobs.enqueued) == 1

    async def test_the_same_key_with_another_input_is_a_conflict(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """Nothing more is put in line."""
        await shop.requests.ask(viewer, self.WISH)
        with pytest.raises(Conflict, match=r"^This idempotency key was used before with another input$"):
            await shop.requests.ask(viewer, replace(self.WISH, prompt="A boat"))
        assert len(jobs.enqueued) == 1

    async def test_a_key_is_the_requesters_own(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """Another's with the same key is another call; without a key every call is."""
        made = [
            await shop.requests.ask(viewer, self.WISH),
            await shop.requests.ask(admin, replace(self.WISH, prompt="A boat")),
            await shop.requests.ask(viewer, HOUSE),
            await shop.requests.ask(viewer, HOUSE),
        ]
        assert len({generation.id for generation in made}) == 4

    async def test_calls_at_once_make_one_generation(self, shop: Workshop, viewer: Viewer) -> None:
        """Whoever is first."""
        made = await asyncio.gather(*(shop.requests.ask(viewer, self.WISH) for _ in range(5)))
        assert len({generation.id for generation in made}) == 1
        assert len(await shop.generations(viewer)) == 1

    async def test_a_lost_race_answers_with_the_winner(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """Another call's generation came between looking and storing; with another input it is a conflict."""
        first = await shop.requests.ask(viewer, self.WISH)
        shop.unit_of_work.mishaps["generations.of_key"] = [None]
        assert (await shop.requests.ask(viewer, self.WISH)).id == first.id
        shop.unit_of_work.mishaps["generations.of_key"] = [None]
        with pytest.raises(Conflict):
            await shop.requests.ask(viewer, replace(self.WISH, prompt="A boat"))
        assert len(jobs.enqueued) == 1


async def test_an_identity_that_nobody_described_is_still_asked_for(shop: Workshop, viewer: Viewer) -> None:
    """Weak is not missing."""
    await shop.identity(viewer)
    bare = an_identity(viewer.user, i_am_statement="", visualization="")
    async with shop.unit_of_work() as work:
        await work.identities.add(bare)
        await work.commit()
    assert (await shop.requests.ask(viewer, GenerateImage(identity_id=bare.id))).identity_id == bare.id
