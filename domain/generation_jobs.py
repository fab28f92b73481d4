"""The work on a generation, in steps that may each be repeated after a crash: prepare, make one picture, finish.

Each step first looks for what it has done before, so that repeating changes nothing and pays for nothing twice.
"""

from dataclasses import asdict
from functools import partial
from uuid import UUID, uuid5

from domain.errors import InvalidImage, ObjectMissing, StoreUnavailable
from domain.failures import FailureCode, GenerationFailure, failure
from domain.generation_events import GenerationEvents
from domain.generations import (
    STAGES,
    SUCCEEDED,
    EventDraft,
    Generation,
    GenerationState,
    PinnedReference,
)
from domain.images import Image, ImageSource, Recipe, shown_filename
from domain.picture_store import MADE_LIMITS, PictureStore
from domain.pictures import Picture
from domain.ports import Clock
from domain.provider_calls import GenerationOver, PictureNotMade, ProviderCalls, Receipt, staging
from domain.repositories import UnitOfWorkFactory

REFERENCE_SIDE_PX = 2048


class GenerationJobs:
    """The steps. The job engine decides when and where they run, and that they run again."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        pictures: PictureStore,
        events: GenerationEvents,
        calls: ProviderCalls,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._pictures = pictures
        self._events = events
        self._calls = calls
        self._clock = clock

    async def prepare(self, id: UUID) -> int:
        """Pin the owner's reference images. Returns how many pictures to make: 0 when the generation has ended."""
        generation = await self._running(id)
        if generation is None:
            return 0
        await self._tell_state(generation, GenerationState.PREPARING)
        if generation.identity is not None and not generation.references:
            try:
                await self._pin(generation)
            except GenerationOver:
                return 0
            except (ObjectMissing, InvalidImage):
                # A picture without the person's face is not what was asked for: stop before it costs money.
                await self._end(generation, failure(FailureCode.REFERENCE_UNREADABLE))
                return 0
            except StoreUnavailable:
                await self._end(generation, failure(FailureCode.STORAGE_UNAVAILABLE))
                return 0
        await self._tell_state(generation, GenerationState.GENERATING)
        return generation.options.n

    async def make(self, id: UUID, index: int) -> None:
        """Make one picture and put it into the library, or record why not."""
        generation = await self._running(id)
        if generation is None or index in await self._settled(id):
            return
        try:
            receipt = await self._calls.paid_for(generation, index)
            if await self._is_last(generation, index):
                await self._tell_state(generation, GenerationState.STORING)
            await self._keep(generation, index, receipt)
        except GenerationOver:
            return
        except PictureNotMade as not_made:
            why = not_made.why
        except StoreUnavailable:
            was_called = await self._was_called(generation, index)
            why = failure(FailureCode.STORAGE_UNAVAILABLE, is_charged=was_called)
        else:
            return
        if await self._is_ours(id):
            await self._events.tell(generation, EventDraft(index=index, stage=why.message, failure=why.at(index)))

    async def finish(self, id: UUID) -> None:
        """Record the outcome, once every picture is settled."""
        generation = await self._running(id)
        if generation is None:
            await self.clean_up(id)
        else:
            await self._end(generation)

    async def break_off(self, id: UUID) -> None:
        """End a generation whose work broke in a way nobody foresaw, so that nobody waits for it."""
        generation = await self._running(id)
        if generation is not None:
            await self._end(generation, failure(FailureCode.INTERNAL, is_charged=True))

    async def clean_up(self, id: UUID) -> None:
        """Remove what only the work on a generation needed, once it has ended: while it runs another worker may need it."""
        async with self._unit_of_work(read_only=True) as work:
            generation = await work.generations.load(id)
        if generation is not None and generation.state.is_terminal:
            await self._pictures.discard_folder(f"{staging(generation)}/")

    async def _end(self, generation: Generation, *unprepared: GenerationFailure) -> None:
        """Record the outcome, and remove what only the work needed: copies of people's photos above all."""
        await self._events.end(generation, unprepared)
        # Unless it goes on at another worker.
        await self.clean_up(generation.id)

    async def _running(self, id: UUID) -> Generation | None:
        async with self._unit_of_work(read_only=True) as work:
            generation = await work.generations.load(id)
        return None if generation is None or generation.state.is_terminal else generation

    async def _is_ours(self, id: UUID) -> bool:
        """Whether a failure is this worker's to tell: one that was taken for dead doesn't know what became of it."""
        async with self._unit_of_work(read_only=True) as work:
            return await work.jobs.is_ours(id)

    async def _settled(self, id: UUID) -> set[int | None]:
        async with self._unit_of_work(read_only=True) as work:
            return {event.index for event in await work.generations.outcomes(id)}

    async def _was_called(self, generation: Generation, index: int) -> bool:
        async with self._unit_of_work(read_only=True) as work:
            return any(attempt.index == index for attempt in await work.generations.attempts_of([generation.id]))

    async def _is_last(self, generation: Generation, index: int) -> bool:
        """Whether every other picture has arrived or failed."""
        async with self._unit_of_work(read_only=True) as work:
            arrived = {
                attempt.index
                for attempt in await work.generations.attempts_of([generation.id])
                if attempt.outcome == SUCCEEDED
            }
        return len(arrived | await self._settled(generation.id) | {index}) == generation.options.n

    async def _tell_state(self, generation: Generation, state: GenerationState) -> None:
        await self._events.tell(generation, EventDraft(state, STAGES[state]))

    async def _pin(self, generation: Generation) -> None:
        """Keep copies of the references as providers get them; this also proves that each can be read."""
        async with self._unit_of_work(read_only=True) as work:
            slots = await work.reference_images.of_users([generation.owner_id])
        pinned = []
        for slot in slots:
            if slot.picture is None:
                continue
            read = partial(self._pictures.objects.get, slot.picture.key, MADE_LIMITS.max_bytes)
            data = await self._calls.persistently(read)
            copy = await self._pictures.imaging.for_provider(data, REFERENCE_SIDE_PX)
            pin = PinnedReference(
                # By the hash: what a worker that was taken for dead still writes is not what another one pinned.
                key=f"{staging(generation)}/reference-{slot.order}-{slot.picture.sha256}",
                sha256=slot.picture.sha256,
                name=slot.name,
                role=slot.role,
                media_type=copy.media_type,
                width_px=copy.width_px,
                height_px=copy.height_px,
            )
            write = partial(self._pictures.objects.put, pin.key, copy.data, copy.media_type)
            await self._calls.persistently(write)
            pinned.append(pin)
        if not pinned:
            raise ObjectMissing("The reference images are gone")
        async with self._unit_of_work() as work:
            if not await work.jobs.is_ours(generation.id):
                raise GenerationOver
            await work.generations.pin_references(generation.id, pinned)
            await work.commit()

    async def _keep(self, generation: Generation, index: int, receipt: Receipt) -> None:
        key = f"{staging(generation)}/{index}"
        objects = self._pictures.objects
        data = await self._calls.persistently(lambda: objects.get(key, MADE_LIMITS.max_bytes))
        try:
            await self._calls.persistently(lambda: self._store(generation, index, data, receipt))
        except InvalidImage:
            raise PictureNotMade(failure(FailureCode.BAD_RESPONSE, is_charged=True)) from None

    async def _store(self, generation: Generation, index: int, data: bytes, receipt: Receipt) -> None:
        async with self._pictures.storing_made(generation.community_id, data) as picture:
            image = self._image(generation, index, picture, receipt)
            stage = f"Picture {index + 1} of {generation.options.n} is done"
            await self._events.tell(generation, EventDraft(index=index, stage=stage, image_id=image.id), image)

    def _image(self, generation: Generation, index: int, picture: Picture, receipt: Receipt) -> Image:
        route = generation.routes[receipt.route]
        recipe = Recipe(
            prompt=generation.prompt,
            structured_prompt=generation.structured_prompt,
            prompt_version=generation.prompt_version,
            revised_prompt=receipt.revised_prompt,
            identity=generation.identity,
            reference_hashes=tuple(pin.sha256 for pin in generation.references),
            provider=route.provider,
            model=route.model,
            options={key: value for key, value in asdict(route.options).items() if value is not None},
            cost_micro_usd=receipt.cost.micro_usd if receipt.cost else None,
            parent_image_id=generation.parent_image_id,
            cost_basis=receipt.cost.basis if receipt.cost else None,
        )
        return Image(
            id=uuid5(generation.id, str(index)),
            community_id=generation.community_id,
            owner_id=generation.owner_id,
            source=ImageSource.GENERATED,
            picture=picture,
            filename=shown_filename(f"picture {index + 1}", picture.media_type),
            is_public=False,
            recipe=recipe,
            generation_id=generation.id,
            generation_index=index,
            created_at=self._clock.now(),
            tags=generation.tags,
            prompt_id=generation.prompt_id,
        )
