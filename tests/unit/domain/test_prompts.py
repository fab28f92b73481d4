"""Templates: what is refused when they are saved, what they become, and how versions are written and chosen."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from domain.prompts import (
    MAX_BODY_CHARS,
    ContextKey,
    Prompt,
    Prompts,
    PromptType,
    StructuredPrompt,
    check_body,
    context_of,
    render,
    rendered_for,
)
from domain.repositories import UnitOfWorkFactory
from domain.users import Community, Viewer
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.rows import a_user, an_identity

IMAGE = PromptType.IMAGE_GENERATION
VALUES = {
    ContextKey.IDENTITY_CONTEXT: "an identity",
    ContextKey.ADDITIONAL_PROMPT: "in {user_name}'s garden",
    ContextKey.STRUCTURED_PROMPT: "Mood: {",
    ContextKey.USER_NAME: "{identity_context}",
}
ADA = a_user(Community(uuid4(), "Lovelace"), name="Ada")


@pytest.fixture
def prompts(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> Prompts:
    """The service on a database with the built-in version."""
    return Prompts(unit_of_work, clock)


async def versions(unit_of_work: UnitOfWorkFactory, viewer: Viewer) -> list[Prompt]:
    """The community's own versions, the newest first."""
    async with unit_of_work(read_only=True) as work:
        every = await work.prompts.list(viewer.user.community_id, IMAGE)
    return [prompt for prompt in every if prompt.community_id]


class TestBodies:
    """What a body may say."""

    def test_a_body_is_filled_with_values_that_are_never_read_for_placeholders(self) -> None:
        """Braces in a value stay what they are."""
        body = "{identity_context} {additional_prompt} {{{user_name}}} {structured_prompt}"
        assert render(body, VALUES) == "an identity in {user_name}'s garden {{identity_context}} Mood: {"

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("", "The body must not be empty"),
            (" \n", "The body must not be empty"),
            ("x" * (MAX_BODY_CHARS + 1), "The body must be at most 20,000 characters"),
            ("a { b", "The body has a stray brace. Write {{ for { and }} for } where no placeholder is meant"),
            ("a } b", "The body has a stray brace. Write {{ for { and }} for } where no placeholder is meant"),
            ("{user_name!r}", "A placeholder is a plain name in braces: {user_name}"),
            ("{user_name:>9}", "A placeholder is a plain name in braces: {user_name}"),
        ],
    )
    def test_a_body_that_would_break_is_refused_when_it_is_saved(self, body: str, message: str) -> None:
        """In words that say what to write instead."""
        with pytest.raises(InvalidInput) as caught:
            check_body(body, IMAGE)
        assert caught.value.message == message
        assert caught.value.problems[0].path == ("body",)

    @pytest.mark.parametrize(
        "name", ["", "nobody", "USER_NAME", "user_name[0]", "user_name.__class__", "0", " user_name"]
    )
    def test_a_placeholder_without_a_value_is_refused(self, name: str) -> None:
        """The message offers those that there are."""
        with pytest.raises(InvalidInput) as caught:
            check_body(f"a {{{name}}}", PromptType.SENTINEL)
        assert caught.value.message == (
            f"{{{name}}} is not a placeholder of SENTINEL prompts. Use {{identity_context}}, {{user_name}}"
        )

    def test_the_first_wrong_placeholder_is_the_one_told(self) -> None:
        """Always the same one, so that the message doesn't change from one try to the next."""
        for _ in range(5):
            with pytest.raises(InvalidInput, match=r"^\{one\} is not"):
                check_body("{one} {two} {three} {four}", IMAGE)

    def test_a_required_key_must_be_in_the_body(self) -> None:
        """An escaped one is not in it."""
        check_body("{user_name}", IMAGE, (ContextKey.USER_NAME,))
        with pytest.raises(InvalidInput, match=r"^The body must contain \{user_name\}, which is required$"):
            check_body("{{user_name}}", IMAGE, (ContextKey.USER_NAME,))

    def test_a_required_key_must_be_one_of_the_types(self) -> None:
        """A coach's prompt gets no structured prompt."""
        with pytest.raises(InvalidInput, match=r"^COACH prompts have no STRUCTURED_PROMPT\. Use ") as caught:
            check_body("{user_name}", PromptType.COACH, (ContextKey.STRUCTURED_PROMPT,))
        assert caught.value.problems[0].path == ("requiredContextKeys",)

    def test_a_body_of_the_greatest_length_is_taken(self) -> None:
        """The limit itself is within it."""
        check_body("x" * MAX_BODY_CHARS, IMAGE)

    @given(
        st.lists(
            st.sampled_from(
                [*(key.placeholder for key in ContextKey), "{", "}", "{{", "}}", "!", ":", "r", "{user_name"]
            )
            | st.text(st.characters(exclude_characters="\0"), max_size=3),
            max_size=8,
        ),
        st.sampled_from(PromptType),
        st.lists(st.text(), min_size=4, max_size=4),
    )
    def test_every_body_that_is_accepted_can_be_filled(
        self, pieces: list[str], type: PromptType, values: list[str]
    ) -> None:
        """With any values: each placeholder becomes its value as it is, and everything else stays."""
        body = "".join(pieces)
        try:
            check_body(body, type)
        except InvalidInput:
            return
        context = dict(zip(ContextKey, values, strict=True))
        marked = render(body, {key: f"\0{number}\0" for number, key in enumerate(ContextKey)})
        assert render(body, context) == re.sub("\0(.)\0", lambda mark: values[int(mark[1])], marked)


class TestStructuredPrompts:
    """Prompts given in parts."""

    def test_the_parts_that_are_filled_in_become_a_line_each(self) -> None:
        """In the order of the form, trimmed."""
        prompt = StructuredPrompt(style="oil", subject=" ", mood=" calm ", extra="no frames")
        assert prompt.rendered() == "Style: oil\nMood: calm\nExtra: no frames"

    def test_one_without_any_part_is_refused(self) -> None:
        """White space is no part."""
        with pytest.raises(InvalidInput, match=r"^Fill in at least one part of the structured prompt$") as caught:
            StructuredPrompt(style="  ").check()
        assert caught.value.problems[0].path == ("structuredPrompt",)

    def test_each_part_that_is_too_long_is_named(self) -> None:
        """All of them at once."""
        with pytest.raises(InvalidInput) as caught:
            StructuredPrompt(style="x" * 501, mood="x" * 500, color="x" * 501).check()
        assert caught.value.message == "style must be at most 500 characters; color must be at most 500 characters"
        assert [problem.path for problem in caught.value.problems] == [
            ("structuredPrompt", "style"),
            ("structuredPrompt", "color"),
        ]


class TestRendering:
    """What a provider is told."""

    def test_every_key_gets_its_value(self) -> None:
        """The identity in words, the texts in lines, the parts of the structured prompt, the owner's name."""
        body = "{user_name}\n{identity_context}\n{additional_prompt}\n{structured_prompt}"
        text = rendered_for(
            body,
            ADA,
            an_identity(ADA, notes=(), visualization="", category=""),
            (" at sea ", "", "by night"),
            StructuredPrompt(mood="calm"),
        )
        assert text == ('Ada\nIdentity Name: "The Analyst"\nI Am Statement: I am exact\nat sea\nby night\nMood: calm')

    def test_what_was_not_given_is_said_to_be_missing(self) -> None:
        """No empty line that a model could fill by itself."""
        body = "{identity_context} / {additional_prompt} / {structured_prompt} / {user_name}"
        assert render(body, context_of("Ada", None, "  ")) == "None provided / None provided / None provided / Ada"

    @pytest.mark.parametrize("body", ["{additional_prompt}", "{additional_prompt} {{structured_prompt}}"])
    def test_a_structured_prompt_without_a_place_joins_the_other_texts(self, body: str) -> None:
        """Also where the body only seems to have a place for it: what a person asked for is never dropped."""
        text = rendered_for(body, ADA, an_identity(ADA), ("at sea",), StructuredPrompt(mood="calm"))
        assert text.startswith("at sea\nMood: calm")

    def test_without_an_identity_the_rest_still_is_there(self) -> None:
        """As a preview shows it."""
        body = "{user_name} / {identity_context} / {additional_prompt}"
        assert rendered_for(body, ADA, None, (" at sea ",), None) == "Ada / None provided / at sea"


class TestWritingVersions:
    """Admins write."""

    async def test_versions_count_up_from_the_built_in_one(
        self, prompts: Prompts, admin: Viewer, clock: FakeClock
    ) -> None:
        """The built-in version is the first."""
        first = await prompts.create(admin, type=IMAGE, name=" Ours ", body="{identity_context}")
        second = await prompts.create(
            admin,
            type=IMAGE,
            name="Ours too",
            body="{user_name}",
            required_context_keys=(ContextKey.USER_NAME, ContextKey.USER_NAME),
            activate=False,
        )
        assert (first.version, first.name, first.is_active, first.author_id) == (2, "Ours", True, admin.id)
        assert (second.version, second.is_active, second.created_at) == (3, False, clock.time)
        assert second.required_context_keys == (ContextKey.USER_NAME,)
        coach = await prompts.create(admin, type=PromptType.COACH, name="Coach", body="Hello")
        assert coach.version == 1

    async def test_the_highest_active_version_is_used(
        self, prompts: Prompts, admin: Viewer, unit_of_work: UnitOfWorkFactory
    ) -> None:
        """Switching it off gives way to the one before."""
        mine = await prompts.create(admin, type=IMAGE, name="Ours", body="{user_name}")
        await prompts.create(admin, type=IMAGE, name="Draft", body="{user_name}", activate=False)
        async with unit_of_work(read_only=True) as work:
            assert (await work.prompts.active(admin.user.community_id, IMAGE)).id == mine.id
        off = await prompts.set_active(admin, mine.id, is_active=False)
        assert not off.is_active
        async with unit_of_work(read_only=True) as work:
            assert (await work.prompts.active(admin.user.community_id, IMAGE)).version == 1

    async def test_a_lost_race_for_a_number_takes_the_next(
        self, unlucky: UnluckyUnitOfWork, clock: FakeClock, admin: Viewer
    ) -> None:
        """Another admin's version came between reading the number and storing ours."""
        prompts = Prompts(unlucky, clock)
        await prompts.create(admin, type=IMAGE, name="Theirs", body="{user_name}")
        unlucky.mishaps["prompts.latest_version"] = [1]
        mine = await prompts.create(admin, type=IMAGE, name="Mine", body="{user_name}")
        assert mine.version == 3
        assert [prompt.version for prompt in await versions(unlucky, admin)] == [3, 2]

    async def test_versions_written_at_once_get_a_number_each(
        self, prompts: Prompts, admin: Viewer, unit_of_work: UnitOfWorkFactory
    ) -> None:
        """Nobody is refused, and no number is used twice."""
        await asyncio.gather(
            *(prompts.create(admin, type=IMAGE, name=f"{number}", body="{user_name}") for number in range(5))
        )
        assert [prompt.version for prompt in await versions(unit_of_work, admin)] == [6, 5, 4, 3, 2]

    async def test_a_member_writes_nothing(
        self, prompts: Prompts, viewer: Viewer, unit_of_work: UnitOfWorkFactory
    ) -> None:
        """Neither a version nor which one is used."""
        with pytest.raises(Forbidden, match=r"^Only an admin of the community may change prompts$"):
            await prompts.create(viewer, type=IMAGE, name="Mine", body="{user_name}")
        with pytest.raises(Forbidden):
            await prompts.set_active(viewer, uuid4(), is_active=True)
        assert await versions(unit_of_work, viewer) == []

    @pytest.mark.parametrize(("name", "body"), [(" ", "x"), ("x" * 256, "x"), ("x", "{nobody}")])
    async def test_what_breaks_a_rule_is_not_stored(
        self, prompts: Prompts, admin: Viewer, unit_of_work: UnitOfWorkFactory, name: str, body: str
    ) -> None:
        """No version is used up."""
        with pytest.raises(InvalidInput):
            await prompts.create(admin, type=IMAGE, name=name, body=body)
        assert await versions(unit_of_work, admin) == []

    async def test_a_name_of_255_characters_is_taken(self, prompts: Prompts, admin: Viewer) -> None:
        """The limit itself is within it."""
        assert len((await prompts.create(admin, type=IMAGE, name="x" * 255, body="x")).name) == 255

    async def test_the_built_in_version_stays_active(
        self, prompts: Prompts, admin: Viewer, unit_of_work: UnitOfWorkFactory
    ) -> None:
        """Other communities use it too."""
        async with unit_of_work(read_only=True) as work:
            built_in = await work.prompts.active(admin.user.community_id, IMAGE)
        with pytest.raises(Conflict, match=r"^The built-in version stays active"):
            await prompts.set_active(admin, built_in.id, is_active=False)
        async with unit_of_work(read_only=True) as work:
            assert (await work.prompts.active(admin.user.community_id, IMAGE)).id == built_in.id

    async def test_another_communitys_version_is_not_found(
        self, prompts: Prompts, admin: Viewer, stranger: Viewer, unit_of_work: UnitOfWorkFactory
    ) -> None:
        """And stays as it is."""
        theirs = await prompts.create(admin, type=IMAGE, name="Ours", body="{user_name}")
        with pytest.raises(NotFound, match=r"^Prompt not found$"):
            await prompts.set_active(stranger, theirs.id, is_active=False)
        assert [prompt.is_active for prompt in await versions(unit_of_work, admin)] == [True]


class TestPreviews:
    """What a body would become."""

    async def test_a_body_is_shown_for_a_real_identity(
        self, prompts: Prompts, viewer: Viewer, admin: Viewer, unit_of_work: UnitOfWorkFactory
    ) -> None:
        """With its owner's name, also when an admin looks."""
        identity = an_identity(viewer.user)
        async with unit_of_work() as work:
            await work.identities.add(identity)
            await work.commit()
        body = "{user_name}: {identity_context}"
        for who in (viewer, admin):
            shown = await prompts.preview(who, body, IMAGE, identity.id)
            assert shown.startswith('Ada: Identity Name: "The Analyst"')

    async def test_without_an_identity_the_viewers_name_is_used(self, prompts: Prompts, admin: Viewer) -> None:
        """And the rest is said to be missing."""
        shown = await prompts.preview(admin, "{user_name}: {identity_context}", PromptType.COACH, None)
        assert shown == "Grace: None provided"

    async def test_someone_elses_identity_is_not_found(
        self, prompts: Prompts, viewer: Viewer, stranger: Viewer, unit_of_work: UnitOfWorkFactory
    ) -> None:
        """Nothing of it is shown."""
        identity = an_identity(viewer.user)
        async with unit_of_work() as work:
            await work.identities.add(identity)
            await work.commit()
        with pytest.raises(NotFound, match=r"^Identity not found$"):
            await prompts.preview(stranger, "{identity_context}", IMAGE, identity.id)

    async def test_the_texts_of_a_request_can_be_tried(self, prompts: Prompts, viewer: Viewer) -> None:
        """As they would be sent, also where the body has no place for the parts."""
        parts = StructuredPrompt(mood="calm")
        for body in ("{additional_prompt}\n{structured_prompt}", "{additional_prompt}"):
            shown = await prompts.preview(viewer, body, IMAGE, structured=parts, additional=" at sea ")
            assert shown == "at sea\nMood: calm"

    @pytest.mark.parametrize(
        ("texts", "path", "message"),
        [
            ({"additional": "x" * 4001}, "additionalPrompt", "Additional prompt must be at most 4,000 characters"),
            (
                {"structured": StructuredPrompt()},
                "structuredPrompt",
                "Fill in at least one part of the structured prompt",
            ),
        ],
    )
    async def test_texts_that_would_be_refused_are_refused_here(
        self, prompts: Prompts, viewer: Viewer, texts: dict[str, Any], path: str, message: str
    ) -> None:
        """The limit itself is taken."""
        with pytest.raises(InvalidInput) as caught:
            await prompts.preview(viewer, "x", IMAGE, **texts)
        assert [(problem.path, problem.message) for problem in caught.value.problems] == [((path,), message)]
        assert await prompts.preview(viewer, "{additional_prompt}", IMAGE, additional="x" * 4000) == "x" * 4000

    async def test_a_body_that_would_be_refused_is_refused_here(self, prompts: Prompts, viewer: Viewer) -> None:
        """The preview is where it is found out."""
        with pytest.raises(InvalidInput, match=r"^The body has a stray brace"):
            await prompts.preview(viewer, "{", IMAGE, None)
