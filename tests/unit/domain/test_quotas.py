"""Quotas: months, what is reserved and what is counted in the end, who is refused in which words."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from domain.costs import UNKNOWN_PRICE_MICRO_USD
from domain.errors import QuotaExceeded
from domain.failures import FailureCode, failure
from domain.generations import Generation, GenerationState
from domain.providers import ImageOptions, PictureArrived, PictureFailed
from domain.quotas import Feature, Limit, Quota, QuotaUnit, UsageKind, period_of, resets_at
from domain.users import Community, Viewer
from domain.wishes import GenerateImage
from storage.database.databases import Database
from storage.database.tables import usage_event
from tests.fakes.providers import DRAWN
from tests.rows import limit_of
from tests.workshop import Workshop

IMAGES, MICRO_USD = QuotaUnit.IMAGES, QuotaUnit.MICRO_USD
HOUSE = GenerateImage(prompt="A house")
REFUSED = PictureFailed(failure(FailureCode.REFUSED_INPUT))
TIMED_OUT = PictureFailed(failure(FailureCode.TIMEOUT, is_charged=True))
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu"]


def houses(n: int) -> GenerateImage:
    """A wish for several pictures."""
    return replace(HOUSE, options=ImageOptions(n=n))


def money(micro_usd: int) -> Limit:
    """A limit of so much money."""
    return Limit(Feature.IMAGE_GENERATION, MICRO_USD, micro_usd)


async def limited(shop: Workshop, admin: Viewer, *limits: Limit) -> None:
    """Put the admin's community on a plan with these limits."""
    plan = await shop.quotas.create_plan(admin, "Small", limits)
    await shop.quotas.set_community_plan(admin, plan.id)


async def counts(shop: Workshop, viewer: Viewer, community: Community) -> dict[QuotaUnit, tuple[int, int]]:
    """What is reserved and what is used by unit: the same for the community and for the one who asked."""
    found = {}
    for unit in QuotaUnit:
        own, all_of_them = await shop.used(viewer, unit), await shop.used_together(community, unit)
        assert (own.reserved, own.used) == (all_of_them.reserved, all_of_them.used)
        found[unit] = (own.reserved, own.used)
    return found


async def held(shop: Workshop, generation: Generation) -> int:
    """How many lines of the ledger wait for the generation's end."""
    async with shop.unit_of_work() as work:
        return len(await work.usage.unsettled(generation.id))


class TestMonths:
    """A month begins by the community's clock."""

    @pytest.mark.parametrize(
        ("now", "time_zone", "period", "next_month"),
        [
            ("2026-11-30T23:30:00Z", "UTC", "2026-11", "2026-12-01T00:00:00Z"),
            ("2026-11-30T23:30:00Z", "Europe/Berlin", "2026-12", "2026-12-31T23:00:00Z"),
            ("2026-12-31T22:59:59Z", "Europe/Berlin", "2026-12", "2026-12-31T23:00:00Z"),
            ("2026-12-01T02:00:00Z", "America/New_York", "2026-11", "2026-12-01T05:00:00Z"),
            ("2026-03-10T12:00:00Z", "Europe/Berlin", "2026-03", "2026-03-31T22:00:00Z"),
            ("2026-12-31T10:59:59Z", "Pacific/Auckland", "2026-12", "2026-12-31T11:00:00Z"),
            ("2026-12-31T11:00:00Z", "Pacific/Auckland", "2027-01", "2027-01-31T11:00:00Z"),
        ],
    )
    def test_a_moment_falls_into_a_month(self, now: str, time_zone: str, period: str, next_month: str) -> None:
        """Also where the clocks change in it, and at the end of a year."""
        moment = datetime.fromisoformat(now)
        assert period_of(moment, time_zone) == period
        assert resets_at(moment, time_zone) == datetime.fromisoformat(next_month)

    @given(st.timedeltas(timedelta(0), timedelta(days=7305)), st.sampled_from(ZONES))
    def test_a_month_ends_where_the_next_begins(self, passed: timedelta, time_zone: str) -> None:
        """Whenever and wherever: the last moment before it is of this month, and it is of the next."""
        now = datetime(2020, 1, 1, tzinfo=UTC) + passed
        end = resets_at(now, time_zone)
        assert now < end <= now + timedelta(days=31, hours=1)
        last = end.astimezone(UTC) - timedelta(microseconds=1)
        assert period_of(last, time_zone) == period_of(now, time_zone) < period_of(end, time_zone)


def test_what_remains_is_never_less_than_nothing() -> None:
    """A limit may have been lowered since; without one there is no end."""
    quota = Quota(Feature.IMAGE_GENERATION, IMAGES, 10, used=4, reserved=3, resets_at=datetime.now(UTC))
    assert quota.remaining == 3
    assert replace(quota, limit=5).remaining == 0
    assert replace(quota, limit=None).remaining is None


class TestReserving:
    """When something is asked for."""

    async def test_what_may_be_used_is_reserved(self, shop: Workshop, viewer: Viewer, community: Community) -> None:
        """For the community and for who asked: the pictures, and what they should cost."""
        shop.provider.price = 30_000
        made = await shop.requests.ask(viewer, houses(3))
        assert made.estimated_cost_micro_usd == 90_000
        assert await counts(shop, viewer, community) == {IMAGES: (3, 0), MICRO_USD: (90_000, 0)}
        assert await held(shop, made) == 2

    async def test_a_price_that_nobody_knows_may_be_dear(
        self, shop: Workshop, viewer: Viewer, community: Community
    ) -> None:
        """A quarter of a dollar a picture; one that costs nothing costs nothing."""
        await shop.requests.ask(viewer, houses(2))
        assert (await counts(shop, viewer, community))[MICRO_USD] == (2 * UNKNOWN_PRICE_MICRO_USD, 0)
        shop.provider.price = 0
        await shop.requests.ask(viewer, houses(2))
        assert await counts(shop, viewer, community) == {IMAGES: (4, 0), MICRO_USD: (500_000, 0)}

    async def test_it_is_who_asked_that_uses(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """Not the person for whom an admin asks."""
        identity = await shop.identity(viewer)
        await shop.requests.ask(admin, GenerateImage(identity_id=identity.id))
        assert (await shop.used(admin)).reserved == 1
        assert (await shop.used(viewer)).reserved == 0

    async def test_members_share_their_communitys_quota(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, stranger: Viewer, community: Community
    ) -> None:
        """Of another community nothing is counted here."""
        for who in (viewer, admin, stranger):
            await shop.requests.ask(who, houses(2))
        assert (await shop.used_together(community)).reserved == 4
        assert (await shop.used(viewer)).reserved == 2

    async def test_the_same_call_again_reserves_nothing_more(self, shop: Workshop, viewer: Viewer) -> None:
        """Nor does one that lost a race."""
        wish = replace(HOUSE, idempotency_key="once")
        await shop.requests.ask(viewer, wish)
        await shop.requests.ask(viewer, wish)
        shop.unit_of_work.mishaps["generations.of_key"] = [None]
        await shop.requests.ask(viewer, wish)
        assert (await shop.used(viewer)).reserved == 1


class TestLimits:
    """What goes beyond is refused, and nothing is put in line."""

    async def test_the_communitys_limit_holds(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, community: Community
    ) -> None:
        """To the last picture; the message says whose, how much is taken, and when it starts anew."""
        await limited(shop, admin, limit_of(5))
        await shop.requests.ask(admin, houses(2))
        await shop.requests.ask(viewer, houses(2))
        with pytest.raises(QuotaExceeded) as caught:
            await shop.requests.ask(viewer, houses(2))
        assert caught.value.message == (
            "The community's quota for this month doesn't allow 2 more: 4 of 5 images are used or reserved. "
            "It starts anew on 2026-12-01 00:00 UTC."
        )
        assert caught.value.quota == await shop.used_together(community)
        assert (caught.value.quota.limit, caught.value.quota.remaining) == (5, 1)
        await shop.requests.ask(viewer, HOUSE)
        assert (await shop.used_together(community)).remaining == 0
        assert (await shop.used(viewer)).reserved == 3

    async def test_a_users_own_limit_holds_beside_it(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, community: Community
    ) -> None:
        """Nothing is left of a refusal, also not in the community's counter; others go on."""
        await limited(shop, admin, limit_of(100))
        await shop.quotas.set_user_limit(admin, viewer.id, Feature.IMAGE_GENERATION, IMAGES, 1)
        await shop.requests.ask(viewer, HOUSE)
        with pytest.raises(QuotaExceeded) as caught:
            await shop.requests.ask(viewer, HOUSE)
        assert caught.value.message == (
            "Your quota for this month doesn't allow 1 more: 1 of 1 images are used or reserved. "
            "It starts anew on 2026-12-01 00:00 UTC."
        )
        assert caught.value.quota == await shop.used(viewer)
        assert (await shop.used_together(community)).reserved == 1
        assert len(await shop.generations(viewer)) == 1
        await shop.requests.ask(admin, HOUSE)

    async def test_money_is_limited_too(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, community: Community
    ) -> None:
        """In dollars and cents."""
        await limited(shop, admin, money(1_500_000))
        shop.provider.price = 600_000
        await shop.requests.ask(viewer, houses(2))
        with pytest.raises(QuotaExceeded) as caught:
            await shop.requests.ask(viewer, HOUSE)
        assert caught.value.message == (
            "The community's quota for this month doesn't allow $0.60 more: $1.20 of $1.50 are used or reserved. "
            "It starts anew on 2026-12-01 00:00 UTC."
        )
        assert await counts(shop, viewer, community) == {IMAGES: (2, 0), MICRO_USD: (1_200_000, 0)}

    async def test_nothing_at_all_may_be_allowed(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """A limit of nothing is not the absence of one; what costs nothing is still free."""
        await limited(shop, admin, money(0))
        with pytest.raises(QuotaExceeded):
            await shop.requests.ask(viewer, HOUSE)
        shop.provider.price = 0
        await shop.requests.ask(viewer, HOUSE)
        await limited(shop, admin, limit_of(0))
        with pytest.raises(QuotaExceeded):
            await shop.requests.ask(viewer, HOUSE)

    async def test_requests_at_once_never_go_beyond(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, community: Community
    ) -> None:
        """Exactly as many as the limit allows are taken."""
        await limited(shop, admin, limit_of(3))
        asked = await asyncio.gather(
            *(shop.requests.ask(who, HOUSE) for who in (viewer, admin) * 4), return_exceptions=True
        )
        assert sum(isinstance(each, Generation) for each in asked) == 3
        assert sum(isinstance(each, QuotaExceeded) for each in asked) == 5
        assert (await shop.used_together(community)).reserved == 3

    async def test_a_lowered_limit_holds_at_once(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """What was promised stays promised."""
        plan = await shop.quotas.create_plan(admin, "Small", [limit_of(5)])
        await shop.quotas.set_community_plan(admin, plan.id)
        running = await shop.requests.ask(viewer, houses(4))
        await shop.quotas.update_plan(admin, plan.id, limits=[limit_of(2)])
        with pytest.raises(QuotaExceeded):
            await shop.requests.ask(viewer, HOUSE)
        assert (await shop.run(running)).state is GenerationState.SUCCEEDED
        assert (await shop.used(viewer)).used == 4

    async def test_a_new_month_starts_anew(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, community: Community
    ) -> None:
        """By the community's clock: in New York five hours later than in London."""
        async with shop.unit_of_work() as work:
            await work.users.update_community(replace(community, time_zone="America/New_York"))
            await work.commit()
        await limited(shop, admin, limit_of(1))
        await shop.requests.ask(viewer, HOUSE)
        shop.clock.time = datetime(2026, 12, 1, 4, 59, 59, tzinfo=UTC)
        with pytest.raises(QuotaExceeded, match=r"It starts anew on 2026-12-01 00:00 EST\.$"):
            await shop.requests.ask(viewer, HOUSE)
        shop.clock.advance(1)
        assert (await shop.used_together(community)).remaining == 1
        await shop.requests.ask(viewer, HOUSE)


class TestSettling:
    """When it has ended."""

    async def test_what_was_made_is_counted(self, shop: Workshop, viewer: Viewer, community: Community) -> None:
        """At what it did cost, be it more or less than it should have."""
        shop.provider.price = 30_000
        made = await shop.requests.ask(viewer, houses(2))
        await shop.run(made)
        assert await counts(shop, viewer, community) == {IMAGES: (0, 2), MICRO_USD: (0, 80_000)}
        assert await held(shop, made) == 0

    async def test_what_was_not_made_is_released(self, shop: Workshop, viewer: Viewer, community: Community) -> None:
        """A refusal costs nothing: neither pictures nor money."""
        shop.provider.price = 30_000
        shop.provider.scripts = [[REFUSED], [REFUSED]]
        refused = await shop.run(await shop.requests.ask(viewer, houses(2)))
        assert refused.state is GenerationState.REFUSED
        assert await counts(shop, viewer, community) == {IMAGES: (0, 0), MICRO_USD: (0, 0)}
        assert await held(shop, refused) == 0

    async def test_a_part_of_it_is_counted_and_the_rest_released(
        self, shop: Workshop, viewer: Viewer, community: Community
    ) -> None:
        """One made, one refused, and one for which the provider may have taken money: that one at the price told."""
        shop.provider.price = 30_000
        shop.provider.scripts = [[DRAWN], [REFUSED], [TIMED_OUT]]
        await shop.run(await shop.requests.ask(viewer, houses(3)))
        assert await counts(shop, viewer, community) == {IMAGES: (0, 1), MICRO_USD: (0, 70_000)}

    async def test_a_picture_whose_cost_was_not_told_counts_at_the_price(
        self, shop: Workshop, viewer: Viewer, community: Community
    ) -> None:
        """Where one was known."""
        shop.provider.scripts = [[PictureArrived(DRAWN.data)]] * 3
        shop.provider.price = 30_000
        await shop.run(await shop.requests.ask(viewer, houses(2)))
        assert (await counts(shop, viewer, community))[MICRO_USD] == (0, 60_000)

    @pytest.mark.parametrize(
        ("script", "kind", "used"),
        [(DRAWN, UsageKind.SETTLE, {(IMAGES, 1), (MICRO_USD, 40_000)}), (REFUSED, UsageKind.RELEASE, set())],
    )
    async def test_the_ledger_tells_it(
        self,
        shop: Workshop,
        viewer: Viewer,
        database: Database,
        script: PictureArrived | PictureFailed,
        kind: UsageKind,
        used: set[tuple[QuotaUnit, int]],
    ) -> None:
        """A line for what was reserved and one for its end, in each unit; what was reserved comes to nothing.

        Money tells on what ground.
        """
        shop.provider.scripts = [[script]]
        made = await shop.run(await shop.requests.ask(viewer, HOUSE))
        with database.sync_engine().connect() as connection:
            lines = connection.execute(sa.select(usage_event)).all()
        ends = [line for line in lines if line.kind != UsageKind.RESERVE]
        assert {line.kind for line in ends} == {kind}
        assert [len(lines), len(ends)] == [4, 2]
        assert {(line.unit, line.used_delta) for line in ends if line.used_delta} == used
        assert {line.basis for line in lines if line.unit == IMAGES} == {None}
        grounds = {(line.kind, line.basis) for line in lines if line.unit == MICRO_USD and line.kind != "RELEASE"}
        assert grounds == {("RESERVE", "ASSUMED"), *({("SETTLE", "LISTED")} if used else set())}
        for unit in QuotaUnit:
            assert sum(line.reserved_delta for line in lines if line.unit == unit) == 0
        assert {(line.user_id, line.generation_id, line.period) for line in lines} == {(viewer.id, made.id, "2026-11")}

    async def test_it_counts_in_the_month_it_was_asked_in(
        self, shop: Workshop, viewer: Viewer, community: Community
    ) -> None:
        """However late it ends: the new month begins with nothing."""
        shop.clock.time = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
        made = await shop.requests.ask(viewer, HOUSE)
        shop.clock.advance(120)
        await shop.run(made)
        assert await counts(shop, viewer, community) == {IMAGES: (0, 0), MICRO_USD: (0, 0)}
        shop.clock.advance(-120)
        assert await counts(shop, viewer, community) == {IMAGES: (0, 1), MICRO_USD: (0, 40_000)}

    async def test_it_is_settled_once(self, shop: Workshop, viewer: Viewer, community: Community) -> None:
        """However often its end is repeated."""
        made = await shop.run(await shop.requests.ask(viewer, HOUSE))
        for _ in range(2):
            await shop.events.end(made)
        assert await counts(shop, viewer, community) == {IMAGES: (0, 1), MICRO_USD: (0, 40_000)}

    async def test_an_end_that_is_not_committed_settles_nothing(
        self, shop: Workshop, viewer: Viewer, community: Community
    ) -> None:
        """The next try does."""
        made = await shop.asked(viewer, HOUSE)
        await shop.jobs.make(made.id, 0)
        shop.unit_of_work.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await shop.jobs.finish(made.id)
        assert (await counts(shop, viewer, community))[IMAGES] == (1, 0)
        await shop.jobs.finish(made.id)
        assert (await counts(shop, viewer, community))[IMAGES] == (0, 1)

    async def test_a_release_makes_room(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """For who was refused before."""
        await limited(shop, admin, limit_of(1))
        shop.provider.scripts = [[REFUSED]]
        running = await shop.requests.ask(viewer, HOUSE)
        with pytest.raises(QuotaExceeded):
            await shop.requests.ask(viewer, HOUSE)
        await shop.run(running)
        await shop.requests.ask(viewer, HOUSE)
