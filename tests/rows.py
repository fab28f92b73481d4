"""Things as the database keeps them, made in one line: every test says only what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from domain.connection_profiles import ConnectionProfile
from domain.generations import STARTED, Attempt, Generation, GenerationState
from domain.identities import Identity
from domain.images import Image, ImageSource, Recipe
from domain.pictures import Picture, VariantSize
from domain.prompts import Prompt, PromptType
from domain.providers import ImageOptions, ProviderKind, ReferenceRole
from domain.quotas import Feature, Limit, Plan, QuotaUnit, UsageEvent, UsageKind
from domain.reference_images import ReferenceImage
from domain.repositories import UnitOfWorkFactory
from domain.users import Community, Role, User, Viewer
from domain.wizards import Step, Wizard

NOW = datetime(2026, 11, 20, 12, 30, 15, 123456, tzinfo=UTC)
PICTURE = Picture(
    key="community/images/1.png",
    sha256="ab" * 32,
    media_type="image/png",
    size_bytes=1234,
    width_px=640,
    height_px=480,
    placeholder="1QcSHQRnh493V4dIh4eXh1h4kJUI",
    variant_keys={VariantSize.MEDIUM: "community/images/1_300.png"},
)


def after(seconds: float) -> datetime:
    """A moment so many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def a_user(community: Community, **changes: Any) -> User:
    """A member."""
    user = User(
        id=uuid4(),
        community_id=community.id,
        email=f"{uuid4().hex}@example.org",
        name="Ada",
        role=Role.MEMBER,
        is_test=False,
        created_at=NOW,
        tokens_valid_after=NOW,
    )
    return replace(user, **changes)


async def stored_community(unit_of_work: UnitOfWorkFactory, name: str = "Lovelace") -> Community:
    """A community that is in the database."""
    community = Community(uuid4(), name)
    async with unit_of_work() as work:
        await work.users.add_community(community)
        await work.commit()
    return community


async def stored_viewer(unit_of_work: UnitOfWorkFactory, community: Community | None = None, **changes: Any) -> Viewer:
    """A user who is in the database, in a community of their own when none is given."""
    community = community or await stored_community(unit_of_work)
    user = a_user(community, **changes)
    async with unit_of_work() as work:
        await work.users.add(user, None)
        await work.commit()
    return Viewer(user)


def a_slot(owner: User, order: int = 0, **changes: Any) -> ReferenceImage:
    """A slot without a picture."""
    slot = ReferenceImage(
        id=uuid4(),
        community_id=owner.community_id,
        user_id=owner.id,
        name="From the left",
        order=order,
        role=ReferenceRole.FACE,
        picture=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(slot, **changes)


def an_identity(owner: User, **changes: Any) -> Identity:
    """An identity without a portrait."""
    identity = Identity(
        id=uuid4(),
        community_id=owner.community_id,
        user_id=owner.id,
        name="The Analyst",
        category="Work",
        i_am_statement="I am exact",
        visualization="At the engine",
        notes=("patient", "curious"),
        image_id=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(identity, **changes)


def a_prompt(community_id: UUID | None, version: int, **changes: Any) -> Prompt:
    """An active version."""
    prompt = Prompt(
        id=uuid4(),
        community_id=community_id,
        type=PromptType.IMAGE_GENERATION,
        version=version,
        name="Ours",
        body="{identity_context}",
        required_context_keys=(),
        is_active=True,
        author_id=None,
        created_at=NOW,
    )
    return replace(prompt, **changes)


def an_image(owner: User, **changes: Any) -> Image:
    """A private upload."""
    image = Image(
        id=uuid4(),
        community_id=owner.community_id,
        owner_id=owner.id,
        source=ImageSource.UPLOADED,
        picture=PICTURE,
        filename="ada.png",
        is_public=False,
        recipe=None,
        generation_id=None,
        generation_index=None,
        created_at=NOW,
    )
    return replace(image, **changes)


def a_recipe(**changes: Any) -> Recipe:
    """How an image was made from a plain prompt."""
    recipe = Recipe(
        prompt="A house",
        structured_prompt=None,
        prompt_version=None,
        revised_prompt=None,
        identity=None,
        reference_hashes=(),
        provider=ProviderKind.OFFLINE,
        model="sketch-1",
        options={"n": 2},
        cost_micro_usd=None,
        parent_image_id=None,
    )
    return replace(recipe, **changes)


async def stored_images(unit_of_work: UnitOfWorkFactory, *images: Image) -> None:
    """Store images together."""
    async with unit_of_work() as work:
        for image in images:
            await work.images.add(image)
        await work.commit()


def a_generation(owner: User, **changes: Any) -> Generation:
    """A generation that has not begun."""
    generation = Generation(
        id=uuid4(),
        community_id=owner.community_id,
        owner_id=owner.id,
        requested_by_id=owner.id,
        identity_id=None,
        provider=ProviderKind.OFFLINE,
        model="sketch-1",
        prompt="A house",
        structured_prompt=None,
        prompt_version=None,
        identity=None,
        options=ImageOptions(n=2),
        parent_image_id=None,
        save_to_identity=False,
        idempotency_key=None,
        input_hash="cd" * 32,
        state=GenerationState.QUEUED,
        event_seq=0,
        references=(),
        failures=(),
        expected_s=None,
        actual_cost=None,
        created_at=NOW,
        finished_at=None,
    )
    return replace(generation, **changes)


def an_attempt(generation: Generation, number: int = 1, **changes: Any) -> Attempt:
    """A call that has begun."""
    attempt = Attempt(
        id=uuid4(),
        generation_id=generation.id,
        index=0,
        number=number,
        provider=generation.provider,
        model=generation.model,
        started_at=NOW,
        finished_at=None,
        outcome=STARTED,
        provider_request_id=None,
        cost=None,
    )
    return replace(attempt, **changes)


def a_profile(owner: User, **changes: Any) -> ConnectionProfile:
    """A profile with a key that nobody can open."""
    profile = ConnectionProfile(
        id=uuid4(),
        community_id=owner.community_id,
        user_id=owner.id,
        name="Mine",
        provider=ProviderKind.OPENAI,
        base_url=None,
        model=None,
        sealed_key="sealed",
        key_hint="cdef",
        is_default=False,
        created_at=NOW,
    )
    return replace(profile, **changes)


def a_wizard(community_id: UUID, **changes: Any) -> Wizard:
    """A wizard without steps."""
    return replace(Wizard(uuid4(), community_id, "Who I am", NOW), **changes)


def a_step(wizard: Wizard, order: int = 0, **changes: Any) -> Step:
    """A step without a background."""
    return replace(Step(uuid4(), wizard.community_id, wizard.id, "Welcome", order, None), **changes)


def limit_of(images: int) -> Limit:
    """A limit of so many pictures."""
    return Limit(Feature.IMAGE_GENERATION, QuotaUnit.IMAGES, images)


def a_plan(community_id: UUID | None, *limits: Limit, **changes: Any) -> Plan:
    """A plan with these limits."""
    return replace(Plan(uuid4(), community_id, "Small", limits, NOW), **changes)


def a_reservation(generation: Generation, amount: int = 2, **changes: Any) -> UsageEvent:
    """The line of the ledger that reserves so many pictures."""
    event = UsageEvent(
        id=uuid4(),
        community_id=generation.community_id,
        user_id=generation.requested_by_id,
        generation_id=generation.id,
        feature=Feature.IMAGE_GENERATION,
        unit=QuotaUnit.IMAGES,
        period="2026-11",
        kind=UsageKind.RESERVE,
        reserved_delta=amount,
        used_delta=0,
        at=NOW,
    )
    return replace(event, **changes)
