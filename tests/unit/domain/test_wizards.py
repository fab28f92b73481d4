"""Wizards: who may change them, the order of their steps, and what stands behind a step."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.errors import Forbidden, InvalidInput, LimitReached, NotFound
from domain.users import Role, Viewer
from domain.wizards import MAX_STEPS, MAX_WIZARDS, Step, Wizard, Wizards
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.rows import a_step, a_wizard, an_image, stored_images, stored_viewer

NAMES = [" ", "x" * 256]


@pytest.fixture
def wizards(unlucky: UnluckyUnitOfWork, clock: FakeClock) -> Wizards:
    """The service."""
    return Wizards(unlucky, clock)


@pytest.fixture
async def wizard(wizards: Wizards, admin: Viewer) -> Wizard:
    """A wizard without steps."""
    return await wizards.create(admin, "Who I am")


async def stored(unlucky: UnluckyUnitOfWork, viewer: Viewer) -> list[Wizard]:
    """The community's wizards."""
    async with unlucky(read_only=True) as work:
        return list(await work.wizards.list(viewer.user.community_id))


async def steps(unlucky: UnluckyUnitOfWork, wizard: Wizard) -> list[Step]:
    """The wizard's steps by order, which counts from 0 without gaps."""
    async with unlucky(read_only=True) as work:
        found = list(await work.wizards.steps_of([wizard.id]))
    assert [step.order for step in found] == list(range(len(found)))
    return found


async def titles(unlucky: UnluckyUnitOfWork, wizard: Wizard) -> str:
    """The steps' titles, by order."""
    return "".join(step.title for step in await steps(unlucky, wizard))


class TestWizards:
    """Names, and how many."""

    async def test_a_wizard_begins_without_steps(
        self, wizards: Wizards, admin: Viewer, unlucky: UnluckyUnitOfWork, clock: FakeClock
    ) -> None:
        """In the admin's community, under a trimmed name."""
        made = await wizards.create(admin, " Who I am ")
        assert made == Wizard(made.id, admin.user.community_id, "Who I am", clock.time)
        assert await stored(unlucky, admin) == [made]
        assert await steps(unlucky, made) == []

    async def test_there_is_a_most(self, wizards: Wizards, admin: Viewer, unlucky: UnluckyUnitOfWork) -> None:
        """One more is refused; those of others don't count."""
        async with unlucky() as work:
            for _ in range(MAX_WIZARDS - 1):
                await work.wizards.add(a_wizard(admin.user.community_id))
            await work.commit()
        await wizards.create(admin, "The last")
        with pytest.raises(LimitReached, match=r"^Maximum 200 wizards allowed$") as caught:
            await wizards.create(admin, "One more")
        assert caught.value.limit == 200
        assert len(await stored(unlucky, admin)) == 200

    async def test_a_wizard_gets_another_name(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Trimmed."""
        renamed = await wizards.rename(admin, wizard.id, " Where I go ")
        assert renamed == replace(wizard, name="Where I go")
        assert await stored(unlucky, admin) == [renamed]

    @pytest.mark.parametrize("name", NAMES)
    async def test_a_name_has_bounds(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork, name: str
    ) -> None:
        """Of a wizard; nothing is changed. The longest is taken."""
        for attempt in (wizards.create(admin, name), wizards.rename(admin, wizard.id, name)):
            with pytest.raises(InvalidInput, match=r"^Name must be 1 to 255 characters$") as caught:
                await attempt
            assert [problem.path for problem in caught.value.problems] == [("name",)]
        assert await stored(unlucky, admin) == [wizard]
        assert len((await wizards.rename(admin, wizard.id, "x" * 255)).name) == 255

    async def test_deleting_takes_the_steps_and_leaves_their_backgrounds(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Images have a life of their own; other wizards stay."""
        other = await wizards.create(admin, "Other")
        step, kept_step = [await wizards.add_step(admin, each.id, "A") for each in (wizard, other)]
        image = an_image(admin.user)
        await stored_images(unlucky, image)
        await wizards.set_background(admin, step.id, image.id)
        await wizards.delete(admin, wizard.id)
        assert await stored(unlucky, admin) == [other]
        assert await steps(unlucky, other) == [kept_step]
        async with unlucky(read_only=True) as work:
            assert await work.images.get(admin.scope, image.id) == image
            assert await work.wizards.steps_of([wizard.id]) == []


class TestOrder:
    """Steps count from 0 without gaps, whatever is done."""

    async def test_a_new_step_is_the_last(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Under a trimmed title, without a background."""
        made = [await wizards.add_step(admin, wizard.id, title) for title in (" A ", "B", "C")]
        assert made[0] == Step(made[0].id, wizard.community_id, wizard.id, "A", 0, None)
        assert await steps(unlucky, wizard) == made

    @pytest.mark.parametrize(("order", "after"), [(0, "NABC"), (1, "ANBC"), (3, "ABCN"), (None, "ABCN")])
    async def test_a_step_is_put_in_at_its_place(
        self,
        wizards: Wizards,
        wizard: Wizard,
        admin: Viewer,
        unlucky: UnluckyUnitOfWork,
        order: int | None,
        after: str,
    ) -> None:
        """The later ones move up."""
        for title in "ABC":
            await wizards.add_step(admin, wizard.id, title)
        new = await wizards.add_step(admin, wizard.id, "N", order)
        assert await titles(unlucky, wizard) == after
        assert new == (await steps(unlucky, wizard))[new.order]

    @pytest.mark.parametrize(
        ("title", "order", "after"), [("A", 2, "BCAD"), ("D", 0, "DABC"), ("B", 1, "ABCD"), ("A", 3, "BCDA")]
    )
    async def test_a_step_moves_to_another_place(
        self,
        wizards: Wizards,
        wizard: Wizard,
        admin: Viewer,
        unlucky: UnluckyUnitOfWork,
        title: str,
        order: int,
        after: str,
    ) -> None:
        """The others close up; its place is told."""
        made = {each: await wizards.add_step(admin, wizard.id, each) for each in "ABCD"}
        moved = await wizards.update_step(admin, made[title].id, order=order)
        assert await titles(unlucky, wizard) == after
        assert moved == (await steps(unlucky, wizard))[order]

    @pytest.mark.parametrize("order", [-1, 4])
    async def test_a_place_that_there_is_not_is_refused(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork, order: int
    ) -> None:
        """Nothing is added and nothing moves."""
        made = [await wizards.add_step(admin, wizard.id, title) for title in "ABC"]
        with pytest.raises(InvalidInput, match=r"^Order must be between 0 and 3$") as caught:
            await wizards.add_step(admin, wizard.id, "N", order)
        assert [problem.path for problem in caught.value.problems] == [("order",)]
        with pytest.raises(InvalidInput, match=r"^Order must be between 0 and 2$"):
            await wizards.update_step(admin, made[0].id, title="N", order=order)
        assert await titles(unlucky, wizard) == "ABC"

    async def test_the_later_ones_close_up_when_a_step_goes(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """To the last one."""
        made = {title: await wizards.add_step(admin, wizard.id, title) for title in "ABC"}
        for title, after in (("B", "AC"), ("A", "C"), ("C", "")):
            await wizards.delete_step(admin, made[title].id)
            assert await titles(unlucky, wizard) == after

    async def test_there_is_a_most(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """One more is refused; the last one can still move."""
        async with unlucky() as work:
            for order in range(MAX_STEPS - 1):
                await work.wizards.add_step(a_step(wizard, order))
            await work.commit()
        last = await wizards.add_step(admin, wizard.id, "The last")
        with pytest.raises(LimitReached, match=r"^Maximum 100 steps allowed$") as caught:
            await wizards.add_step(admin, wizard.id, "One more")
        assert caught.value.limit == 100
        await wizards.update_step(admin, last.id, order=0)
        assert (await steps(unlucky, wizard))[0].id == last.id

    async def test_changes_at_once_leave_an_order(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Each waits for the one before."""
        made = [await wizards.add_step(admin, wizard.id, title) for title in "ABCD"]
        await asyncio.gather(
            wizards.update_step(admin, made[0].id, order=3),
            wizards.delete_step(admin, made[1].id),
            wizards.add_step(admin, wizard.id, "N", 0),
            wizards.update_step(admin, made[3].id, order=0),
        )
        assert sorted(await titles(unlucky, wizard)) == sorted("NACD")


class TestTitles:
    """What a step is called."""

    async def test_a_step_gets_another_title_and_keeps_the_rest(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Its place and its background; moving keeps the title."""
        await wizards.add_step(admin, wizard.id, "A")
        step = await wizards.add_step(admin, wizard.id, "B")
        image = an_image(admin.user)
        await stored_images(unlucky, image)
        shown = await wizards.set_background(admin, step.id, image.id)
        renamed = await wizards.update_step(admin, step.id, title=" C ")
        assert renamed == replace(shown, title="C")
        moved = await wizards.update_step(admin, step.id, order=0)
        assert moved == replace(renamed, order=0)
        assert (await steps(unlucky, wizard))[0] == moved

    @pytest.mark.parametrize("title", NAMES)
    async def test_a_title_has_bounds(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork, title: str
    ) -> None:
        """Nothing is changed, also not the order that came with it."""
        step = await wizards.add_step(admin, wizard.id, "A")
        await wizards.add_step(admin, wizard.id, "B")
        for attempt in (
            wizards.add_step(admin, wizard.id, title),
            wizards.update_step(admin, step.id, title=title, order=1),
        ):
            with pytest.raises(InvalidInput, match=r"^Title must be 1 to 255 characters$") as caught:
                await attempt
            assert [problem.path for problem in caught.value.problems] == [("title",)]
        assert await titles(unlucky, wizard) == "AB"


class TestBackgrounds:
    """What stands behind a step is for everybody to see."""

    async def test_an_own_image_or_a_public_one_can_be_the_background(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, viewer: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """And be taken away again."""
        step = await wizards.add_step(admin, wizard.id, "A")
        for image in (an_image(admin.user), an_image(viewer.user, is_public=True)):
            await stored_images(unlucky, image)
            shown = await wizards.set_background(admin, step.id, image.id)
            assert shown == replace(step, background_id=image.id)
            assert await steps(unlucky, wizard) == [shown]
        assert (await wizards.set_background(admin, step.id, None)).background_id is None
        assert await steps(unlucky, wizard) == [step]

    async def test_what_its_owner_does_not_share_is_not_shown(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, viewer: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Though an admin sees it."""
        step = await wizards.add_step(admin, wizard.id, "A")
        theirs = an_image(viewer.user)
        await stored_images(unlucky, theirs)
        with pytest.raises(InvalidInput, match=r"^A background is an image of your own, or one that is public$") as no:
            await wizards.set_background(admin, step.id, theirs.id)
        assert [problem.path for problem in no.value.problems] == [("imageId",)]
        assert await steps(unlucky, wizard) == [step]

    async def test_another_communitys_image_is_not_found(
        self, wizards: Wizards, wizard: Wizard, admin: Viewer, stranger: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Though it is public there."""
        step = await wizards.add_step(admin, wizard.id, "A")
        theirs = an_image(stranger.user, is_public=True)
        await stored_images(unlucky, theirs)
        for id in (theirs.id, uuid4()):
            with pytest.raises(NotFound, match=r"^Image not found$"):
                await wizards.set_background(admin, step.id, id)
        assert await steps(unlucky, wizard) == [step]


async def test_members_change_nothing(
    wizards: Wizards, wizard: Wizard, admin: Viewer, viewer: Viewer, unlucky: UnluckyUnitOfWork
) -> None:
    """They are told why: wizards are everybody's to see."""
    step = await wizards.add_step(admin, wizard.id, "A")
    for attempt in (
        wizards.create(viewer, "Mine"),
        wizards.rename(viewer, wizard.id, "Mine"),
        wizards.delete(viewer, wizard.id),
        wizards.add_step(viewer, wizard.id, "Mine"),
        wizards.update_step(viewer, step.id, title="Mine"),
        wizards.delete_step(viewer, step.id),
        wizards.set_background(viewer, step.id, None),
    ):
        with pytest.raises(Forbidden, match=r"^Only an admin of the community may change wizards$"):
            await attempt
    assert await stored(unlucky, admin) == [wizard]
    assert await steps(unlucky, wizard) == [step]


async def test_another_communitys_wizard_is_not_found(
    wizards: Wizards, wizard: Wizard, admin: Viewer, stranger: Viewer, unlucky: UnluckyUnitOfWork
) -> None:
    """Nor are its steps; nothing of them is changed."""
    step = await wizards.add_step(admin, wizard.id, "A")
    for attempt in (
        wizards.rename(stranger, wizard.id, "Mine"),
        wizards.delete(stranger, wizard.id),
        wizards.add_step(stranger, wizard.id, "Mine"),
    ):
        with pytest.raises(NotFound, match=r"^Wizard not found$"):
            await attempt
    for attempt in (
        wizards.update_step(stranger, step.id, title="Mine"),
        wizards.delete_step(stranger, step.id),
        wizards.set_background(stranger, step.id, None),
    ):
        with pytest.raises(NotFound, match=r"^Step not found$"):
            await attempt
    assert await stored(unlucky, admin) == [wizard]
    assert await steps(unlucky, wizard) == [step]


async def test_a_step_that_is_deleted_while_its_wizard_was_waited_for_is_gone(
    wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
) -> None:
    """It is looked up again when it is one's turn: nothing is arranged by what was before."""
    step = await wizards.add_step(admin, wizard.id, "A")
    await wizards.delete_step(admin, step.id)
    unlucky.mishaps["wizards.get_step"] = [step]
    with pytest.raises(NotFound, match=r"^Step not found$"):
        await wizards.update_step(admin, step.id, order=0)


async def test_another_admin_changes_them_too(
    wizards: Wizards, wizard: Wizard, admin: Viewer, unlucky: UnluckyUnitOfWork
) -> None:
    """They are the community's."""
    async with unlucky(read_only=True) as work:
        community = await work.users.community(admin.user.community_id)
    other = await stored_viewer(unlucky, community, role=Role.ADMIN, name="Mary")
    assert (await wizards.rename(other, wizard.id, "Ours")).name == "Ours"
