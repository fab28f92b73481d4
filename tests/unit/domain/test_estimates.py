"""What a request would cost and meet with, told before anything is asked for."""

from dataclasses import replace
from uuid import uuid4

import pytest

from domain.costs import Cost, CostBasis
from domain.generation_requests import GenerationEstimate
from domain.providers import ImageOptions
from domain.quotas import Feature, QuotaUnit
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.database import RecordedJobs
from tests.fakes.providers import MODEL
from tests.rows import after, an_attempt, an_identity, limit_of
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
NOTHING_KNOWN = GenerationEstimate(None, "No price is known.", None, ())


def houses(n: int) -> GenerateImage:
    """A wish for several pictures."""
    return replace(HOUSE, options=ImageOptions(n=n))


async def measured(shop: Workshop, viewer: Viewer, seconds: float, cost_micro_usd: int) -> None:
    """An earlier generation by the model."""
    earlier = await shop.requests.ask(viewer, HOUSE)
    cost = Cost(cost_micro_usd, CostBasis.USAGE)
    attempt = an_attempt(earlier, outcome="SUCCEEDED", finished_at=after(seconds), cost=cost)
    async with shop.unit_of_work() as work:
        await work.generations.add_attempt(attempt)
        await work.commit()
    await shop.events.end(earlier)


class TestPrices:
    """On what ground."""

    async def test_the_providers_price_goes_first(self, shop: Workshop, viewer: Viewer) -> None:
        """For all the pictures; it is asked for what would be sent, with the model's defaults."""
        await measured(shop, viewer, 12.4, 40_000)
        shop.provider.models = [replace(MODEL, qualities=("high",), defaults=ImageOptions(quality="high"))]
        shop.provider.price = 30_000
        identity = await shop.identity(viewer, references=2)
        wish = replace(houses(3), prompt=None, identity_id=identity.id)
        told = await shop.requests.estimate(viewer, wish)
        assert (told.cost_micro_usd, told.basis, told.seconds) == (90_000, "The provider's listed price.", 12)
        assert shop.provider.priced[-1] == ("sketch-1", ImageOptions(n=3, quality="high"), 2)

    async def test_a_price_of_nothing_is_a_price(self, shop: Workshop, viewer: Viewer) -> None:
        """The placeholder costs nothing."""
        await measured(shop, viewer, 1.0, 40_000)
        shop.provider.price = 0
        told = await shop.requests.estimate(viewer, HOUSE)
        assert (told.cost_micro_usd, told.basis) == (0, "The provider's listed price.")

    async def test_without_one_what_was_paid_before_tells(self, shop: Workshop, viewer: Viewer) -> None:
        """On the mean."""
        await measured(shop, viewer, 1.0, 40_000)
        await measured(shop, viewer, 2.0, 20_000)
        told = await shop.requests.estimate(viewer, houses(2))
        assert (told.cost_micro_usd, told.basis) == (60_000, "The mean of this model's latest images in the community.")
        assert (await shop.requests.ask(viewer, houses(2))).estimated_cost_micro_usd == 60_000

    async def test_what_nobody_knows_is_not_made_up(self, shop: Workshop, viewer: Viewer) -> None:
        """Neither a price nor a time."""
        assert await shop.requests.estimate(viewer, HOUSE) == NOTHING_KNOWN
        assert (await shop.requests.ask(viewer, HOUSE)).estimated_cost_micro_usd is None


class TestProblems:
    """What stands against it, in words."""

    async def test_nothing_is_asked_for(self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs) -> None:
        """Put in line, stored or reserved."""
        await shop.requests.estimate(viewer, HOUSE)
        assert await shop.generations(viewer) == []
        assert jobs.enqueued == []
        assert (await shop.used(viewer)).reserved == 0

    async def test_weaknesses_of_the_identity_are_told(self, shop: Workshop, viewer: Viewer) -> None:
        """They don't keep from asking."""
        await shop.identity(viewer)
        bare = an_identity(viewer.user, i_am_statement="", visualization="")
        async with shop.unit_of_work() as work:
            await work.identities.add(bare)
            await work.commit()
        told = await shop.requests.estimate(viewer, GenerateImage(identity_id=bare.id))
        assert told.problems == (
            "Describe the identity: it has neither an I-am statement nor a visualization",
            "Reference image 0 is small (40x30 px): use 256 or more",
        )

    async def test_quotas_that_it_would_exceed_are_told(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """All of them, in the words of the refusal; the price is told all the same."""
        plan = await shop.quotas.create_plan(admin, "Small", [limit_of(2)])
        await shop.quotas.set_community_plan(admin, plan.id)
        for unit, amount in ((QuotaUnit.IMAGES, 1), (QuotaUnit.MICRO_USD, 50_000)):
            await shop.quotas.set_user_limit(admin, viewer.id, Feature.IMAGE_GENERATION, unit, amount)
        shop.provider.price = 30_000
        assert (await shop.requests.estimate(viewer, HOUSE)).problems == ()
        told = await shop.requests.estimate(viewer, houses(3))
        anew = "It starts anew on 2026-12-01 00:00 UTC."
        assert told.problems == (
            "The community's quota for this month doesn't allow 3 more: 0 of 2 images are used or reserved. " + anew,
            "Your quota for this month doesn't allow 3 more: 0 of 1 images are used or reserved. " + anew,
            "Your quota for this month doesn't allow $0.09 more: $0.00 of $0.05 are used or reserved. " + anew,
        )
        assert told.cost_micro_usd == 90_000

    async def test_what_would_be_refused_is_told_and_not_raised(
        self, shop: Workshop, viewer: Viewer, stranger: Viewer
    ) -> None:
        """Whatever it would be refused for."""
        theirs = await shop.identity(stranger)
        for wish, problem in (
            (GenerateImage(), "Give one of identityId, prompt, structuredPrompt and parentImageId"),
            (GenerateImage(identity_id=theirs.id), "Identity not found"),
            (replace(HOUSE, parent_image_id=uuid4()), "Image not found"),
            (houses(5), "Sketch does not take n 5. Supported: 1-4."),
            (replace(HOUSE, step_id=uuid4()), "Only an admin of the community may change wizards"),
        ):
            assert await shop.requests.estimate(viewer, wish) == replace(NOTHING_KNOWN, problems=(problem,))
        shop.provider.problem = "It has no key"
        assert (await shop.requests.estimate(viewer, HOUSE)).problems == ("It has no key",)

    @pytest.mark.parametrize("is_down", [True, False])
    async def test_references_that_cannot_be_read_are_told(self, shop: Workshop, viewer: Viewer, is_down: bool) -> None:
        """Gone from the store, or a store that is away."""
        identity = await shop.identity(viewer)
        shop.store.is_down = is_down
        shop.store.objects.clear()
        told = await shop.requests.estimate(viewer, GenerateImage(identity_id=identity.id))
        problem = (
            "The object store can't be reached." if is_down else "Reference image 0 can't be read. Upload it again."
        )
        assert told == replace(NOTHING_KNOWN, problems=(problem,))
