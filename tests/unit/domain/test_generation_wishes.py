"""What a caller may wish for: which wishes make sense, which are the same, and what a model adds to them."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.prompts import StructuredPrompt
from domain.providers import ImageOptions, ProviderKind, with_defaults
from domain.tags import Tag, TagKind
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.database import RecordedJobs
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
BEFORE_PROFILES = "ba35bd1c81944630bdc098d3202d6cadb25c59929773dd0cd7005b240117605a"
"""The fingerprint of it in the first version, which knew of no profiles."""
ID = uuid4()


class TestWishes:
    """Texts that contradict each other, are missing, or are too long."""

    @pytest.mark.parametrize(
        "wish",
        [
            HOUSE,
            GenerateImage(identity_id=ID),
            GenerateImage(parent_image_id=ID),
            GenerateImage(structured_prompt=StructuredPrompt(mood="calm")),
            GenerateImage(identity_id=ID, prompt="x" * 4000, additional_prompt="x" * 4000, save_to_identity=True),
            GenerateImage(identity_id=ID, structured_prompt=StructuredPrompt(mood="calm"), idempotency_key="x" * 255),
        ],
    )
    def test_one_source_is_enough_and_an_identity_takes_another(self, wish: GenerateImage) -> None:
        """At the limits of each."""
        wish.check()

    @pytest.mark.parametrize(
        ("wish", "path", "message"),
        [
            (GenerateImage(), "identityId", "Give one of identityId, prompt, structuredPrompt and parentImageId"),
            (
                replace(HOUSE, options=ImageOptions(size="1x1", aspect_ratio="1:1")),
                "options.size",
                "Give size, or aspectRatio and resolution: they may contradict each other",
            ),
            (
                replace(HOUSE, options=ImageOptions(size="1x1", resolution="1K")),
                "options.size",
                "Give size, or aspectRatio and resolution: they may contradict each other",
            ),
            (
                GenerateImage(additional_prompt="x"),
                "identityId",
                "Give one of identityId, prompt, structuredPrompt and parentImageId",
            ),
            (
                replace(HOUSE, structured_prompt=StructuredPrompt(mood="calm")),
                "prompt",
                "Give prompt or structuredPrompt, not both",
            ),
            (GenerateImage(prompt=" "), "prompt", "Prompt must be 1 to 4,000 characters"),
            (GenerateImage(prompt="x" * 4001), "prompt", "Prompt must be 1 to 4,000 characters"),
            (
                replace(HOUSE, additional_prompt="x" * 4001),
                "additionalPrompt",
                "Additional prompt must be at most 4,000 characters",
            ),
            (
                replace(HOUSE, save_to_identity=True),
                "saveToIdentity",
                "There is no identity to save to: give identityId",
            ),
            (replace(HOUSE, tags=(Tag(TagKind.CHAT, ""),)), "tags", "A tag's value must be 1 to 100 characters"),
            (replace(HOUSE, model="../admin"), "model", "That is not the name of a model"),
            (replace(HOUSE, model=" "), "model", "That is not the name of a model"),
            (replace(HOUSE, idempotency_key=""), "idempotencyKey", "The key must be 1 to 255 characters"),
            (replace(HOUSE, idempotency_key="x" * 256), "idempotencyKey", "The key must be 1 to 255 characters"),
            (
                GenerateImage(structured_prompt=StructuredPrompt()),
                "structuredPrompt",
                "Fill in at least one part of the structured prompt",
            ),
        ],
    )
    async def test_a_wish_that_makes_no_sense_is_refused(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs, wish: GenerateImage, path: str, message: str
    ) -> None:
        """By the field that is wrong; nothing is put in line."""
        with pytest.raises(InvalidInput) as caught:
            await shop.requests.ask(viewer, wish)
        assert [(problem.path, problem.message) for problem in caught.value.problems] == [
            (tuple(path.split(".")), message)
        ]
        assert jobs.enqueued == []

    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        """In one message."""
        with pytest.raises(InvalidInput) as caught:
            GenerateImage(prompt="", additional_prompt="x" * 4001, idempotency_key="").check()
        assert [problem.path for problem in caught.value.problems] == [
            ("prompt",),
            ("additionalPrompt",),
            ("idempotencyKey",),
        ]
        assert caught.value.message == "; ".join(problem.message for problem in caught.value.problems)


class TestFingerprints:
    """What tells a repeated call from another one."""

    def test_the_key_is_no_part_of_it(self) -> None:
        """Only what is asked for."""
        assert replace(HOUSE, idempotency_key="a").fingerprint() == HOUSE.fingerprint()

    def test_it_outlives_updates_of_the_server(self) -> None:
        """A client that repeats a call after one still gets its first generation."""
        assert HOUSE.fingerprint() == BEFORE_PROFILES

    @pytest.mark.parametrize(
        "other",
        [
            GenerateImage(identity_id=ID),
            GenerateImage(identity_id=uuid4()),
            GenerateImage(prompt="A house "),
            GenerateImage(prompt="A house", additional_prompt="by night"),
            GenerateImage(structured_prompt=StructuredPrompt(subject="A house")),
            GenerateImage(structured_prompt=StructuredPrompt(style="A house")),
            replace(HOUSE, provider=ProviderKind.OFFLINE),
            replace(HOUSE, model="sketch-1"),
            replace(HOUSE, options=ImageOptions(n=2)),
            replace(HOUSE, options=ImageOptions(seed=0)),
            replace(HOUSE, parent_image_id=ID),
            replace(HOUSE, save_to_identity=True),
            replace(HOUSE, step_id=ID),
            replace(HOUSE, profile_id=ID),
            replace(HOUSE, fallback_profile_ids=(ID,)),
            replace(HOUSE, fallback_profile_ids=(ID, UUID(int=1))),
            replace(HOUSE, fallback_profile_ids=(UUID(int=1), ID)),
            replace(HOUSE, tags=(Tag(TagKind.THEME, "Sea"),)),
            replace(HOUSE, tags=(Tag(TagKind.CHAT, "Sea"),)),
        ],
    )
    def test_everything_else_is(self, other: GenerateImage) -> None:
        """Any difference makes another request; the same again does not."""
        assert other.fingerprint() != HOUSE.fingerprint()
        assert other.fingerprint() == replace(other).fingerprint()


class TestDefaults:
    """The model's own options."""

    DEFAULTS = ImageOptions(aspect_ratio="16:9", resolution="4K", quality="high")

    def test_what_is_not_asked_for_is_the_models(self) -> None:
        """And what is asked for stays."""
        options = with_defaults(ImageOptions(n=3, quality="low", seed=0), self.DEFAULTS)
        assert options == ImageOptions(n=3, aspect_ratio="16:9", resolution="4K", quality="low", seed=0)

    def test_a_size_keeps_the_default_shape_out(self) -> None:
        """It says everything about the shape; an asked ratio stays for the check to judge."""
        assert with_defaults(ImageOptions(size="64x64"), self.DEFAULTS) == ImageOptions(size="64x64", quality="high")
        asked = ImageOptions(size="64x64", aspect_ratio="1:1")
        assert with_defaults(asked, self.DEFAULTS).aspect_ratio == "1:1"

    TEXTS = st.none() | st.text(max_size=2)
    OPTIONS = st.builds(
        ImageOptions,
        n=st.integers(1, 10),
        size=TEXTS,
        aspect_ratio=TEXTS,
        resolution=TEXTS,
        quality=TEXTS,
        seed=st.none() | st.integers(),
    )

    @given(OPTIONS, OPTIONS)
    def test_nothing_asked_for_is_ever_replaced(self, asked: ImageOptions, defaults: ImageOptions) -> None:
        """Whatever the defaults; and a second time changes nothing."""
        merged = with_defaults(asked, defaults)
        for name in ImageOptions.__dataclass_fields__:
            if getattr(asked, name) is not None:
                assert getattr(merged, name) == getattr(asked, name)
        assert merged.n == asked.n
        if not merged.size or asked.size:
            assert with_defaults(merged, defaults) == merged
