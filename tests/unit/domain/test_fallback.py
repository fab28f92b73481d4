"""Calling by one route after the other: when the next is tried, what is on record, and what is never paid twice."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.connection_profiles import ConnectionProfile, ProfileChange
from domain.costs import Cost, CostBasis
from domain.failures import REFUSALS, FailureCode, GenerationFailure, failure
from domain.generations import SUCCEEDED, Attempt, Generation, GenerationState
from domain.provider_access import KEY_UNREADABLE
from domain.provider_calls import PROFILE_GONE, PictureNotMade, Receipt
from domain.providers import (
    ImageModel,
    ImageOptions,
    PictureArrived,
    PictureFailed,
    ProviderKind,
    QualityWord,
)
from domain.quotas import QuotaUnit
from domain.routes import falls_back
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests import pictures
from tests.fakes.mishaps import WORKS
from tests.fakes.providers import DRAWN, FakeProvider, Killed, Step
from tests.workshop import Workshop

OFFLINE, OPENAI, GEMINI = ProviderKind.OFFLINE, ProviderKind.OPENAI, ProviderKind.GEMINI
HOUSE = GenerateImage(prompt="A house")
KEYS = ("first-key-0001", "second-key-0002", "third-key-0003")
PEN = ImageModel(id="pen-1", name="Pen", qualities=("fine",), quality_words=(QualityWord("hd", "fine"),))
SKETCH = ImageModel(id="sketch-1", name="Sketch", qualities=("high",), quality_words=(QualityWord("hd", "high"),))
PAID = PictureArrived(pictures.jpeg(30, 20), request_id="req-2", cost_micro_usd=70_000, cost_basis=CostBasis.REPORTED)


def said(code: FailureCode, *, is_charged: bool = False, detail: str | None = None) -> PictureFailed:
    """How a provider says no."""
    return PictureFailed(failure(code, is_charged=is_charged), request_id="req-no", detail=detail)


@dataclass(slots=True)
class Chain:
    """A prepared generation that may be made by three profiles of the viewer's, and what each leads to."""

    shop: Workshop
    generation: Generation
    profiles: tuple[ConnectionProfile, ...]
    vendors: tuple[FakeProvider, ...]

    @property
    def calls(self) -> list[int]:
        """How often each was asked."""
        return [len(vendor.requests) for vendor in self.vendors]

    async def made(self) -> Receipt:
        """Take the step of the first picture."""
        return await self.shop.calls.paid_for(self.generation, 0)

    async def not_made(self) -> GenerationFailure:
        """Take the step of a picture that can't be had."""
        with pytest.raises(PictureNotMade) as caught:
            await self.made()
        return caught.value.why

    async def killed(self) -> None:
        """Take the step, in which the process dies."""
        with pytest.raises(Killed):
            await self.made()

    async def attempts(self) -> list[tuple[int, str]]:
        """The route and the outcome of every call."""
        return [(attempt.route, attempt.outcome) for attempt in await self.shop.attempts(self.generation)]


async def chained(shop: Workshop, viewer: Viewer, options: ImageOptions | None = None) -> Chain:
    """A chain of OPENAI, GEMINI and OPENAI again, each with a key of its own."""
    shop.other.models, shop.own[GEMINI].models = (SKETCH,), (PEN,)
    kinds = (OPENAI, GEMINI, OPENAI)
    profiles = tuple([await shop.profile(viewer, kind, key) for kind, key in zip(kinds, KEYS, strict=True)])
    first, *others = [profile.id for profile in profiles]
    wish = replace(HOUSE, profile_id=first, fallback_profile_ids=tuple(others), options=options or ImageOptions())
    vendors = tuple(shop.vendors.of(kind, key) for kind, key in zip(kinds, KEYS, strict=True))
    return Chain(shop, await shop.asked(viewer, wish), profiles, vendors)


@pytest.fixture
async def chain(shop: Workshop, viewer: Viewer) -> Chain:
    """A chain whose calls all succeed as long as nothing is scripted."""
    return await chained(shop, viewer)


class TestWhen:
    """Which failures another may mend."""

    @pytest.mark.parametrize("is_charged", [True, False])
    @pytest.mark.parametrize("code", FailureCode)
    async def test_the_next_is_tried_only_where_it_may_help_and_nobody_was_paid(
        self, chain: Chain, code: FailureCode, is_charged: bool
    ) -> None:
        """At once, with the same request; else the first one's failure is the last word."""
        why = failure(code, is_charged=is_charged)
        first, second, third = chain.vendors
        first.scripts = [[PictureFailed(why)]] * 4
        if falls_back(why):
            assert (await chain.made()).route == 1
            assert chain.calls == [1, 1, 0]
            assert second.requests[0].prompt == first.requests[0].prompt
            assert chain.shop.pauses == []
        else:
            assert await chain.not_made() == why
            assert second.requests == third.requests == []

    async def test_one_after_the_other_is_tried(self, chain: Chain) -> None:
        """In order, each once; people read who is next."""
        for vendor, code in zip(chain.vendors, (FailureCode.INVALID_KEY, FailureCode.MODEL_GONE), strict=False):
            vendor.scripts = [[said(code)]]
        assert (await chain.made()).route == 2
        assert await chain.attempts() == [(0, "INVALID_KEY"), (1, "MODEL_GONE"), (2, "SUCCEEDED")]
        assert (await chain.shop.stages(chain.generation))[-2:] == [
            "The provider does not accept the API key. Trying Gemini instead.",
            "The provider no longer offers this model. Trying Openai instead.",
        ]

    async def test_the_last_failure_is_the_pictures(self, chain: Chain) -> None:
        """When all have failed."""
        codes = (FailureCode.INVALID_KEY, FailureCode.INSUFFICIENT_CREDIT, FailureCode.MODEL_GONE)
        for vendor, code in zip(chain.vendors, codes, strict=True):
            vendor.scripts = [[said(code)]]
        assert await chain.not_made() == failure(FailureCode.MODEL_GONE)
        assert chain.calls == [1, 1, 1]
        assert await chain.not_made() == failure(FailureCode.MODEL_GONE)
        assert chain.calls == [1, 1, 1]

    @pytest.mark.parametrize("code", sorted(REFUSALS))
    async def test_a_refusal_ends_it_wherever_it_comes(self, chain: Chain, code: FailureCode) -> None:
        """Nobody is asked to make what another has refused, now or when the step is taken again."""
        chain.vendors[0].scripts = [[said(FailureCode.RATE_LIMITED)]]
        chain.vendors[1].scripts = [[said(code)]]
        for _ in range(2):
            assert await chain.not_made() == failure(code)
            assert chain.calls == [1, 1, 0]

    async def test_only_the_last_is_asked_again(self, chain: Chain) -> None:
        """There is nobody else: as often and with the pauses as if it were alone; none goes back to the first."""
        limited = [said(FailureCode.RATE_LIMITED)]
        for vendor, times in zip(chain.vendors, (1, 1, 4), strict=True):
            vendor.scripts = [limited] * times
        assert await chain.not_made() == failure(FailureCode.RATE_LIMITED)
        assert chain.calls == [1, 1, 4]
        assert len(chain.shop.pauses) == 3

    async def test_the_servers_own_access_falls_back_to_a_profile(self, shop: Workshop, viewer: Viewer) -> None:
        """And never the other way: a profile's failure is not mended at the server's cost."""
        profile = await shop.profile(viewer, key=KEYS[0])
        generation = await shop.asked(viewer, replace(HOUSE, fallback_profile_ids=(profile.id,)))
        shop.provider.scripts = [[said(FailureCode.INSUFFICIENT_CREDIT)]]
        assert (await shop.calls.paid_for(generation, 0)).route == 1
        assert [attempt.profile_id for attempt in await shop.attempts(generation)] == [None, profile.id]
        assert shop.other.requests == []
        assert shop.provider.let_go == 0

    async def test_each_picture_has_its_own_chain(self, shop: Workshop, viewer: Viewer) -> None:
        """What failed for one may work for the next."""
        chain = await chained(shop, viewer, ImageOptions(n=2))
        chain.vendors[0].scripts = [[said(FailureCode.TIMEOUT)]]
        ended = await shop.run(chain.generation)
        assert ended.state is GenerationState.SUCCEEDED
        attempts = await shop.attempts(chain.generation)
        assert [(each.index, each.number, each.route) for each in attempts] == [(0, 1, 0), (0, 2, 1), (1, 1, 0)]


class TestRecords:
    """What is known of it afterwards."""

    async def test_the_chain_is_in_the_attempts(self, chain: Chain) -> None:
        """Who was asked by which profile for what, what they said, and what it cost."""
        chain.vendors[0].scripts = [[said(FailureCode.INVALID_KEY, detail="Incorrect API key provided")]]
        chain.vendors[1].scripts = [[PAID]]
        asked_at = chain.shop.clock.time
        await chain.made()
        first, second = await chain.shop.attempts(chain.generation)
        assert first == Attempt(
            id=first.id,
            generation_id=chain.generation.id,
            index=0,
            number=1,
            provider=OPENAI,
            model="sketch-1",
            started_at=asked_at,
            finished_at=asked_at,
            outcome="INVALID_KEY",
            provider_request_id="req-no",
            cost=None,
            is_charged=False,
            route=0,
            profile_id=chain.profiles[0].id,
            detail="Incorrect API key provided",
        )
        assert second == replace(
            first,
            id=second.id,
            number=2,
            provider=GEMINI,
            model="pen-1",
            outcome="SUCCEEDED",
            provider_request_id="req-2",
            cost=Cost(70_000, CostBasis.REPORTED),
            route=1,
            profile_id=chain.profiles[1].id,
            detail=None,
        )

    async def test_the_recipe_and_the_cost_are_of_the_route_that_made_it(self, shop: Workshop, viewer: Viewer) -> None:
        """Provider, model and options in its own words, cost and ground; also after a crash before it was stored."""
        shop.other.price, shop.own[GEMINI].price = 10_000, 90_000
        chain = await chained(shop, viewer, ImageOptions(quality="hd"))
        chain.vendors[0].scripts = [[said(FailureCode.INVALID_KEY)]]
        chain.vendors[1].scripts = [[PAID]]
        shop.unit_of_work.mishaps["generations.finish_attempt"] = [WORKS, Killed()]
        await chain.killed()
        ended = await shop.run(chain.generation)
        (image,) = await shop.images(chain.generation)
        assert image.recipe
        assert (image.recipe.provider, image.recipe.model) == (GEMINI, "pen-1")
        assert image.recipe.options == {"n": 1, "quality": "fine"}
        assert (image.recipe.cost_micro_usd, image.recipe.cost_basis) == (70_000, CostBasis.REPORTED)
        assert ended.actual_cost == Cost(70_000, CostBasis.REPORTED)
        assert (ended.provider, ended.model, ended.options.quality) == (OPENAI, "sketch-1", "high")
        assert chain.calls == [1, 1, 0]

    async def test_a_profile_remembers_when_it_was_used(self, chain: Chain, viewer: Viewer) -> None:
        """Each that was asked, and no other."""
        chain.vendors[0].scripts = [[said(FailureCode.INVALID_KEY)]]
        chain.shop.clock.advance(60)
        await chain.made()
        now = chain.shop.clock.time
        profiles = {each.id: each.last_used_at for each in await chain.shop.profiles.list(viewer)}
        assert [profiles[each.id] for each in chain.profiles] == [now, now, None]

    async def test_everybody_is_let_go_of(self, chain: Chain) -> None:
        """Whether they failed or not."""
        chain.vendors[0].scripts = [[KeyError("choices")]]
        await chain.not_made()
        assert [vendor.let_go for vendor in chain.vendors] == [1, 0, 0]


class TestMoney:
    """What is reserved and what is counted."""

    async def test_the_dearest_is_reserved_and_what_it_took_is_counted(self, shop: Workshop, viewer: Viewer) -> None:
        """By the route that was paid; the first one's price is the estimate."""
        shop.other.price, shop.own[GEMINI].price = 10_000, 90_000
        chain = await chained(shop, viewer, ImageOptions(n=2))
        assert chain.generation.estimated_cost_micro_usd == 20_000
        assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).reserved == 180_000
        chain.vendors[0].scripts = [[said(FailureCode.INVALID_KEY)], [replace(DRAWN, cost_micro_usd=None)]]
        chain.vendors[1].scripts = [[said(FailureCode.EMPTY_RESULT, is_charged=True)]]
        await shop.run(chain.generation)
        quota = await shop.used(viewer, QuotaUnit.MICRO_USD)
        assert (quota.reserved, quota.used) == (0, 90_000 + 10_000)

    async def test_what_a_provider_took_for_nothing_is_counted(self, shop: Workshop, viewer: Viewer) -> None:
        """As it told, and not as a whole picture was taken to cost."""
        chain = await chained(shop, viewer)
        told = {"cost_micro_usd": 20_000, "cost_basis": CostBasis.REPORTED}
        chain.vendors[0].scripts = [[replace(said(FailureCode.REFUSED_OUTPUT, is_charged=True), **told)]]  # type: ignore[arg-type]  # by name
        ended = await shop.run(chain.generation)
        assert (ended.state, ended.actual_cost) == (GenerationState.REFUSED, Cost(20_000, CostBasis.REPORTED))
        assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).used == 20_000

    async def test_nothing_is_counted_for_what_nobody_charged(self, shop: Workshop, viewer: Viewer) -> None:
        """However many were asked."""
        chain = await chained(shop, viewer)
        for vendor in chain.vendors:
            vendor.scripts = [[said(FailureCode.INVALID_KEY)]]
        ended = await shop.run(chain.generation)
        assert (ended.state, ended.actual_cost) == (GenerationState.FAILED, None)
        quota = await shop.used(viewer, QuotaUnit.MICRO_USD)
        assert (quota.reserved, quota.used) == (0, 0)


class TestCrashes:
    """Between routes, and in the middle of one."""

    async def test_a_crash_between_routes_goes_on_with_the_next(self, chain: Chain) -> None:
        """Who failed before it is not asked again."""
        chain.vendors[0].scripts = [[said(FailureCode.INVALID_KEY)]]
        chain.shop.unit_of_work.mishaps["generations.append"] = [Killed()]
        await chain.killed()
        assert (await chain.made()).route == 1
        assert await chain.attempts() == [(0, "INVALID_KEY"), (1, "SUCCEEDED")]

    async def test_after_a_call_that_may_have_been_paid_nobody_is_asked(self, chain: Chain) -> None:
        """Neither the same one nor another."""
        chain.vendors[0].scripts = [[said(FailureCode.INVALID_KEY)]]
        chain.vendors[1].scripts = [[Killed()]]
        await chain.killed()
        for _ in range(2):
            assert await chain.not_made() == failure(FailureCode.UNKNOWN_CHARGED, is_charged=True)
        assert await chain.attempts() == [(0, "INVALID_KEY"), (1, "UNKNOWN_CHARGED")]

    async def test_a_call_is_made_once_more_by_the_same_route_where_that_is_allowed(
        self, daring: Workshop, viewer: Viewer
    ) -> None:
        """It may have been paid: nobody else is asked."""
        chain = await chained(daring, viewer)
        chain.vendors[0].scripts = [[said(FailureCode.INVALID_KEY)]]
        chain.vendors[1].scripts = [[Killed()]]
        await chain.killed()
        assert (await chain.made()).route == 1
        assert await chain.attempts() == [(0, "INVALID_KEY"), (1, "UNKNOWN_CHARGED"), (1, "SUCCEEDED")]

    @pytest.mark.parametrize("code", [FailureCode.INVALID_KEY, FailureCode.TIMEOUT, FailureCode.REFUSED_INPUT])
    async def test_after_it_was_made_once_more_nobody_else_is_asked(
        self, daring: Workshop, viewer: Viewer, code: FailureCode
    ) -> None:
        """Whatever comes of the second one; the failure tells that somebody may have been paid."""
        chain = await chained(daring, viewer)
        chain.vendors[0].scripts = [[Killed()], [said(code)]]
        await chain.killed()
        assert await chain.not_made() == failure(code, is_charged=True)
        assert chain.calls == [2, 0, 0]
        assert await chain.not_made() == failure(code, is_charged=True)
        assert chain.calls == [2, 0, 0]

    async def test_a_call_that_costs_nothing_is_made_once_more_and_falls_back(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """Nobody was paid, so the next may be asked."""
        shop.own[OPENAI].price = 0
        chain = await chained(shop, viewer)
        chain.vendors[0].scripts = [[Killed()], [said(FailureCode.INVALID_KEY)]]
        await chain.killed()
        assert (await chain.made()).route == 1
        assert await chain.attempts() == [(0, "UNKNOWN_CHARGED"), (0, "INVALID_KEY"), (1, "SUCCEEDED")]

    async def test_what_fails_before_a_call_counts_for_none(self, chain: Chain) -> None:
        """A database that is away when the profile is read leaves nothing that might have been paid."""
        chain.shop.unit_of_work.mishaps["connection_profiles.of_user_by_ids"] = [ConnectionError()]
        with pytest.raises(ConnectionError):
            await chain.made()
        assert await chain.attempts() == []
        assert (await chain.made()).route == 0

    async def test_two_crashes_end_it(self, daring: Workshop, viewer: Viewer) -> None:
        """Though there were others to ask."""
        chain = await chained(daring, viewer)
        chain.vendors[0].scripts = [[Killed()], [Killed()]]
        await chain.killed()
        await chain.killed()
        assert await chain.not_made() == failure(FailureCode.UNKNOWN_CHARGED, is_charged=True)
        assert chain.calls == [2, 0, 0]

    async def test_a_picture_that_was_stored_and_is_gone_is_not_bought_elsewhere(self, chain: Chain) -> None:
        """The store lost it."""
        await chain.made()
        chain.shop.store.objects.clear()
        assert await chain.not_made() == failure(FailureCode.STORAGE_UNAVAILABLE, is_charged=True)
        assert chain.calls == [1, 0, 0]


class TestProfilesThatChange:
    """Between asking and calling."""

    async def test_a_profile_that_is_gone_is_not_replaced_by_the_servers_own_access(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """Which would pay for what somebody else was to pay."""
        profile = await shop.profile(viewer, key=KEYS[0])
        generation = await shop.asked(viewer, replace(HOUSE, profile_id=profile.id))
        await shop.profiles.delete(viewer, profile.id)
        with pytest.raises(PictureNotMade) as caught:
            await shop.calls.paid_for(generation, 0)
        assert caught.value.why == failure(FailureCode.INVALID_KEY, PROFILE_GONE)
        assert shop.other.requests == shop.vendors.of(OPENAI, KEYS[0]).requests == []
        (attempt,) = await shop.attempts(generation)
        assert (attempt.profile_id, attempt.outcome) == (profile.id, "INVALID_KEY")

    async def test_the_next_one_is_asked_instead(self, chain: Chain, viewer: Viewer) -> None:
        """As after any key that isn't accepted."""
        for profile in chain.profiles[:2]:
            await chain.shop.profiles.delete(viewer, profile.id)
        assert (await chain.made()).route == 2
        assert chain.calls == [0, 0, 1]
        assert (await chain.shop.stages(chain.generation))[-1] == f"{PROFILE_GONE} Trying Openai instead."

    @pytest.mark.parametrize("kind", [OPENAI, ProviderKind.OPENAI_COMPATIBLE])
    async def test_a_key_that_does_not_open_any_more_means_no_call(
        self, shop: Workshop, viewer: Viewer, kind: ProviderKind
    ) -> None:
        """Neither by the server's own access nor without a key, where none is needed."""
        url = "https://one.example" if kind is ProviderKind.OPENAI_COMPATIBLE else None
        profile = await shop.profile(viewer, kind, KEYS[0], base_url=url, model="sketch-1")
        generation = await shop.asked(viewer, replace(HOUSE, profile_id=profile.id))
        shop.vault.masters = ["second"]
        with pytest.raises(PictureNotMade) as caught:
            await shop.calls.paid_for(generation, 0)
        assert caught.value.why == failure(FailureCode.INVALID_KEY, KEY_UNREADABLE)
        assert shop.own[kind].requests == shop.vendors.of(kind).requests == []

    async def test_a_key_that_was_taken_away_means_no_call(self, chain: Chain, viewer: Viewer) -> None:
        """Where one is needed."""
        await chain.shop.profiles.update(viewer, chain.profiles[0].id, ProfileChange(api_key=""))
        assert (await chain.made()).route == 1
        assert chain.calls == [0, 1, 0]
        assert chain.shop.vendors.of(OPENAI).requests == chain.shop.other.requests == []

    async def test_a_key_that_was_replaced_is_the_one_that_is_used(self, chain: Chain, viewer: Viewer) -> None:
        """The old one may be known to somebody."""
        await chain.shop.profiles.update(viewer, chain.profiles[0].id, ProfileChange(api_key="fourth-key-0004"))
        await chain.made()
        assert chain.calls == [0, 0, 0]
        assert len(chain.shop.vendors.of(OPENAI, "fourth-key-0004").requests) == 1

    async def test_a_profile_that_became_somebody_elses_is_gone(self, chain: Chain, admin: Viewer) -> None:
        """Whoever writes that to the database gets no call out of it."""
        moved = replace(chain.generation, requested_by_id=admin.id)
        with pytest.raises(PictureNotMade) as caught:
            await chain.shop.calls.paid_for(moved, 0)
        assert caught.value.why == failure(FailureCode.INVALID_KEY, PROFILE_GONE)
        assert chain.calls == [0, 0, 0]


COSTS = st.none() | st.builds(Cost, st.integers(0, 10**9), st.sampled_from(CostBasis))
TEXTS = st.none() | st.text()


@given(st.builds(Receipt, TEXTS, TEXTS, COSTS, st.datetimes(timezones=st.just(UTC)), st.integers(0, 5)))
def test_a_receipt_is_read_as_it_was_written(receipt: Receipt) -> None:
    """Whatever the provider said."""
    assert Receipt.from_json(receipt.to_json()) == receipt


def test_a_receipt_from_before_there_were_routes_is_the_firsts() -> None:
    """Of work that an update of the server interrupted."""
    body = (
        b'{"revised_prompt": null, "request_id": "1", "cost_micro_usd": %s, "arrived_at": "2026-11-20T12:30:15+00:00"}'
    )
    moment = datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC)
    assert Receipt.from_json(body % b"null") == Receipt(None, "1", None, moment)
    assert Receipt.from_json(body % b"0") == Receipt(None, "1", Cost(0, CostBasis.LISTED), moment)


SAID = st.builds(said, st.sampled_from(FailureCode), is_charged=st.booleans())
CALLS: st.SearchStrategy[list[Sequence[Step]]] = st.lists(
    st.tuples(st.one_of(SAID, SAID, st.just(DRAWN), st.builds(Killed))), max_size=9
)
DEATHS = st.lists(st.sampled_from(["generations.append", "generations.finish_attempt"]), max_size=3)


def check_history(attempts: Sequence[Attempt], *, repeats_unknown: bool) -> None:
    """What has to be true of every series of calls."""
    for number, (call, following) in enumerate(itertools.pairwise(attempts), 1):
        assert call.outcome not in {SUCCEEDED, *REFUSALS}, "a call followed the last word"
        may_repeat = repeats_unknown and call.outcome == FailureCode.UNKNOWN_CHARGED
        assert may_repeat or not call.is_charged, "a paid call was repeated"
        if following.route != call.route:
            assert following.route == call.route + 1
            assert falls_back(failure(FailureCode(call.outcome)))
            assert not any(each.is_charged for each in attempts[:number]), "two routes may have been paid"
    assert sum(attempt.is_charged for attempt in attempts[:-1]) <= 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS, DEATHS, st.booleans())
async def test_no_history_pays_twice_or_asks_after_a_refusal(
    shop: Workshop,
    daring: Workshop,
    viewer: Viewer,
    calls: list[Sequence[Step]],
    deaths: list[str],
    repeats_unknown: bool,
) -> None:
    """Whatever the providers say and wherever the process dies, until the picture is there or given up."""
    shop = daring if repeats_unknown else shop
    chain = await chained(shop, viewer)
    scripts = list(calls)
    for vendor in chain.vendors:
        vendor.requests.clear()
        vendor.scripts = scripts
    for death in deaths:
        shop.unit_of_work.mishaps[death] = [WORKS, Killed()]
    for _ in range(12):
        try:
            receipt = await chain.made()
        except Killed:
            continue
        except PictureNotMade:
            pass
        else:
            assert (await chain.attempts())[-1] == (receipt.route, SUCCEEDED)
        break
    shop.unit_of_work.mishaps.clear()
    attempts = await shop.attempts(chain.generation)
    check_history(attempts, repeats_unknown=repeats_unknown)
    assert sum(chain.calls) == len(attempts)
    async with shop.unit_of_work() as work:
        for profile in chain.profiles:
            await work.connection_profiles.delete(profile.id)
        await work.commit()
