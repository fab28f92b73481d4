"""The contract of the generations' repository: rows, the numbering of events, and attempts."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.costs import Cost, CostBasis
from domain.errors import Conflict, NotFound
from domain.failures import FailureCode, failure
from domain.generations import (
    STAGES,
    SUCCEEDED,
    EventDraft,
    Generation,
    GenerationEvent,
    GenerationState,
    IdempotencyKeyTaken,
    PictureSettled,
    PinnedReference,
    RunningGeneration,
)
from domain.pages import Cursor, Page, PageRequest
from domain.prompts import StructuredPrompt
from domain.providers import ImageOptions, OutputFormat, ProviderKind, ReferenceRole
from domain.repositories import UnitOfWorkFactory
from domain.routes import Route
from domain.tags import Tag, TagKind
from domain.users import Role, Viewer
from tests.graphql import Statements
from tests.rows import (
    NOW,
    PICTURE,
    a_generation,
    a_prompt,
    a_step,
    a_wizard,
    after,
    an_attempt,
    an_identity,
    stored_community,
    stored_viewer,
)

QUEUED, PREPARING, GENERATING, STORING = (
    GenerationState.QUEUED,
    GenerationState.PREPARING,
    GenerationState.GENERATING,
    GenerationState.STORING,
)
DONE, FAILED = GenerationState.SUCCEEDED, GenerationState.FAILED
COST = Cost(77, CostBasis.USAGE)
REFERENCE = PinnedReference("staging/reference-0", "ef" * 32, "Left", ReferenceRole.FACE, "image/jpeg", 800, 600)
HUGE = 2**40
FALLBACKS = (
    Route(
        ProviderKind.OPENAI,
        "gpt-image-2",
        ImageOptions(n=3, quality="high", output_format=OutputFormat.WEBP),
        uuid4(),
        Cost(HUGE, CostBasis.TYPICAL),
    ),
    Route(ProviderKind.OLLAMA, "flux"),
)
REFUSAL = failure(FailureCode.REFUSED_OUTPUT, is_charged=True, retry_after_s=3).at(1)


async def stored(unit_of_work: UnitOfWorkFactory, *generations: Generation) -> None:
    """Store generations together."""
    async with unit_of_work() as work:
        for generation in generations:
            await work.generations.add(generation)
        await work.commit()


async def a_stored_generation(unit_of_work: UnitOfWorkFactory) -> Generation:
    """A generation that is in the database, without any event."""
    generation = a_generation((await stored_viewer(unit_of_work)).user)
    await stored(unit_of_work, generation)
    return generation


async def tell(unit_of_work: UnitOfWorkFactory, generation: Generation, draft: EventDraft) -> GenerationEvent | None:
    """Append in a unit of work of its own."""
    async with unit_of_work() as work:
        event = await work.generations.append(generation.id, NOW, draft)
        await work.commit()
    return event


async def end(
    unit_of_work: UnitOfWorkFactory, generation: Generation, state: GenerationState
) -> GenerationEvent | None:
    """Finish in a unit of work of its own."""
    async with unit_of_work() as work:
        event = await work.generations.finish(generation.id, after(9), EventDraft(state, "End"), [REFUSAL], COST)
        await work.commit()
    return event


async def events(unit_of_work: UnitOfWorkFactory, generation: Generation) -> Sequence[GenerationEvent]:
    """Every event."""
    async with unit_of_work(read_only=True) as work:
        return await work.generations.events(generation.id, after=0, limit=1000)


async def test_a_generation_comes_back_as_stored(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field, filled in and empty."""
    viewer = await stored_viewer(unit_of_work)
    identity = an_identity(viewer.user)
    prompt = a_prompt(viewer.user.community_id, 4)
    wizard = a_wizard(viewer.user.community_id)
    step = a_step(wizard)
    bare = a_generation(viewer.user)
    full = a_generation(
        viewer.user,
        identity_id=identity.id,
        structured_prompt=StructuredPrompt(style="oil"),
        prompt_version=4,
        prompt_id=prompt.id,
        step_id=step.id,
        tags=(Tag(TagKind.THEME, "Engines"), Tag(TagKind.CHAT, "7")),
        price=Cost(HUGE, CostBasis.TYPICAL),
        profile_id=uuid4(),
        fallbacks=FALLBACKS,
        identity={"id": str(identity.id), "notes": ["patient"]},
        options=ImageOptions(n=3, size="1024x1024", output_format=OutputFormat.AVIF, seed=2**40),
        save_to_identity=True,
        idempotency_key="again",
        references=(REFERENCE,),
        failures=(REFUSAL,),
        expected_s=12.5,
        actual_cost=Cost(HUGE, CostBasis.REPORTED),
        finished_at=after(30),
        retry_of_id=bare.id,
    )
    async with unit_of_work() as work:
        await work.identities.add(identity)
        await work.prompts.add(prompt)
        await work.wizards.add(wizard)
        await work.wizards.add_step(step)
        await work.commit()
    await stored(unit_of_work, bare, full)
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.load(full.id) == full
        assert await work.generations.get(viewer.scope, bare.id) == bare
        assert await work.generations.load(uuid4()) is None


async def test_who_reaches_a_generation(unit_of_work: UnitOfWorkFactory) -> None:
    """Its owner and the admins of the community, nobody else."""
    community = await stored_community(unit_of_work)
    owner, member = await stored_viewer(unit_of_work, community), await stored_viewer(unit_of_work, community)
    admin = await stored_viewer(unit_of_work, community, role=Role.ADMIN)
    stranger = await stored_viewer(unit_of_work, role=Role.ADMIN)
    generation = a_generation(owner.user, requested_by_id=admin.id)
    await stored(unit_of_work, generation)
    async with unit_of_work(read_only=True) as work:
        for viewer in (owner, admin):
            assert await work.generations.by_ids(viewer.scope, [generation.id]) == [generation]
        for viewer in (member, stranger):
            assert await work.generations.by_ids(viewer.scope, [generation.id]) == []
            with pytest.raises(NotFound):
                await work.generations.get(viewer.scope, generation.id)


async def test_a_list_of_generations(unit_of_work: UnitOfWorkFactory) -> None:
    """The viewer's own, the newest first, page by page."""
    viewer, other = await stored_viewer(unit_of_work), await stored_viewer(unit_of_work)
    old, middle, new = (a_generation(viewer.user, created_at=after(second)) for second in (1, 2, 3))
    await stored(unit_of_work, new, old, middle, a_generation(other.user))
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.page(viewer, PageRequest(2)) == Page([new, middle], True, False)
        rest = PageRequest(2, Cursor(middle.created_at, middle.id))
        assert await work.generations.page(viewer, rest) == Page([old], False, True)


async def test_an_idempotency_key_is_used_once_per_requester(unit_of_work: UnitOfWorkFactory) -> None:
    """Of requests at once with one key one is stored; without a key, and for another requester, all are."""
    viewer, other = await stored_viewer(unit_of_work), await stored_viewer(unit_of_work)

    async def ask(asker: Viewer, key: str | None) -> bool:
        try:
            await stored(unit_of_work, a_generation(asker.user, idempotency_key=key))
        except IdempotencyKeyTaken:
            return False
        return True

    assert sum(await asyncio.gather(*(ask(viewer, "again") for _ in range(6)))) == 1
    assert all(await asyncio.gather(ask(other, "again"), ask(viewer, None), ask(viewer, None)))
    async with unit_of_work(read_only=True) as work:
        found = await work.generations.of_key(viewer.id, "again")
        assert found is not None
        assert found.owner_id == viewer.id
        assert await work.generations.of_key(viewer.id, "another") is None


async def test_events_appended_at_once_have_numbers_without_gaps(unit_of_work: UnitOfWorkFactory) -> None:
    """Twenty writers draw 1 to 20, each one number, also when others among them roll back."""
    generation = await a_stored_generation(unit_of_work)

    async def think_better_of_it() -> None:
        async with unit_of_work() as work:
            await work.generations.append(generation.id, NOW, EventDraft(stage="never told"))

    told = [tell(unit_of_work, generation, EventDraft(stage=f"Step {number}")) for number in range(20)]
    unsaid = [think_better_of_it() for _ in range(5)]
    drawn = [event for event in await asyncio.gather(*told, *unsaid) if event]
    kept = await events(unit_of_work, generation)
    assert [event.seq for event in kept] == list(range(1, 21))
    assert sorted(drawn, key=lambda event: event.seq) == kept
    assert {event.stage for event in kept} == {f"Step {number}" for number in range(20)}
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.last_seqs([generation.id, uuid4()]) == {generation.id: 20}


async def test_an_event_comes_back_as_told(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field; without a state the generation's stays, without a stage the state's words are told."""
    generation = await a_stored_generation(unit_of_work)
    image_id = uuid4()
    drafts = [
        EventDraft(QUEUED),
        EventDraft(GENERATING, "On it"),
        EventDraft(stage="Preview 1", index=1, preview=PICTURE),
        EventDraft(stage="Picture 1 of 2 is done", index=0, image_id=image_id),
        EventDraft(stage="Refused", index=1, failure=REFUSAL),
    ]
    told = [await tell(unit_of_work, generation, draft) for draft in drafts]
    expected = [
        GenerationEvent(generation.id, 1, NOW, QUEUED, STAGES[QUEUED]),
        GenerationEvent(generation.id, 2, NOW, GENERATING, "On it"),
        GenerationEvent(generation.id, 3, NOW, GENERATING, "Preview 1", 1, PICTURE),
        GenerationEvent(generation.id, 4, NOW, GENERATING, "Picture 1 of 2 is done", 0, None, image_id),
        GenerationEvent(generation.id, 5, NOW, GENERATING, "Refused", 1, failure=REFUSAL),
    ]
    assert told == await events(unit_of_work, generation) == expected
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.events(generation.id, after=1, limit=2) == expected[1:3]
        assert await work.generations.outcomes(generation.id) == expected[3:]


IMAGE_OF_0 = EventDraft(stage="Done", index=0, image_id=uuid4())
FAILURE_OF_0 = EventDraft(stage="Refused", index=0, failure=replace(REFUSAL, index=0))


@pytest.mark.parametrize("again", [IMAGE_OF_0, replace(IMAGE_OF_0, image_id=uuid4()), FAILURE_OF_0])
@pytest.mark.parametrize("first", [IMAGE_OF_0, FAILURE_OF_0])
async def test_what_became_of_a_picture_is_told_once(
    unit_of_work: UnitOfWorkFactory, first: EventDraft, again: EventDraft
) -> None:
    """Whatever the second one says: it draws no number. Other pictures, and all else of this one, are told."""
    generation, other = await a_stored_generation(unit_of_work), await a_stored_generation(unit_of_work)
    await tell(unit_of_work, generation, first)
    for _ in range(2):
        with pytest.raises(PictureSettled):
            await tell(unit_of_work, generation, again)
    preview = EventDraft(stage="Preview 1", index=0, preview=PICTURE)
    whole = EventDraft(stage="All failed", failure=replace(REFUSAL, index=None))
    for draft in (replace(first, index=1), preview, preview, whole, whole, EventDraft(STORING)):
        assert await tell(unit_of_work, generation, draft)
    assert await tell(unit_of_work, other, first)
    assert [event.seq for event in await events(unit_of_work, generation)] == list(range(1, 8))
    async with unit_of_work(read_only=True) as work:
        assert [event.seq for event in await work.generations.outcomes(generation.id)] == [1, 2]


async def test_of_workers_that_tell_of_a_picture_at_once_one_is_heard(unit_of_work: UnitOfWorkFactory) -> None:
    """The others are told so."""
    generation = await a_stored_generation(unit_of_work)
    drafts = [replace(IMAGE_OF_0, image_id=uuid4()) for _ in range(5)]
    told = await asyncio.gather(*(tell(unit_of_work, generation, draft) for draft in drafts), return_exceptions=True)
    assert sum(isinstance(answer, PictureSettled) for answer in told) == 4
    (heard,) = [answer for answer in told if isinstance(answer, GenerationEvent)]
    assert await events(unit_of_work, generation) == [heard]
    assert heard.seq == 1


@pytest.mark.parametrize("present", [QUEUED, PREPARING, GENERATING, STORING])
@pytest.mark.parametrize("asked", [QUEUED, PREPARING, GENERATING, STORING])
async def test_a_state_is_told_once_and_never_goes_back(
    unit_of_work: UnitOfWorkFactory, present: GenerationState, asked: GenerationState
) -> None:
    """Only a later state than the present one is stored; what is not stored draws no number."""
    generation = await a_stored_generation(unit_of_work)
    await tell(unit_of_work, generation, EventDraft(present))
    order = [QUEUED, PREPARING, GENERATING, STORING]
    is_later = order.index(asked) > order.index(present)
    event = await tell(unit_of_work, generation, EventDraft(asked))
    assert (event is not None) is is_later
    async with unit_of_work(read_only=True) as work:
        found = await work.generations.load(generation.id)
    assert found is not None
    assert (found.state, found.event_seq) == ((asked, 2) if is_later else (present, 1))
    assert len(await events(unit_of_work, generation)) == found.event_seq


async def test_the_outcome_is_stored_once(unit_of_work: UnitOfWorkFactory) -> None:
    """Of several endings at once one counts, with its event; afterwards nothing is told any more."""
    generation = await a_stored_generation(unit_of_work)
    await tell(unit_of_work, generation, EventDraft(QUEUED))
    endings = await asyncio.gather(*(end(unit_of_work, generation, state) for state in (DONE, FAILED, DONE, FAILED)))
    (ending,) = [event for event in endings if event]
    assert (ending.seq, ending.at, ending.stage, ending.is_terminal) == (2, after(9), "End", True)
    for draft in (EventDraft(stage="Preview"), EventDraft(STORING)):
        assert await tell(unit_of_work, generation, draft) is None
    assert (await events(unit_of_work, generation))[1:] == [ending]
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.load(generation.id) == replace(
            generation,
            state=ending.state,
            event_seq=2,
            failures=(REFUSAL,),
            actual_cost=COST,
            finished_at=after(9),
        )


async def test_nothing_is_told_of_a_generation_that_is_not_there(unit_of_work: UnitOfWorkFactory) -> None:
    """Neither a step nor an ending."""
    nobody = replace(await a_stored_generation(unit_of_work), id=uuid4())
    assert await tell(unit_of_work, nobody, EventDraft(PREPARING)) is None
    assert await end(unit_of_work, nobody, FAILED) is None


async def test_pinned_references_are_kept(unit_of_work: UnitOfWorkFactory) -> None:
    """In their order, and for the one generation."""
    generation, other = await a_stored_generation(unit_of_work), await a_stored_generation(unit_of_work)
    pins = (REFERENCE, replace(REFERENCE, role=ReferenceRole.STYLE, name="Right"))
    async with unit_of_work() as work:
        await work.generations.pin_references(generation.id, pins)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.load(generation.id) == replace(generation, references=pins)
        assert await work.generations.load(other.id) == other


async def test_attempts_come_back_as_recorded(unit_of_work: UnitOfWorkFactory) -> None:
    """By index and number, first as begun and then as ended; a number is used once."""
    generation = await a_stored_generation(unit_of_work)
    second, first = an_attempt(generation, 2, route=1, profile_id=uuid4()), an_attempt(generation, 1)
    other = an_attempt(generation, 1, index=1)
    cost = Cost(HUGE, CostBasis.REPORTED)
    ended = replace(first, finished_at=after(4), outcome=SUCCEEDED, provider_request_id="req_1", cost=cost)
    lost = replace(
        other, finished_at=after(5), outcome=FailureCode.TIMEOUT.value, is_charged=True, detail="Gateway timeout"
    )
    async with unit_of_work() as work:
        for attempt in (other, second, first):
            await work.generations.add_attempt(attempt)
        await work.generations.finish_attempt(ended)
        await work.generations.finish_attempt(lost)
        await work.commit()
    async with unit_of_work() as work:
        assert await work.generations.attempts_of([generation.id, uuid4()]) == [ended, second, lost]
        with pytest.raises(Exception, match=r"(?i)unique"):
            await work.generations.add_attempt(an_attempt(generation, 2))


async def test_how_a_call_ended_is_recorded_once(unit_of_work: UnitOfWorkFactory) -> None:
    """By whoever is first: a worker that was held for dead doesn't unsay it."""
    generation = await a_stored_generation(unit_of_work)
    begun = an_attempt(generation)
    lost = replace(begun, finished_at=after(4), outcome=FailureCode.UNKNOWN_CHARGED.value, is_charged=True)
    made = replace(begun, finished_at=after(9), outcome=SUCCEEDED, cost=COST, provider_request_id="req_1")
    async with unit_of_work() as work:
        await work.generations.add_attempt(begun)
        await work.commit()
    for ended in (lost, made):
        async with unit_of_work() as work:
            await work.generations.finish_attempt(ended)
            await work.commit()
        async with unit_of_work(read_only=True) as work:
            assert await work.generations.attempts_of([generation.id]) == [lost]


@pytest.mark.parametrize("gone", ["identity_id", "step_id", "parent_image_id"])
async def test_what_is_gone_is_not_asked_with(unit_of_work: UnitOfWorkFactory, gone: str) -> None:
    """It was there when the request was checked, and was removed since."""
    viewer = await stored_viewer(unit_of_work)
    async with unit_of_work() as work:
        with pytest.raises(Conflict, match=r"was removed just now"):
            await work.generations.add(a_generation(viewer.user, **{gone: uuid4()}))


async def test_a_typical_time_is_the_mean_of_the_latest(unit_of_work: UnitOfWorkFactory) -> None:
    """Of twenty calls that succeeded, of the one model of the one provider."""
    generation = await a_stored_generation(unit_of_work)
    offline, model = generation.provider, generation.model
    async with unit_of_work() as work:
        assert await work.generations.typical_seconds(offline, model) is None
        for number in range(1, 26):
            seconds = 100.0 if number <= 5 else 2.0 + number % 2
            begun = after(1000 * number)
            attempt = an_attempt(generation, number, started_at=begun, outcome=SUCCEEDED)
            await work.generations.add_attempt(replace(attempt, finished_at=after(1000 * number + seconds)))
        others = [
            an_attempt(generation, 26, outcome=FailureCode.TIMEOUT.value),
            an_attempt(generation, 27, outcome=SUCCEEDED, model="sketch-2"),
            an_attempt(generation, 28, outcome=SUCCEEDED, provider=ProviderKind.GEMINI),
        ]
        for other in others:
            await work.generations.add_attempt(replace(other, started_at=NOW, finished_at=after(99_999)))
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.typical_seconds(offline, model) == pytest.approx(2.5)
        assert await work.generations.typical_seconds(offline, "sketch-2") == 99_999.0
        assert await work.generations.typical_seconds(offline, "sketch-3") is None


async def test_a_typical_cost_is_the_mean_of_the_communitys_latest(
    unit_of_work: UnitOfWorkFactory, statements: Statements
) -> None:
    """Of twenty pictures by the model whose cost the provider told, whoever was asked first; one statement."""
    viewer, stranger = await stored_viewer(unit_of_work), await stored_viewer(unit_of_work)
    ours = a_generation(viewer.user)
    elsewhere = a_generation(stranger.user)
    by_fallback = a_generation(viewer.user, provider=ProviderKind.GEMINI, model="banana", fallbacks=FALLBACKS)
    await stored(unit_of_work, ours, elsewhere, by_fallback)
    grounds = (CostBasis.REPORTED, CostBasis.USAGE, CostBasis.LISTED)
    by = {"provider": ours.provider, "model": ours.model, "outcome": SUCCEEDED}
    calls = [
        an_attempt(
            by_fallback if number % 2 else ours,
            number,
            **by,
            finished_at=after(number),
            cost=Cost(900_000 if number <= 5 else 10_000 + 1_000 * (number % 2), grounds[number % 3]),
        )
        for number in range(1, 26)
    ]
    latest = {**by, "finished_at": after(1_000), "cost": Cost(1, CostBasis.REPORTED)}
    others: list[dict[str, object]] = [
        {"outcome": FailureCode.STORAGE_UNAVAILABLE.value},
        {"cost": None},
        {"cost": Cost(1, CostBasis.TYPICAL)},
        {"cost": Cost(1, CostBasis.ASSUMED)},
        {"model": "sketch-2"},
        {"provider": ProviderKind.GEMINI},
    ]
    calls += [an_attempt(ours, number, **{**latest, **other}) for number, other in enumerate(others, 26)]
    calls += [an_attempt(elsewhere, number, **latest) for number in range(1, 26)]
    async with unit_of_work() as work:
        for call in calls:
            await work.generations.add_attempt(call)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        typical = work.generations.typical_cost
        community_id, offline, model = viewer.user.community_id, ours.provider, ours.model
        statements.sent.clear()
        assert await typical(community_id, offline, model) == 10_500
        assert len(statements.sent) == 1
        assert await typical(community_id, offline, "sketch-2") == 1
        assert await typical(community_id, offline, "sketch-3") is None
        assert await typical(uuid4(), offline, model) is None


async def test_generations_that_run_are_found_by_their_age(unit_of_work: UnitOfWorkFactory) -> None:
    """Of every community, made before the moment; those that ended are left out."""
    viewer, stranger = await stored_viewer(unit_of_work), await stored_viewer(unit_of_work)
    old, ended, new = (a_generation(viewer.user, created_at=after(second)) for second in (1, 1, 3))
    elsewhere = a_generation(stranger.user, created_at=after(2))
    await stored(unit_of_work, old, ended, new, elsewhere)
    await end(unit_of_work, ended, FAILED)
    async with unit_of_work(read_only=True) as work:
        assert set(await work.generations.running(after(3))) == {old.id, elsewhere.id}
        assert await work.generations.running(after(1)) == []


async def test_what_runs_is_found_by_its_owner(unit_of_work: UnitOfWorkFactory, statements: Statements) -> None:
    """With its newest number, of all the owners asked for, in one question; whoever asked for it."""
    one, two, stranger = [await stored_viewer(unit_of_work) for _ in range(3)]
    running, ended, theirs, elsewhere = (a_generation(viewer.user) for viewer in (one, one, two, stranger))
    await stored(unit_of_work, running, ended, theirs, elsewhere)
    for generation in (running, ended, theirs):
        await tell(unit_of_work, generation, EventDraft(QUEUED))
    await tell(unit_of_work, theirs, EventDraft(PREPARING))
    await end(unit_of_work, ended, FAILED)
    statements.sent.clear()
    async with unit_of_work(read_only=True) as work:
        found = await work.generations.running_of([one.id, two.id, uuid4()])
        assert len(statements.sent) == 1
        assert await work.generations.running_of([]) == []
    assert set(found) == {RunningGeneration(running.id, one.id, 1), RunningGeneration(theirs.id, two.id, 2)}


async def test_what_ended_before_a_moment_is_told_from_the_rest(unit_of_work: UnitOfWorkFactory) -> None:
    """As is what isn't there; what runs, and what ended at the moment or later, is not."""
    viewer = await stored_viewer(unit_of_work)
    running, ended = a_generation(viewer.user), a_generation(viewer.user)
    await stored(unit_of_work, running, ended)
    await end(unit_of_work, ended, FAILED)
    nobody = uuid4()
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.ended([running.id, ended.id, nobody], after(9)) == {nobody}
        assert await work.generations.ended([running.id, ended.id, nobody], after(10)) == {ended.id, nobody}
        assert await work.generations.ended([], after(10)) == set()


async def test_previews_are_dropped_from_the_events(unit_of_work: UnitOfWorkFactory) -> None:
    """The events stay as they are otherwise, and those of other generations altogether."""
    first, second, other = [await a_stored_generation(unit_of_work) for _ in range(3)]
    drafts = [EventDraft(QUEUED), EventDraft(stage="Preview 1", index=1, preview=PICTURE), IMAGE_OF_0]
    told = {each.id: [await tell(unit_of_work, each, draft) for draft in drafts] for each in (first, second, other)}
    async with unit_of_work() as work:
        await work.generations.drop_previews([first.id, second.id, uuid4()])
        await work.commit()
    for generation in (first, second):
        expected = [event and replace(event, preview=None) for event in told[generation.id]]
        assert await events(unit_of_work, generation) == expected
    assert await events(unit_of_work, other) == told[other.id]
