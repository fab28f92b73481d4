"""Whole communities, with something of every kind, in which every text and number tells whose it is."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Any, cast
from uuid import UUID, uuid4

from graphql import GraphQLInterfaceType

from domain.connection_profiles import ConnectionProfile, ProfileChange
from domain.costs import Cost, CostBasis
from domain.failures import FailureCode, failure
from domain.generations import STAGES, EventDraft, Generation, GenerationState, PinnedReference
from domain.images import Image, ImageSource
from domain.pictures import Picture, VariantSize
from domain.prompts import PromptType, StructuredPrompt
from domain.providers import ImageOptions, ProviderKind, ReferenceRole
from domain.quotas import Account, Feature, Limit, QuotaUnit
from domain.tags import Tag, TagKind
from domain.users import Community, Role, User, Viewer
from graph.cursors import cursor_of
from graph.ids import global_id
from tests.graphql import World
from tests.rows import (
    NOW,
    a_generation,
    a_plan,
    a_prompt,
    a_recipe,
    a_reservation,
    a_slot,
    a_step,
    a_user,
    a_wizard,
    after,
    an_attempt,
    an_identity,
    an_image,
)

FEATURE = Feature.IMAGE_GENERATION


@dataclass(frozen=True, slots=True)
class Traces:
    """What gives somebody's things away in an answer, or in a row of the database."""

    texts: frozenset[str]
    ids: frozenset[str]
    """Without hyphens, as some databases keep them."""
    numbers: frozenset[int]

    def found_in(self, values: Any) -> set[str]:
        """Every trace in the values of an answer or of a row."""
        flat = list(_flat(values))
        text = "\n".join(value for value in flat if isinstance(value, str))
        bare = text.replace("-", "")
        found = {trace for trace in self.texts if trace in text} | {trace for trace in self.ids if trace in bare}
        return found | {str(value) for value in flat if type(value) is int and value in self.numbers}


def _flat(value: Any) -> Iterator[str | int]:
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner)
    elif isinstance(value, str):
        yield str(value)
    elif isinstance(value, int):
        yield value
    elif value is not None:
        yield str(value)


def _noted(value: Any) -> Iterator[Any]:
    """Every plain value in a row of the domain."""
    if is_dataclass(value):
        value = [getattr(value, part.name) for part in fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _noted(inner)
    elif not isinstance(value, Enum):
        yield value


def traces_of(*rows: Any, mark: str) -> Traces:
    """What gives these rows away: their ids, global ids, cursors and hashes, marked texts, and large numbers."""
    ids = frozenset(row.id.hex for row in rows)
    values = [value for row in rows for value in _noted(row)]
    hashes = {value for value in values if isinstance(value, str) and len(value) == 64}
    names = {global_id(type(row).__name__, row.id) for row in rows}
    places = {cursor_of(row) for row in rows if hasattr(row, "created_at")}
    numbers = {value for value in values if type(value) is int and value > 1_000_000}
    return Traces(frozenset({mark, *hashes, *names, *places}), ids, frozenset(numbers))


def owner_id(row: Any) -> UUID | None:
    """Whose the row is."""
    if isinstance(row, User):
        return row.id
    found: UUID | None = getattr(row, "owner_id", getattr(row, "user_id", None))
    return found


def ids_of(rows: list[Any]) -> dict[str, list[str]]:
    """The rows' global ids by noun."""
    found: dict[str, list[str]] = {}
    for row in rows:
        noun = type(row).__name__
        found.setdefault(noun, []).append(global_id(noun, row.id))
    return found


@dataclass(slots=True)
class Settlement:
    """A community and everything in it. Texts begin with `mark`, what is private of one user with that user's mark."""

    mark: str
    first_number: int
    community: Community
    admin: Viewer
    ada: Viewer
    bob: Viewer
    rows: list[Any] = field(default_factory=list)
    private: list[Any] = field(default_factory=list)
    """What of Ada's nobody but she and admins may see."""
    numbers: set[int] = field(default_factory=set)

    @property
    def traces(self) -> Traces:
        """What gives the community away."""
        return replace(traces_of(*self.rows, mark=self.mark), numbers=frozenset(self.numbers))

    @property
    def adas_traces(self) -> Traces:
        """What gives away what is Ada's alone."""
        return traces_of(*self.private, mark=self.secret(self.ada.user))

    @property
    def ids(self) -> dict[str, list[str]]:
        """Every global id, by noun."""
        return ids_of(self.rows)

    def ids_of(self, user: User) -> dict[str, list[str]]:
        """Global ids of the user and their things, by noun."""
        return ids_of([row for row in self.rows if owner_id(row) == user.id])

    def ids_for(self, user: User) -> dict[str, list[str]]:
        """The same, and those of what belongs to nobody alone."""
        return ids_of([row for row in self.rows if owner_id(row) in {user.id, None}])

    def secret(self, user: User) -> str:
        """What texts begin with that nobody else may see."""
        return f"{self.mark}secret{user.id.hex[:8]}"

    def sealed(self, user: User) -> str:
        """What texts begin with that not even admins may see."""
        return f"{self.secret(user)}sealed"

    def sealed_traces(self, user: User) -> Traces:
        """What gives away the user's connection profile."""
        profiles = [row for row in self.rows if isinstance(row, ConnectionProfile) and row.user_id == user.id]
        return traces_of(*profiles, mark=self.sealed(user))

    def counted(self, times: int = 1) -> int:
        """The next number that is nobody else's, or so many times that."""
        number = (self.first_number + len(self.numbers)) * times
        self.numbers.add(number)
        return number


async def settled(world: World, mark: str, number: int) -> Settlement:
    """A community with everything in it; its texts begin with the mark, its numbers with the number."""
    community = Community(uuid4(), f"{mark} community")
    async with world.unit_of_work() as work:
        await work.users.add_community(community)
        await work.commit()
    admin, ada, bob = people = [_person(community, mark, role) for role in (Role.ADMIN, Role.MEMBER, Role.MEMBER)]
    tester = _person(community, mark, Role.MEMBER, is_test=True)
    home = Settlement(mark, number, community, Viewer(admin), Viewer(ada), Viewer(bob))
    for user in (*people, tester):
        async with world.unit_of_work() as work:
            await work.users.add(replace(user, email=f"{home.secret(user)}@example.org"), None)
            await work.commit()
    home.rows += [community, *people, tester]
    await _shared_things(world, home)
    for user in people:
        await _own_things(world, home, user)
    await _allowances(world, home)
    nodes = world.schema._schema.get_possible_types(cast("GraphQLInterfaceType", world.schema._schema.get_type("Node")))
    assert set(home.ids) == {node.name for node in nodes}, "tests/settlements.py has no thing of each kind"
    return home


def _person(community: Community, mark: str, role: Role, *, is_test: bool = False) -> User:
    return a_user(community, name=f"{mark} {role.lower()}", role=role, is_test=is_test)


def _picture(home: Settlement, text: str) -> Picture:
    stem = f"{text}/images/{uuid4().hex}"
    return Picture(
        key=f"{stem}.png",
        sha256=hashlib.sha256(stem.encode()).hexdigest(),
        media_type="image/png",
        size_bytes=home.counted(),
        width_px=640,
        height_px=480,
        placeholder=f"{text}placeholder",
        variant_keys={size: f"{stem}_{size.lower()}.png" for size in VariantSize if size is not VariantSize.ORIGINAL},
    )


def _cost(home: Settlement) -> Cost:
    return Cost(home.counted(), CostBasis.USAGE)


def _image(home: Settlement, owner: User, text: str, **changes: Any) -> Image:
    tags = (Tag(TagKind.CHARACTER, f"{text} tag"),)
    created_at = after(-len(home.rows))
    named = an_image(owner, picture=_picture(home, text), filename=f"{text}.png", tags=tags, created_at=created_at)
    return replace(named, **changes)


async def _shared_things(world: World, home: Settlement) -> None:
    admin, mark = home.admin.user, home.mark
    prompts = [
        a_prompt(home.community.id, 1, type=PromptType.COACH, name=f"{mark} coach", body=f"{mark} body"),
        a_prompt(home.community.id, 2, name=f"{mark} images", body=f"{mark} {{identity_context}}", author_id=admin.id),
    ]
    async with world.unit_of_work(read_only=True) as work:
        built_in = await work.prompts.active(home.community.id, PromptType.IMAGE_GENERATION)
    wizard = a_wizard(home.community.id, name=f"{mark} wizard")
    backgrounds = [
        _image(home, admin, f"{mark}open", is_public=is_public, prompt_id=built_in.id) for is_public in (True, False)
    ]
    steps = [
        a_step(wizard, order, title=f"{mark} step", background_id=image.id) for order, image in enumerate(backgrounds)
    ]
    rows = [*prompts, wizard, *backgrounds, *steps]
    await world.add(*rows)
    home.rows += rows


async def _own_things(world: World, home: Settlement, owner: User) -> None:
    secret, prompt = home.secret(owner), next(row for row in home.rows if type(row).__name__ == "Prompt")
    step = next(row for row in home.rows if type(row).__name__ == "Step")
    identity = an_identity(
        owner, name=f"{secret} name", category=f"{secret} category", i_am_statement=secret, notes=(f"{secret} note",)
    )
    profile = await _profile(world, home, owner)
    slot = a_slot(owner, name=f"{secret} slot", picture=_picture(home, secret))
    generations = [
        a_generation(
            owner,
            identity_id=identity.id,
            step_id=step.id,
            profile_id=profile.id,
            prompt=f"{secret} prompt",
            structured_prompt=StructuredPrompt(style=f"{secret} style"),
            identity={"id": str(identity.id), "name": identity.name},
            idempotency_key=f"{secret} {state}",
            input_hash=hashlib.sha256(f"{secret} {state}".encode()).hexdigest(),
            tags=(Tag(TagKind.CHAT, f"{secret} tag"),),
            options=ImageOptions(n=1),
            price=_cost(home),
            created_at=NOW - timedelta(seconds=number),
            # Never so by the rules: what somebody else's points at must not be told all the same.
            retry_of_id=next((row.id for row in reversed(home.rows) if isinstance(row, Generation)), None),
        )
        for number, state in enumerate(GenerationState)
    ]
    plain = a_recipe(prompt=f"{home.mark}open prompt", cost_micro_usd=home.counted())
    personal = replace(
        plain,
        prompt=f"{secret} prompt",
        revised_prompt=f"{secret} revised",
        structured_prompt=StructuredPrompt(mood=f"{secret} mood"),
        identity={"id": str(identity.id), "name": identity.name},
        reference_hashes=(hashlib.sha256(secret.encode()).hexdigest(),),
        cost_micro_usd=home.counted(),
    )
    hidden = [
        _image(home, owner, secret),
        _image(home, owner, secret, recipe=personal, generation_id=generations[4].id, generation_index=0),
        _image(
            home,
            owner,
            secret,
            recipe=replace(plain, prompt=secret, cost_micro_usd=home.counted()),
            prompt_id=prompt.id,
        ),
    ]
    child = replace(plain, parent_image_id=hidden[0].id)
    shown = [
        _image(home, owner, f"{home.mark}open", is_public=True),
        _image(home, owner, f"{home.mark}open", is_public=True, recipe=child, prompt_id=prompt.id),
        _image(
            home,
            owner,
            f"{home.mark}open",
            is_public=True,
            recipe=personal,
            generation_id=generations[4].id,
            generation_index=1,
        ),
    ]
    made = [replace(image, source=ImageSource.GENERATED) if image.recipe else image for image in (*hidden, *shown)]
    await world.add(identity, slot, *generations, *made)
    async with world.unit_of_work() as work:
        await work.identities.set_image(identity.id, shown[2].id, NOW)
        await work.commit()
    for generation, state in zip(generations, GenerationState, strict=True):
        await _events(world, home, generation, state, hidden[1])
    if owner == home.ada.user:
        home.private += [identity, slot, profile, *generations, *hidden]
    home.rows += [identity, slot, profile, *generations, *made]


async def _profile(world: World, home: Settlement, owner: User) -> ConnectionProfile:
    """A profile with all that one can have. The fake vault hides the key from who searches rows for it."""
    sealed = home.sealed(owner)
    return await world.services.connection_profiles.create(
        Viewer(owner),
        ProviderKind.OPENAI_COMPATIBLE,
        ProfileChange(f"{sealed} name", f"https://{sealed}.example.org", f"{sealed}-model", f"{sealed}key"),
        tried=False,
    )


async def _events(world: World, home: Settlement, generation: Generation, until: GenerationState, image: Image) -> None:
    """An event for each state until the last, with a preview, an image and a failure, and a call to the provider."""
    secret = home.secret(next(row for row in home.rows if row.id == generation.owner_id))
    broken = failure(FailureCode.BAD_RESPONSE, f"{secret} failure").at(1)
    way = list(GenerationState)[:4]
    way = way[: way.index(until) + 1] if until in way else [*way, until]
    pinned = PinnedReference(f"{secret}/pin", "ef" * 32, f"{secret} pin", ReferenceRole.FACE, "image/png", 9, 9)
    attempt = an_attempt(
        generation,
        provider_request_id=f"{secret} request",
        profile_id=generation.profile_id,
        detail=f"{secret} detail",
        cost=_cost(home),
    )
    async with world.unit_of_work() as work:
        await work.generations.add_attempt(attempt)
        await work.generations.pin_references(generation.id, [pinned])
        for state in way:
            draft = EventDraft(state, f"{secret} {STAGES[state]}")
            if state is GenerationState.GENERATING:
                draft = replace(draft, index=0, preview=_picture(home, secret), image_id=image.id, failure=broken)
            if state.is_terminal:
                await work.generations.finish(generation.id, NOW, draft, [broken], _cost(home))
            else:
                await work.generations.append(generation.id, NOW, draft)
        await work.usage.record(a_reservation(generation, home.counted()))
        await work.commit()


async def _allowances(world: World, home: Settlement) -> None:
    """A plan, limits and what was used; one picture is kept and one doomed."""
    plan = a_plan(
        home.community.id,
        *(Limit(FEATURE, unit, home.counted(times=4)) for unit in QuotaUnit),
        name=f"{home.mark} plan",
    )
    picture = _picture(home, home.mark)
    subjects: list[UUID] = [home.community.id, home.admin.id, home.ada.id, home.bob.id]
    async with world.unit_of_work() as work:
        await work.plans.add(plan)
        await work.users.update_community(replace(home.community, plan_id=plan.id))
        for unit in QuotaUnit:
            await work.plans.set_user_limit(home.ada.id, FEATURE, unit, home.counted(times=4))
            for subject in subjects:
                await work.usage.move(Account(subject, FEATURE, unit, "2026-11"), home.counted(), home.counted())
        await work.pictures.doom(picture.keys, NOW)
        await work.pictures.keep(home.ada.id, picture)
        await work.pictures.doom([f"{home.mark}/doomed"], NOW)
        await work.commit()
    home.rows.append(plan)
