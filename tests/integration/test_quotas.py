"""Quotas over real databases: exact when hundreds ask at once, equal to their ledger whatever happens, month by month."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo, available_timezones

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.costs import UNKNOWN_PRICE_MICRO_USD, Cost, CostBasis
from domain.errors import QuotaExceeded
from domain.failures import FailureCode
from domain.generation_events import GenerationEvents
from domain.generation_requests import GenerationRequests
from domain.generations import SUCCEEDED, EventDraft, Generation, GenerationState
from domain.provider_access import ProviderAccess
from domain.providers import ImageOptions
from domain.quotas import (
    Account,
    Counter,
    Feature,
    Limit,
    Plan,
    Quota,
    Quotas,
    QuotaUnit,
    UsageKind,
    period_of,
    reserve,
    resets_at,
    settle,
)
from domain.repositories import UnitOfWorkFactory
from domain.routes import Routes
from domain.users import Community, Viewer
from domain.wishes import GenerateImage
from storage.database.databases import Database, open_database
from storage.database.tables import generation as generation_table
from storage.database.tables import generation_event, usage_counter, usage_event
from tests.database import RecordedJobs
from tests.fakes.bus import FakeEventBus
from tests.fakes.clock import FakeClock
from tests.fakes.jobs import FakeJobs
from tests.fakes.objects import FakeObjectStore
from tests.fakes.providers import FakeProvider, FakeVendors
from tests.fakes.vault import FakeVault
from tests.rows import NOW, a_generation, a_plan, an_attempt, limit_of, stored_community, stored_viewer

FEATURE = Feature.IMAGE_GENERATION
IMAGES, MONEY = QuotaUnit.IMAGES, QuotaUnit.MICRO_USD
Balance = Mapping[Account, Counter]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


def money(micro_usd: int) -> Limit:
    """A limit in money."""
    return Limit(FEATURE, MONEY, micro_usd)


def usd(micro_usd: int) -> Cost:
    """What a provider told of a call."""
    return Cost(micro_usd, CostBasis.USAGE)


def a_wish(pictures: int = 1) -> GenerateImage:
    """A wish for so many pictures."""
    return GenerateImage(prompt="A house", options=ImageOptions(n=pictures))


@dataclass(frozen=True, slots=True)
class Office:
    """Where pictures are asked for, and where what became of them is recorded."""

    unit_of_work: UnitOfWorkFactory
    clock: FakeClock
    provider: FakeProvider
    requests: GenerationRequests
    events: GenerationEvents
    quotas: Quotas

    async def is_allowed(self, viewer: Viewer, pictures: int = 1) -> bool:
        """Ask for pictures; whether the quotas allow it."""
        try:
            await self.requests.ask(viewer, a_wish(pictures))
        except QuotaExceeded:
            return False
        return True

    async def standing(self, viewer: Viewer, unit: QuotaUnit = IMAGES) -> tuple[Quota, Quota]:
        """How the quotas of the viewer's community and of the viewer stand."""
        measures = [(id, FEATURE, unit) for id in (viewer.user.community_id, viewer.id)]
        quotas = await self.quotas.standing(viewer.user.community_id, measures)
        return quotas[measures[0]], quotas[measures[1]]


def an_office(unit_of_work: UnitOfWorkFactory) -> Office:
    """An office at NOW, whose provider tells no price."""
    clock, provider = FakeClock(NOW), FakeProvider()
    own = {provider.kind: provider}
    routes = Routes(ProviderAccess(own, FakeVendors(own).connect, FakeVault()), (provider.kind, None))
    events = GenerationEvents(unit_of_work, FakeEventBus(), clock)
    requests = GenerationRequests(unit_of_work, routes, FakeObjectStore(clock), events, FakeJobs(), clock)
    return Office(unit_of_work, clock, provider, requests, events, Quotas(unit_of_work, clock))


@pytest.fixture
def office(unit_of_work: UnitOfWorkFactory) -> Office:
    """An office on the test's database."""
    return an_office(unit_of_work)


async def a_community(unit_of_work: UnitOfWorkFactory, *limits: Limit, time_zone: str = "UTC") -> Community:
    """A community on a plan with these limits."""
    community, plan = await stored_community(unit_of_work), a_plan(None, *limits)
    community = replace(community, time_zone=time_zone, plan_id=plan.id)
    async with unit_of_work() as work:
        await work.plans.add(plan)
        await work.users.update_community(community)
        await work.commit()
    return community


async def limit_user(unit_of_work: UnitOfWorkFactory, viewer: Viewer, limit: Limit) -> None:
    """Limit one user."""
    async with unit_of_work() as work:
        await work.plans.set_user_limit(viewer.id, limit.feature, limit.unit, limit.amount)
        await work.commit()


def counters(database: Database) -> Balance:
    """Every counter that isn't zero."""
    with database.sync_engine().connect() as connection:
        rows = connection.execute(sa.select(usage_counter)).all()
    stood = {
        Account(row.subject_id, Feature(row.feature), QuotaUnit(row.unit), row.period): Counter(row.used, row.reserved)
        for row in rows
    }
    return {account: counter for account, counter in stood.items() if counter != Counter()}


def ledger(database: Database) -> Balance:
    """What the ledger's lines come to, for each community and each user."""
    used: dict[Account, int] = defaultdict(int)
    reserved: dict[Account, int] = defaultdict(int)
    with database.sync_engine().connect() as connection:
        rows = connection.execute(sa.select(usage_event)).all()
    for row in rows:
        for subject_id in (row.community_id, row.user_id):
            account = Account(subject_id, Feature(row.feature), QuotaUnit(row.unit), row.period)
            used[account] += row.used_delta
            reserved[account] += row.reserved_delta
    totals = {account: Counter(used[account], reserved[account]) for account in used}
    return {account: counter for account, counter in totals.items() if counter != Counter()}


def count(database: Database, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    """How many rows a table has."""
    with database.sync_engine().connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one()


def balance(*subjects: tuple[UUID, int], period: str = "2026-11") -> Balance:
    """What is reserved when each subject has asked for so many pictures whose price nobody knows."""
    return {
        Account(id, FEATURE, unit, period): Counter(reserved=pictures * each)
        for id, pictures in subjects
        for unit, each in ((IMAGES, 1), (MONEY, UNKNOWN_PRICE_MICRO_USD))
    }


@asynccontextmanager
async def many_connections(url: str) -> AsyncIterator[Database]:
    """The database with as many connections as a server has."""
    database = open_database(url, pool_size=20)
    yield database
    await database.aclose()


async def test_of_two_hundred_requests_at_once_a_quota_of_fifty_allows_fifty(database_url: str) -> None:
    """Exactly: generations, first events, counters and ledger all say so, and what was refused left no trace."""
    async with many_connections(database_url) as database:
        unit_of_work = database.unit_of_work(RecordedJobs())
        office = an_office(unit_of_work)
        community = await a_community(unit_of_work, limit_of(50))
        viewers = [await stored_viewer(unit_of_work, community) for _ in range(4)]
        async with asyncio.timeout(120):
            answers = await asyncio.gather(*(office.is_allowed(viewers[number % 4]) for number in range(200)))
        assert sum(answers) == 50
        of_each = [(viewer.id, sum(answers[number::4])) for number, viewer in enumerate(viewers)]
        assert (
            counters(database)
            == ledger(database)
            == balance((community.id, 50), *(each for each in of_each if each[1]))
        )
        assert count(database, generation_table, generation_table.c.state == GenerationState.QUEUED) == 50
        assert count(database, generation_table) == count(database, generation_event) == 50
        assert (
            count(database, usage_event, usage_event.c.kind == UsageKind.RESERVE) == count(database, usage_event) == 100
        )
        (quota, _) = await office.standing(viewers[0])
    assert (quota.limit, quota.used, quota.reserved, quota.remaining) == (50, 0, 50, 0)


async def test_a_users_tighter_limit_leaves_the_rest_to_the_others(database_url: str) -> None:
    """Of a user's hundred requests fifteen get through, of the others' hundred the thirty-five that are left."""
    async with many_connections(database_url) as database:
        unit_of_work = database.unit_of_work(RecordedJobs())
        office = an_office(unit_of_work)
        community = await a_community(unit_of_work, limit_of(50))
        limited, free = [await stored_viewer(unit_of_work, community) for _ in range(2)]
        await limit_user(unit_of_work, limited, limit_of(15))
        async with asyncio.timeout(120):
            # First the limited user alone: where all compete, the others may leave them less.
            own = await asyncio.gather(*(office.is_allowed(limited) for _ in range(100)))
            others = await asyncio.gather(*(office.is_allowed((free, limited)[number % 2]) for number in range(200)))
        assert (sum(own), sum(others[::2]), sum(others[1::2])) == (15, 35, 0)
        assert counters(database) == ledger(database) == balance((community.id, 50), (limited.id, 15), (free.id, 35))
        assert count(database, generation_table) == 50
        with pytest.raises(QuotaExceeded, match=r"^The community's quota .* 50 of 50 images") as of_all:
            await office.requests.ask(free, a_wish())
        with pytest.raises(QuotaExceeded, match=r"^The community's quota") as both:
            await office.requests.ask(limited, a_wish())
        assert of_all.value.quota == both.value.quota == (await office.standing(free))[0]


async def test_a_user_is_told_whose_limit_it_is(office: Office) -> None:
    """Their own, where the community has something left; and how it stands."""
    viewer = await stored_viewer(office.unit_of_work, await a_community(office.unit_of_work, limit_of(50)))
    await limit_user(office.unit_of_work, viewer, limit_of(3))
    assert await office.is_allowed(viewer, 2)
    with pytest.raises(QuotaExceeded, match=r"^Your quota .* 2 more: 2 of 3 images are used or reserved") as refused:
        await office.requests.ask(viewer, a_wish(2))
    assert refused.value.quota == (await office.standing(viewer))[1]
    assert refused.value.quota.remaining == 1
    assert (await office.standing(viewer))[0].reserved == 2


async def end(office: Office, generation: Generation, made: int, *costs: Cost | None) -> None:
    """Record calls with these costs, of which the first ones made a picture, and the outcome."""
    async with office.unit_of_work() as work:
        for index, cost in enumerate(costs):
            outcome = SUCCEEDED if index < made else FailureCode.TIMEOUT.value
            attempt = an_attempt(generation, index=index, cost=cost, outcome=outcome)
            attempt = replace(attempt, finished_at=office.clock.now(), is_charged=index >= made)
            await work.generations.add_attempt(attempt)
        await work.commit()
    for index in range(made):
        await office.events.tell(generation, EventDraft(index=index, image_id=uuid4()))
    await office.events.end(generation)


async def test_a_limit_in_money(office: Office, database: Database) -> None:
    """What may be spent is reserved by the price, and what was spent is counted: then the rest is free again."""
    office.provider.price = 40_000
    viewer = await stored_viewer(office.unit_of_work, await a_community(office.unit_of_work, money(100_000)))
    generation = await office.requests.ask(viewer, a_wish(2))
    with pytest.raises(QuotaExceeded, match=r"\$0\.04 more: \$0\.08 of \$0\.10 are used or reserved") as refused:
        await office.requests.ask(viewer, a_wish())
    assert (refused.value.quota.unit, refused.value.quota.remaining) == (MONEY, 20_000)
    await end(office, generation, 1, usd(30_000), usd(12_000))
    quotas = await office.standing(viewer, MONEY)
    assert [(quota.used, quota.reserved) for quota in quotas] == [(42_000, 0)] * 2
    assert [(quota.used, quota.reserved) for quota in await office.standing(viewer)] == [(1, 0)] * 2
    assert await office.is_allowed(viewer)
    assert counters(database) == ledger(database)


async def test_money_at_once_never_passes_its_limit(office: Office, database: Database) -> None:
    """A dollar is twenty-five pictures at four cents, whoever asks first."""
    office.provider.price = 40_000
    viewer = await stored_viewer(office.unit_of_work, await a_community(office.unit_of_work, money(1_000_000)))
    answers = await asyncio.gather(*(office.is_allowed(viewer) for _ in range(60)))
    assert sum(answers) == 25
    assert (await office.standing(viewer, MONEY))[0].remaining == 0
    assert counters(database) == ledger(database)


async def test_what_is_free_needs_no_money_and_what_has_no_price_is_taken_for_dear(office: Office) -> None:
    """A limit of nothing lets free pictures through; without a price each counts as a quarter dollar."""
    broke = await stored_viewer(office.unit_of_work, await a_community(office.unit_of_work, money(0)))
    rich = await stored_viewer(office.unit_of_work, await a_community(office.unit_of_work, money(700_000)))
    assert not await office.is_allowed(broke)
    assert [await office.is_allowed(rich, pictures) for pictures in (2, 1)] == [True, False]
    office.provider.price = 0
    assert await office.is_allowed(broke, 4)
    assert (await office.standing(broke, MONEY))[0].reserved == 0


async def test_dearer_than_estimated_is_counted_in_full(office: Office) -> None:
    """What was spent is spent: beyond the limit nothing is left, and nothing below it either."""
    office.provider.price = 40_000
    viewer = await stored_viewer(office.unit_of_work, await a_community(office.unit_of_work, money(100_000)))
    await end(office, await office.requests.ask(viewer, a_wish()), 1, usd(130_000))
    (quota, _) = await office.standing(viewer, MONEY)
    assert (quota.used, quota.reserved, quota.remaining) == (130_000, 0, 0)
    assert not await office.is_allowed(viewer)


async def test_endings_at_once_are_counted_once(office: Office, database: Database) -> None:
    """Whoever ends the generation again, in the same moment or later, changes nothing."""
    viewer = await stored_viewer(office.unit_of_work, await a_community(office.unit_of_work, limit_of(5)))
    generation = await office.requests.ask(viewer, a_wish(3))
    await asyncio.gather(
        end(office, generation, 2, usd(1_000), usd(2_000)), *(office.events.end(generation) for _ in range(4))
    )
    await office.events.end(generation)
    assert [quota.reserved for quota in await office.standing(viewer)] == [0, 0]
    assert counters(database) == ledger(database)
    assert count(database, usage_event) == 4


async def test_a_month_begins_by_the_communitys_time_zone(office: Office, database: Database) -> None:
    """At 23:30 UTC on the last day it is next month in Tokyo: there the quota is new, elsewhere it is used up."""
    zones = ("Asia/Tokyo", "UTC", "America/New_York")
    viewers = [
        await stored_viewer(office.unit_of_work, await a_community(office.unit_of_work, limit_of(1), time_zone=zone))
        for zone in zones
    ]
    assert all([await office.is_allowed(viewer) for viewer in viewers])
    office.clock.time = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    assert [await office.is_allowed(viewer) for viewer in viewers] == [True, False, False]
    office.clock.time = datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
    assert [await office.is_allowed(viewer) for viewer in viewers] == [False, True, False]
    resets = [(await office.standing(viewer))[0].resets_at.isoformat() for viewer in viewers]
    assert resets == ["2027-01-01T00:00:00+09:00", "2027-01-01T00:00:00+00:00", "2026-12-01T00:00:00-05:00"]
    in_tokyo = [viewers[0].user.community_id, viewers[0].id]
    december = {account.subject_id for account in counters(database) if account.period == "2026-12"}
    assert december == {*in_tokyo, viewers[1].user.community_id, viewers[1].id}
    assert counters(database) == ledger(database)


async def test_what_was_reserved_in_one_month_is_settled_in_it(office: Office, database: Database) -> None:
    """A generation that ends in the next month leaves that one's quota alone."""
    community = await a_community(office.unit_of_work, limit_of(2))
    viewer = await stored_viewer(office.unit_of_work, community)
    generation = await office.requests.ask(viewer, a_wish(2))
    office.clock.time = datetime(2026, 12, 1, tzinfo=UTC)
    await end(office, generation, 1, usd(9_000), usd(0))
    (december, _) = await office.standing(viewer)
    assert (december.used, december.reserved, december.remaining) == (0, 0, 2)
    assert {account.period for account in counters(database)} == {"2026-11"}
    assert counters(database)[Account(community.id, FEATURE, IMAGES, "2026-11")] == Counter(used=1)


@pytest.mark.parametrize(
    ("time_zone", "now", "resets"),
    [
        ("UTC", "2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z"),
        ("UTC", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("Asia/Tokyo", "2026-12-31T14:59:59Z", "2026-12-31T15:00:00Z"),
        ("Asia/Tokyo", "2026-12-31T15:00:00Z", "2027-01-31T15:00:00Z"),
        ("Europe/Berlin", "2026-10-01T10:00:00Z", "2026-10-31T23:00:00Z"),
        ("Europe/Berlin", "2026-03-01T10:00:00Z", "2026-03-31T22:00:00Z"),
        ("America/New_York", "2026-11-01T03:59:59Z", "2026-11-01T04:00:00Z"),
        ("America/New_York", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
        ("America/Havana", "2026-10-10T00:00:00Z", "2026-11-01T04:00:00Z"),
        ("Pacific/Kiritimati", "2026-12-31T09:59:59Z", "2026-12-31T10:00:00Z"),
    ],
)
def test_when_a_quota_starts_anew(time_zone: str, now: str, resets: str) -> None:
    """At midnight there: over the change of clocks, over the year, and where that hour comes twice at the first."""
    moment = resets_at(datetime.fromisoformat(now), time_zone)
    assert moment.astimezone(UTC) == datetime.fromisoformat(resets)
    assert moment.tzinfo == ZoneInfo(time_zone)


@given(
    time_zone=st.sampled_from(sorted(available_timezones())),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis asks for naive bounds
)
def test_a_month_ends_where_its_quota_starts_anew(time_zone: str, now: datetime) -> None:
    """In every time zone the period is the same up to that moment, and another from it on."""
    until = resets_at(now, time_zone).astimezone(UTC)
    assert now < until <= now + timedelta(days=32)
    this_month = period_of(now, time_zone)
    assert period_of(until - timedelta(microseconds=1), time_zone) == this_month
    assert period_of(until, time_zone) > this_month


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody asks for pictures; of those some are made, at a cost, once the generation ends."""

    user: int
    pictures: int
    price: int | None
    made: int
    cost: int

    @property
    def reserved(self) -> Mapping[QuotaUnit, int]:
        """What is reserved for it."""
        each = UNKNOWN_PRICE_MICRO_USD if self.price is None else self.price
        return {IMAGES: self.pictures, MONEY: each * self.pictures}

    @property
    def used(self) -> Mapping[QuotaUnit, int]:
        """What it uses in the end."""
        return {IMAGES: min(self.made, self.pictures), MONEY: self.cost}


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Several ask in the same moment."""

    asks: Sequence[Ask]


@dataclass(frozen=True, slots=True)
class End:
    """Generations end in the same moment; some for the second time."""

    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Replan:
    """A community's plan, or a user, gets another limit, or none."""

    subject: int
    unit: QuotaUnit
    amount: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Days go by."""

    days: int


Step = AtOnce | End | Replan | Wait

USERS = 4
ASKS = st.builds(
    Ask,
    user=st.integers(0, USERS - 1),
    pictures=st.integers(1, 4),
    price=st.none() | st.just(0) | st.integers(0, 300_000),
    made=st.integers(0, 4),
    cost=st.just(0) | st.integers(0, 1_500_000),
)
LIMITS = st.none() | st.integers(0, 12)
STEPS = st.one_of(
    st.builds(AtOnce, st.lists(ASKS, min_size=1, max_size=6)),
    st.builds(End, st.lists(st.integers(0, 40), min_size=1, max_size=5)),
    st.builds(Replan, st.integers(0, USERS + 1), st.just(IMAGES), LIMITS),
    st.builds(Replan, st.integers(0, USERS + 1), st.just(MONEY), st.none() | st.integers(0, 3_000_000)),
    st.builds(Wait, st.integers(1, 40)),
)


class History:
    """Two communities of two users each, what happens to them, and what should have come of it."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self.unit_of_work = unit_of_work
        self.now = datetime(2026, 11, 29, 20, 0, tzinfo=UTC)
        self.communities: list[Community] = []
        self.users: list[Viewer] = []
        self.plans: list[Plan] = []
        self.limits: dict[tuple[UUID, QuotaUnit], int] = {}
        self.asked: list[tuple[Ask, Generation, str]] = []
        self.ended: set[int] = set()

    async def play(self, steps: Sequence[Step]) -> None:
        """Everything in its order, from the first day on."""
        for time_zone in ("Asia/Tokyo", "America/New_York"):
            community = await a_community(self.unit_of_work, time_zone=time_zone)
            self.communities.append(community)
            self.users += [await stored_viewer(self.unit_of_work, community) for _ in range(USERS // 2)]
            async with self.unit_of_work(read_only=True) as work:
                assert community.plan_id
                self.plans.append(await work.plans.get(community.id, community.plan_id))
        for step in steps:
            match step:
                case AtOnce(asks):
                    await self._ask(asks)
                case End(numbers):
                    await self._end(numbers)
                case Replan(subject, unit, amount):
                    await self._limit(subject, unit, amount)
                case Wait(days):
                    self.now += timedelta(days=days)

    def _accounts(self, ask: Ask, period: str) -> list[Account]:
        user = self.users[ask.user].user
        return [Account(id, FEATURE, unit, period) for unit in QuotaUnit for id in (user.community_id, user.id)]

    async def _ask(self, asks: Sequence[Ask]) -> None:
        generations = [
            a_generation(
                self.users[ask.user].user,
                options=ImageOptions(n=ask.pictures),
                price=None if ask.price is None else Cost(ask.price, CostBasis.LISTED),
            )
            for ask in asks
        ]
        answers = await asyncio.gather(*map(self._is_reserved, generations))
        periods = [period_of(self.now, self.communities[ask.user * 2 // USERS].time_zone) for ask in asks]
        for ask, generation, period, is_reserved in zip(asks, generations, periods, answers, strict=True):
            if is_reserved:
                self.asked.append((ask, generation, period))
        stood = self.balance()
        for ask, period, is_reserved in zip(asks, periods, answers, strict=True):
            room = {account: self._room(stood, account) for account in self._accounts(ask, period)}
            if is_reserved:
                assert all(room[account] >= 0 for account in room if ask.reserved[account.unit]), "a limit was passed"
            else:
                # Nobody released anything meanwhile, so what was refused doesn't fit now either.
                short = [account for account in room if room[account] < ask.reserved[account.unit] > 0]
                assert short, "refused, though there was room"

    def _room(self, stood: Balance, account: Account) -> float:
        limit = self.limits.get((account.subject_id, account.unit))
        counter = stood.get(account, Counter())
        return float("inf") if limit is None else limit - counter.used - counter.reserved

    async def _is_reserved(self, generation: Generation) -> bool:
        try:
            async with self.unit_of_work() as work:
                await work.generations.add(generation)
                allowance = await work.usage.allowance(generation.community_id, [generation.requested_by_id])
                await reserve(work, generation, allowance, self.now)
                await work.commit()
        except QuotaExceeded:
            return False
        return True

    async def _end(self, numbers: Sequence[int]) -> None:
        if self.asked:
            places = [number % len(self.asked) for number in numbers]
            await asyncio.gather(*map(self._settle, places))
            self.ended.update(places)

    async def _settle(self, place: int) -> None:
        ask, generation, _ = self.asked[place]
        async with self.unit_of_work() as work:
            await settle(work, generation, ask.used[IMAGES], usd(ask.used[MONEY]), self.now)
            await work.commit()

    async def _limit(self, subject: int, unit: QuotaUnit, amount: int | None) -> None:
        async with self.unit_of_work() as work:
            if subject < USERS:
                id = self.users[subject].id
                await work.plans.set_user_limit(id, FEATURE, unit, amount)
            else:
                place = subject - USERS
                id = self.communities[place].id
                others = tuple(limit for limit in self.plans[place].limits if limit.unit is not unit)
                limits = others if amount is None else (*others, Limit(FEATURE, unit, amount))
                self.plans[place] = replace(self.plans[place], limits=limits)
                await work.plans.update(self.plans[place])
            await work.commit()
        self.limits.pop((id, unit), None)
        if amount is not None:
            self.limits[id, unit] = amount

    def balance(self) -> Balance:
        """What should be counted by now."""
        totals: dict[Account, Counter] = defaultdict(Counter)
        for place, (ask, _, period) in enumerate(self.asked):
            for account in self._accounts(ask, period):
                before = totals[account]
                if place in self.ended:
                    totals[account] = replace(before, used=before.used + ask.used[account.unit])
                else:
                    totals[account] = replace(before, reserved=before.reserved + ask.reserved[account.unit])
        return {account: counter for account, counter in totals.items() if counter != Counter()}

    def own(self, stood: Balance) -> Balance:
        """Of all that is counted in the database, what is counted for these communities and users."""
        ids = {*(community.id for community in self.communities), *(viewer.id for viewer in self.users)}
        return {account: counter for account, counter in stood.items() if account.subject_id in ids}


def test_counters_are_the_sums_of_the_ledger_whatever_happens(database_url: str) -> None:
    """After every history: nothing is counted that wasn't used, no limit is passed, and nothing refused for nothing."""
    database = open_database(database_url, pool_size=6)

    with asyncio.Runner() as runner:

        @settings(max_examples=60, deadline=None)
        @given(st.lists(STEPS, min_size=1, max_size=12))
        def holds(steps: list[Step]) -> None:
            history = History(database.unit_of_work(RecordedJobs()))
            runner.run(history.play(steps))
            counted = history.own(counters(database))
            assert counted == history.own(ledger(database))
            assert counted == history.balance()
            assert all(counter.used >= 0 and counter.reserved >= 0 for counter in counted.values())

        holds()
        runner.run(database.aclose())
