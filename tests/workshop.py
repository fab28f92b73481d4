"""Everything that makes pictures, on a real database, with a provider that follows a script."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from domain.connection_profiles import ConnectionProfile, ConnectionProfiles, ProfileChange
from domain.failures import GenerationFailure
from domain.generation_events import GenerationEvents
from domain.generation_jobs import GenerationJobs
from domain.generation_requests import GenerationRequests
from domain.generations import Attempt, Generation, GenerationEvent
from domain.identities import Identity
from domain.images import Image, Images
from domain.pages import PageRequest
from domain.picture_store import PictureStore
from domain.pictures import PictureLimits
from domain.ports import ObjectStore
from domain.provider_access import ProviderAccess
from domain.provider_calls import CallLimits, ProviderCalls
from domain.providers import ProviderKind
from domain.quotas import Feature, Quota, Quotas, QuotaUnit
from domain.reference_images import ReferenceImage, ReferenceImages
from domain.routes import Routes
from domain.users import Community, Viewer
from domain.wishes import GenerateImage
from domain.wizards import Step, Wizards
from storage.imaging import PillowImaging
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedBus
from tests.fakes.fetcher import FakeFetcher
from tests.fakes.jobs import FakeJobs
from tests.fakes.mishaps import Mishaps, UnluckyUnitOfWork, with_mishaps
from tests.fakes.objects import FakeObjectStore
from tests.fakes.providers import FakeProvider, FakeVendors
from tests.fakes.vault import FakeVault
from tests.rows import PICTURE, an_identity, an_image
from tests.uploads import a_photo

KEY = "sk-proj-0123456789-tail"
"""What the workshop's profiles have for a key when a test says nothing else."""


class Workshop:
    """The services with their fakes. `mishaps` are the object store's; the database's are in `unit_of_work`.

    The server itself may use OFFLINE (`provider`) and OPENAI (`other`). It has no key for GEMINI, no address for
    OPENAI_COMPATIBLE, whose models nobody knows, and ANTHROPIC makes no images. `vendors` are what profiles lead to.
    """

    def __init__(
        self,
        unit_of_work: UnluckyUnitOfWork,
        store: FakeObjectStore,
        clock: FakeClock,
        limits: CallLimits | None = None,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.store = store
        self.clock = clock
        self.mishaps: Mishaps = {"put": [], "get": [], "exists": []}
        self.provider = FakeProvider()
        self.other = FakeProvider(ProviderKind.OPENAI)
        self.other.needs_key = True
        self.own = {each.kind: each for each in (self.provider, self.other, *_unusable())}
        self.vendors = FakeVendors(self.own)
        self.vault = FakeVault()
        self.access = ProviderAccess(self.own, self.vendors.connect, self.vault)
        self.fetcher = FakeFetcher()
        self.bus = RecordedBus()
        self.line = FakeJobs()
        self.pauses: list[float] = []
        objects: ObjectStore = with_mishaps(store, self.mishaps)
        self.pictures = PictureStore(unit_of_work, objects, PillowImaging(), PictureLimits(), clock)
        self.events = GenerationEvents(unit_of_work, self.bus, clock)
        limits = limits or CallLimits(timeout_s=5.0)
        self.calls = ProviderCalls(unit_of_work, self.access, self.pictures, self.events, clock, limits, self._sleep)
        self.jobs = GenerationJobs(unit_of_work, self.pictures, self.events, self.calls, clock)
        self.profiles = ConnectionProfiles(unit_of_work, self.access, clock)
        self.routes = Routes(self.access, (ProviderKind.OFFLINE, None))
        self.requests = self.requests_by(self.routes)
        self.slots = ReferenceImages(unit_of_work, self.pictures, clock)
        self.library = Images(unit_of_work, self.pictures, self.fetcher, clock)
        self.wizards = Wizards(unit_of_work, clock)
        self.quotas = Quotas(unit_of_work, clock)

    def requests_by(self, routes: Routes) -> GenerationRequests:
        """Asking, with these defaults."""
        objects = self.pictures.objects
        return GenerationRequests(self.unit_of_work, routes, objects, self.events, self.line, self.clock)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    async def profile(
        self, viewer: Viewer, provider: ProviderKind = ProviderKind.OPENAI, key: str | None = KEY, **wanted: Any
    ) -> ConnectionProfile:
        """A profile of the viewer's, made without a call."""
        change = ProfileChange(**{"name": provider.title(), "api_key": key, **wanted})
        return await self.profiles.create(viewer, provider, change, tried=False)

    async def identity(self, viewer: Viewer, references: int = 1) -> Identity:
        """An identity of the viewer's, who has reference images, each of another size."""
        identity = an_identity(viewer.user)
        async with self.unit_of_work() as work:
            await work.identities.add(identity)
            await work.commit()
        for number in range(references):
            await self.slots.create(viewer, name=f"Photo {number}", file=a_photo(40 + number, 30))
        return identity

    async def step(self, admin: Viewer) -> Step:
        """The one step of a new wizard, without a background."""
        wizard = await self.wizards.create(admin, "Who I am")
        return await self.wizards.add_step(admin, wizard.id, "Welcome")

    async def background(self, step: Step) -> UUID | None:
        """The image that stands behind a step now."""
        async with self.unit_of_work(read_only=True) as work:
            return (await work.wizards.get_step(step.community_id, step.id)).background_id

    async def references(self, viewer: Viewer) -> list[ReferenceImage]:
        """The viewer's slots."""
        async with self.unit_of_work(read_only=True) as work:
            return list(await work.reference_images.of_users([viewer.id]))

    async def generations(self, viewer: Viewer) -> list[Generation]:
        """What is there for the viewer, the newest first."""
        async with self.unit_of_work(read_only=True) as work:
            return list((await work.generations.page(viewer, PageRequest())).rows)

    async def used(self, viewer: Viewer, unit: QuotaUnit = QuotaUnit.IMAGES) -> Quota:
        """How the viewer's own quota stands."""
        return await self._quota(viewer.user.community_id, viewer.id, unit)

    async def used_together(self, community: Community, unit: QuotaUnit = QuotaUnit.IMAGES) -> Quota:
        """How the community's quota stands."""
        return await self._quota(community.id, community.id, unit)

    async def _quota(self, community_id: UUID, subject_id: UUID, unit: QuotaUnit) -> Quota:
        measure = (subject_id, Feature.IMAGE_GENERATION, unit)
        return (await self.quotas.standing(community_id, [measure]))[measure]

    async def run(self, generation: Generation) -> Generation:
        """Take every step once, as the job engine does. Returns what became of the generation."""
        for index in range(await self.jobs.prepare(generation.id)):
            await self.jobs.make(generation.id, index)
        await self.jobs.finish(generation.id)
        return await self.load(generation.id)

    async def asked(self, viewer: Viewer, wish: GenerateImage) -> Generation:
        """A generation that is prepared."""
        generation = await self.requests.ask(viewer, wish)
        await self.jobs.prepare(generation.id)
        return await self.load(generation.id)

    async def drawn(self, generation: Generation, index: int = 0) -> Image:
        """A picture of the generation's on its way into the library: its objects are noted, its row is not there."""
        picture = replace(
            PICTURE, key=f"{generation.community_id}/images/{uuid4()}.png", sha256=uuid4().hex, variant_keys={}
        )
        async with self.unit_of_work() as work:
            await work.pictures.doom(picture.keys, self.clock.now())
            await work.commit()
            owner = await work.users.get(generation.owner_id)
        return an_image(owner, picture=picture, generation_id=generation.id, generation_index=index)

    async def load(self, id: UUID) -> Generation:
        """A generation as the database has it."""
        async with self.unit_of_work(read_only=True) as work:
            generation = await work.generations.load(id)
        assert generation
        return generation

    async def told(self, generation: Generation) -> list[GenerationEvent]:
        """Every event of the generation; their numbers have no gaps."""
        async with self.unit_of_work(read_only=True) as work:
            events = list(await work.generations.events(generation.id, 0, 1000))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return events

    async def stages(self, generation: Generation) -> list[str]:
        """What people read, in order."""
        return [event.stage for event in await self.told(generation)]

    async def images(self, generation: Generation) -> list[Image]:
        """What came of it, by index."""
        async with self.unit_of_work(read_only=True) as work:
            return list(await work.images.of_generations([generation.id]))

    async def attempts(self, generation: Generation) -> list[Attempt]:
        """The calls that were made."""
        async with self.unit_of_work(read_only=True) as work:
            return list(await work.generations.attempts_of([generation.id]))

    async def outcomes(self, generation: Generation) -> list[str]:
        """How the calls ended."""
        return [attempt.outcome for attempt in await self.attempts(generation)]

    async def failed(self, generation: Generation) -> list[GenerationFailure]:
        """The failures of single pictures."""
        return [event.failure for event in await self.told(generation) if event.failure and event.index is not None]

    def staged(self) -> set[str]:
        """The objects that only the work needs."""
        return {key for key in self.store.objects if "/staging/" in key}


def _unusable() -> list[FakeProvider]:
    """Providers that the server itself can't use."""
    gemini, compatible, anthropic = (
        FakeProvider(ProviderKind.GEMINI),
        FakeProvider(ProviderKind.OPENAI_COMPATIBLE, ()),
        FakeProvider(ProviderKind.ANTHROPIC, ()),
    )
    gemini.needs_key = anthropic.needs_key = True
    gemini.problem = "No API key is set for Gemini."
    compatible.needs_base_url = True
    compatible.problem = "No address is set for Openai_Compatible."
    anthropic.makes_images = False
    anthropic.problem = "Anthropic's API has no image generation."
    return [gemini, compatible, anthropic]
