"""The contract of the prompts' repository."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.errors import NotFound
from domain.prompts import ContextKey, Prompt, PromptType, VersionTaken
from domain.repositories import UnitOfWorkFactory
from tests.rows import a_prompt, stored_community, stored_viewer

IMAGE_GENERATION, COACH = PromptType.IMAGE_GENERATION, PromptType.COACH


async def add(unit_of_work: UnitOfWorkFactory, *prompts: Prompt) -> None:
    """Store versions together."""
    async with unit_of_work() as work:
        for prompt in prompts:
            await work.prompts.add(prompt)
        await work.commit()


async def test_a_version_comes_back_as_stored(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field; in another community there is no such version."""
    viewer = await stored_viewer(unit_of_work)
    community = viewer.user.community_id
    keys = (ContextKey.USER_NAME, ContextKey.IDENTITY_CONTEXT)
    prompt = a_prompt(community, 3, type=COACH, required_context_keys=keys, author_id=viewer.id)
    await add(unit_of_work, prompt)
    async with unit_of_work(read_only=True) as work:
        assert await work.prompts.get(community, prompt.id) == prompt
        assert await work.prompts.by_ids(community, [prompt.id, uuid4()]) == [prompt]
        assert await work.prompts.by_ids(uuid4(), [prompt.id]) == []
        with pytest.raises(NotFound):
            await work.prompts.get(uuid4(), prompt.id)


async def test_the_built_in_version_is_everybodys(unit_of_work: UnitOfWorkFactory) -> None:
    """It is found, listed and counted in every community, and used until the community's own is higher and active."""
    community = (await stored_community(unit_of_work)).id
    async with unit_of_work(read_only=True) as work:
        built_in = await work.prompts.active(community, IMAGE_GENERATION)
        assert built_in.community_id is None
        assert await work.prompts.get(community, built_in.id) == built_in
        assert await work.prompts.latest_version(community, IMAGE_GENERATION) == 1
        assert await work.prompts.latest_version(None, IMAGE_GENERATION) == 1
        assert await work.prompts.latest_version(community, COACH) == 0
        with pytest.raises(NotFound):
            await work.prompts.active(community, COACH)
    second, third = a_prompt(community, 2), a_prompt(community, 3, is_active=False)
    coach = a_prompt(community, 1, type=COACH)
    await add(unit_of_work, second, third, coach)
    async with unit_of_work() as work:
        assert await work.prompts.active(community, IMAGE_GENERATION) == second
        assert await work.prompts.latest_version(community, IMAGE_GENERATION) == 3
        assert await work.prompts.latest_version(None, IMAGE_GENERATION) == 1
        assert await work.prompts.list(community, None) == [coach, third, second, built_in]
        assert await work.prompts.list(community, IMAGE_GENERATION) == [third, second, built_in]
        assert await work.prompts.list(uuid4(), None) == [built_in]
        await work.prompts.set_active(third.id, is_active=True)
        await work.prompts.set_active(second.id, is_active=False)
        assert await work.prompts.active(community, IMAGE_GENERATION) == replace(third, is_active=True)


async def test_a_community_s_own_version_goes_before_a_built_in_one_of_its_number(
    unit_of_work: UnitOfWorkFactory,
) -> None:
    """A later release may bring a built-in version whose number a community has used."""
    community = (await stored_community(unit_of_work)).id
    own, built_in = a_prompt(community, 2), a_prompt(None, 2)
    await add(unit_of_work, own, built_in)
    async with unit_of_work(read_only=True) as work:
        assert await work.prompts.active(community, IMAGE_GENERATION) == own
        assert (await work.prompts.list(community, IMAGE_GENERATION))[:2] == [own, built_in]


async def test_a_number_is_taken_once(unit_of_work: UnitOfWorkFactory) -> None:
    """Per community and type, and once among the built-in ones."""
    community = (await stored_community(unit_of_work)).id
    other = (await stored_community(unit_of_work)).id
    await add(unit_of_work, a_prompt(community, 2), a_prompt(other, 2), a_prompt(community, 2, type=COACH))
    for again in (a_prompt(community, 2), a_prompt(None, 1)):
        with pytest.raises(VersionTaken):
            await add(unit_of_work, again)
    async with unit_of_work(read_only=True) as work:
        assert len(await work.prompts.list(community, None)) == 3


async def test_versions_saved_at_once_get_numbers_of_their_own(unit_of_work: UnitOfWorkFactory) -> None:
    """Who loses the race for a number is told so, and gets the next one by trying again."""
    community = (await stored_community(unit_of_work)).id

    async def save() -> int:
        while True:
            async with unit_of_work() as work:
                version = await work.prompts.latest_version(community, IMAGE_GENERATION) + 1
                await asyncio.sleep(0.005)
                try:
                    await work.prompts.add(a_prompt(community, version))
                    await work.commit()
                except VersionTaken:
                    continue
                return version

    assert sorted(await asyncio.gather(*(save() for _ in range(5)))) == [2, 3, 4, 5, 6]
