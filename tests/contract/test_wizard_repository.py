"""The contract of the wizards' repository: wizards, their steps, and the order of those."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from domain.errors import NotFound
from domain.repositories import UnitOfWorkFactory
from domain.users import Role, Viewer
from domain.wizards import Step, Wizard, Wizards
from tests.fakes.clock import FakeClock
from tests.rows import a_generation, a_step, a_wizard, after, an_image, stored_viewer


async def stored_wizard(unit_of_work: UnitOfWorkFactory, viewer: Viewer, steps: int = 0) -> tuple[Wizard, list[Step]]:
    """A wizard of the viewer's community, with steps that are called by their numbers."""
    wizard = a_wizard(viewer.user.community_id)
    made = [a_step(wizard, order, title=str(order)) for order in range(steps)]
    async with unit_of_work() as work:
        await work.wizards.add(wizard)
        for step in made:
            await work.wizards.add_step(step)
        await work.commit()
    return wizard, made


async def titles(unit_of_work: UnitOfWorkFactory, wizard: Wizard) -> list[str]:
    """The steps' titles in order; their numbers have no gaps."""
    async with unit_of_work(read_only=True) as work:
        steps = await work.wizards.steps_of([wizard.id])
    assert [step.order for step in steps] == list(range(len(steps)))
    return [step.title for step in steps]


async def test_a_wizard_comes_back_as_stored_and_as_renamed(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field; lists begin with the oldest; the other wizard keeps its name."""
    viewer = await stored_viewer(unit_of_work)
    younger, older = (a_wizard(viewer.user.community_id, created_at=after(second)) for second in (1, 0))
    renamed = replace(older, name="Who I was")
    async with unit_of_work() as work:
        await work.wizards.add(younger)
        await work.wizards.add(older)
        assert await work.wizards.get(older.community_id, older.id, for_update=True) == older
        await work.wizards.update(renamed)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.wizards.list(viewer.user.community_id) == [renamed, younger]


async def test_a_step_comes_back_as_stored_and_as_changed(unit_of_work: UnitOfWorkFactory) -> None:
    """The title by itself, the background by itself; the place stays, and so does the other step."""
    viewer = await stored_viewer(unit_of_work)
    wizard, (first, second) = await stored_wizard(unit_of_work, viewer, steps=2)
    image, other = an_image(viewer.user), an_image(viewer.user)
    changed = replace(second, title="The end")
    async with unit_of_work() as work:
        for each in (image, other):
            await work.images.add(each)
        await work.wizards.update_step(replace(changed, order=7, background_id=image.id))
        await work.commit()
    async with unit_of_work() as work:
        assert await work.wizards.steps_of([wizard.id, uuid4()]) == [first, changed]
        await work.wizards.set_background(first.id, other.id)
        await work.wizards.set_background(uuid4(), other.id)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.wizards.steps_of([wizard.id]) == [replace(first, background_id=other.id), changed]


async def test_steps_of_several_wizards_are_in_the_order_of_each(unit_of_work: UnitOfWorkFactory) -> None:
    """As loaders ask for them."""
    viewer = await stored_viewer(unit_of_work)
    wizards = [await stored_wizard(unit_of_work, viewer, steps) for steps in (3, 2)]
    async with unit_of_work(read_only=True) as work:
        found = await work.wizards.steps_of([wizard.id for wizard, _ in wizards])
    for wizard, steps in wizards:
        assert [step for step in found if step.wizard_id == wizard.id] == steps


async def test_other_communities_wizards_are_not_found(unit_of_work: UnitOfWorkFactory) -> None:
    """Neither wizards nor steps, whatever way they are asked for; nor what never was."""
    viewer, stranger = await stored_viewer(unit_of_work), await stored_viewer(unit_of_work, role=Role.ADMIN)
    wizard, (step,) = await stored_wizard(unit_of_work, viewer, steps=1)
    ours, theirs = viewer.user.community_id, stranger.user.community_id
    async with unit_of_work(read_only=True) as work:
        assert await work.wizards.by_ids(ours, [wizard.id, uuid4()]) == [wizard]
        assert await work.wizards.steps_by_ids(ours, [step.id, uuid4()]) == [step]
        assert await work.wizards.get_step(ours, step.id) == step
        assert await work.wizards.by_ids(theirs, [wizard.id]) == []
        assert await work.wizards.steps_by_ids(theirs, [step.id]) == []
        assert await work.wizards.list(theirs) == []
        for community_id, id in ((theirs, wizard.id), (ours, uuid4())):
            with pytest.raises(NotFound, match="Wizard not found"):
                await work.wizards.get(community_id, id)
        for community_id, id in ((theirs, step.id), (ours, uuid4())):
            with pytest.raises(NotFound, match="Step not found"):
                await work.wizards.get_step(community_id, id)


async def test_a_wizard_goes_with_its_steps(unit_of_work: UnitOfWorkFactory) -> None:
    """What is made for one of them stays, without it; so does the background, and the other wizard."""
    viewer = await stored_viewer(unit_of_work)
    wizard, (step,) = await stored_wizard(unit_of_work, viewer, steps=1)
    other, _ = await stored_wizard(unit_of_work, viewer, steps=1)
    image = an_image(viewer.user)
    generation = a_generation(viewer.user, step_id=step.id)
    async with unit_of_work() as work:
        await work.images.add(image)
        await work.generations.add(generation)
        await work.wizards.set_background(step.id, image.id)
        await work.wizards.delete(wizard.id)
        await work.commit()
    assert await titles(unit_of_work, other) == ["0"]
    async with unit_of_work(read_only=True) as work:
        assert await work.wizards.list(viewer.user.community_id) == [other]
        assert await work.wizards.steps_of([wizard.id]) == []
        assert await work.generations.load(generation.id) == replace(generation, step_id=None)
        assert await work.images.by_ids(viewer.user.community_id, [image.id]) == [image]


async def test_arranging_numbers_the_steps_anew(unit_of_work: UnitOfWorkFactory) -> None:
    """In the order given, after a step went, and down to the last one; other wizards stay as they are."""
    viewer = await stored_viewer(unit_of_work)
    wizard, steps = await stored_wizard(unit_of_work, viewer, steps=4)
    other, _ = await stored_wizard(unit_of_work, viewer, steps=2)
    for order in ([3, 1, 0, 2], [0, 1, 2, 3], [1, 2, 3, 0]):
        async with unit_of_work() as work:
            await work.wizards.arrange(wizard.id, [steps[number].id for number in order])
            await work.commit()
        assert await titles(unit_of_work, wizard) == [str(number) for number in order]
    async with unit_of_work() as work:
        await work.wizards.delete_step(steps[2].id)
        await work.wizards.arrange(wizard.id, [steps[number].id for number in (0, 1, 3)])
        await work.commit()
    assert await titles(unit_of_work, wizard) == ["0", "1", "3"]
    async with unit_of_work() as work:
        for number in (0, 1, 3):
            await work.wizards.delete_step(steps[number].id)
        await work.wizards.arrange(wizard.id, [])
        await work.commit()
    assert await titles(unit_of_work, wizard) == []
    assert await titles(unit_of_work, other) == ["0", "1"]


async def test_no_two_steps_are_at_one_place(unit_of_work: UnitOfWorkFactory) -> None:
    """The database refuses it within a wizard, also for a moment; and places below 0."""
    viewer = await stored_viewer(unit_of_work)
    wizard, _ = await stored_wizard(unit_of_work, viewer, steps=1)
    for order in (0, -1):
        async with unit_of_work() as work:
            with pytest.raises(IntegrityError):
                await work.wizards.add_step(a_step(wizard, order))


async def test_a_background_is_held_by_its_step(unit_of_work: UnitOfWorkFactory) -> None:
    """The image can't be removed from behind it."""
    viewer = await stored_viewer(unit_of_work)
    _, (step,) = await stored_wizard(unit_of_work, viewer, steps=1)
    image = an_image(viewer.user)
    async with unit_of_work() as work:
        await work.images.add(image)
        await work.wizards.set_background(step.id, image.id)
        await work.commit()
    async with unit_of_work() as work:
        with pytest.raises(IntegrityError):
            await work.images.delete(image.id)


async def test_steps_keep_their_order_when_many_are_changed_at_once(unit_of_work: UnitOfWorkFactory) -> None:
    """Adding, moving and removing in the same moment: each is done, and whoever looks never sees a gap or a pair."""
    viewer = await stored_viewer(unit_of_work, role=Role.ADMIN)
    wizard, steps = await stored_wizard(unit_of_work, viewer, steps=8)
    wizards = Wizards(unit_of_work, FakeClock())
    changes = [
        *(wizards.add_step(viewer, wizard.id, f"new {number}", order=number) for number in range(6)),
        *(wizards.update_step(viewer, step.id, order=0) for step in steps[4:]),
        *(wizards.delete_step(viewer, step.id) for step in steps[:3]),
    ]
    is_changing = True

    async def look() -> int:
        looks = 0
        while is_changing:
            await titles(unit_of_work, wizard)
            looks += 1
        return looks

    looking = asyncio.create_task(look())
    await asyncio.gather(*changes)
    is_changing = False
    assert await looking > 1
    expected = {"3", *(step.title for step in steps[4:]), *(f"new {number}" for number in range(6))}
    found = await titles(unit_of_work, wizard)
    assert set(found) == expected
    assert len(found) == len(expected)
