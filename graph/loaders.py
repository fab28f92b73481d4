"""Children by the batch: what many fields ask for one by one is fetched by one query.

Nothing is kept from batch to batch. A mutation or an event that comes later in the same operation sees what is true
then, and a socket's context may live for hours.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from domain.connection_profiles import ConnectionProfile
from domain.generations import Attempt, Generation
from domain.identities import Identity
from domain.images import Acceptance, Image, ImageUses
from domain.prompts import Prompt
from domain.quotas import Measure, Plan, Quota, Quotas
from domain.reference_images import ReferenceImage
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.users import Community, User, Viewer
from domain.wizards import Step, Wizard


class _Identified(Protocol):
    @property
    def id(self) -> UUID: ...


_Row = TypeVar("_Row")
_Value = TypeVar("_Value")
_Node = TypeVar("_Node", bound=_Identified)
_Found = TypeVar("_Found")
_Fetch = Callable[[UnitOfWork, Sequence[UUID]], Awaitable[_Found]]


class Loaders:
    """What one viewer may see, by id and by parent. A missing or unreachable id gives None."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, quotas: Quotas, viewer: Viewer) -> None:
        self._unit_of_work = unit_of_work
        self._quotas = quotas
        self._viewer = viewer
        self._community_id = viewer.user.community_id

    @cached_property
    def communities(self) -> DataLoader[UUID, Community | None]:
        """The viewer's own community."""
        return self._by_id(
            lambda work, ids: work.users.communities([wanted for wanted in ids if wanted == self._community_id])
        )

    @cached_property
    def users(self) -> DataLoader[UUID, User | None]:
        """Anybody of the community: whom an object the viewer may see refers to."""
        return self._by_id(lambda work, ids: work.users.by_ids(self._community_id, ids))

    @cached_property
    def reachable_users(self) -> DataLoader[UUID, User | None]:
        """The viewer; for an admin, everybody of the community."""
        return self._by_id(
            lambda work, ids: work.users.by_ids(
                self._community_id, [wanted for wanted in ids if self._viewer.reaches(wanted)]
            )
        )

    @cached_property
    def reference_images(self) -> DataLoader[UUID, ReferenceImage | None]:
        """Slots in reach."""
        return self._by_id(lambda work, ids: work.reference_images.by_ids(self._viewer.scope, ids))

    @cached_property
    def reference_images_of(self) -> DataLoader[UUID, list[ReferenceImage]]:
        """Each user's slots, by order."""
        return self._by_parent(lambda work, ids: work.reference_images.of_users(ids), lambda row: row.user_id)

    @cached_property
    def identities(self) -> DataLoader[UUID, Identity | None]:
        """Identities in reach."""
        return self._by_id(lambda work, ids: work.identities.by_ids(self._viewer.scope, ids))

    @cached_property
    def identities_of(self) -> DataLoader[UUID, list[Identity]]:
        """Each user's identities, the oldest first."""
        return self._by_parent(lambda work, ids: work.identities.of_users(ids), lambda row: row.user_id)

    @cached_property
    def prompts(self) -> DataLoader[UUID, Prompt | None]:
        """Prompt versions of the community, and the built-in ones."""
        return self._by_id(lambda work, ids: work.prompts.by_ids(self._community_id, ids))

    @cached_property
    def acceptance_of(self) -> DataLoader[UUID, Acceptance]:
        """What became of the images in reach that were made with each prompt version."""
        return self._by_key(lambda work, ids: work.images.acceptance(self._viewer.scope, ids), Acceptance())

    @cached_property
    def plans(self) -> DataLoader[UUID, Plan | None]:
        """Plans that the community may be put on."""
        return self._by_id(lambda work, ids: work.plans.by_ids(self._community_id, ids))

    @cached_property
    def quotas(self) -> DataLoader[Measure, Quota]:
        """How the quotas of the viewer's community and of its users stand."""

        async def load(measures: list[Measure]) -> list[Quota]:
            found = await self._quotas.standing(self._community_id, list(dict.fromkeys(measures)))
            return [found[measure] for measure in measures]

        return DataLoader(load, cache=False)

    @cached_property
    def wizards(self) -> DataLoader[UUID, Wizard | None]:
        """Wizards of the community."""
        return self._by_id(lambda work, ids: work.wizards.by_ids(self._community_id, ids))

    @cached_property
    def steps(self) -> DataLoader[UUID, Step | None]:
        """Steps of the community's wizards."""
        return self._by_id(lambda work, ids: work.wizards.steps_by_ids(self._community_id, ids))

    @cached_property
    def steps_of(self) -> DataLoader[UUID, list[Step]]:
        """Each wizard's steps, by order."""
        return self._by_parent(lambda work, ids: work.wizards.steps_of(ids), lambda row: row.wizard_id)

    @cached_property
    def images(self) -> DataLoader[UUID, Image | None]:
        """Images that an object the viewer may see refers to."""
        return self._by_id(lambda work, ids: work.images.by_ids(self._community_id, ids))

    @cached_property
    def visible_images(self) -> DataLoader[UUID, Image | None]:
        """Images in reach, or public in the community."""
        return self._by_id(lambda work, ids: work.images.visible_by_ids(self._viewer.scope, ids))

    @cached_property
    def images_of(self) -> DataLoader[UUID, list[Image]]:
        """What each generation made, by index."""
        return self._by_parent(lambda work, ids: work.images.of_generations(ids), lambda row: row.generation_id)

    @cached_property
    def uses_of(self) -> DataLoader[UUID, ImageUses]:
        """What shows each image, of all users."""
        return self._by_key(lambda work, ids: work.images.uses_of(ids), ImageUses())

    @cached_property
    def generations(self) -> DataLoader[UUID, Generation | None]:
        """Generations in reach."""
        return self._by_id(lambda work, ids: work.generations.by_ids(self._viewer.scope, ids))

    @cached_property
    def connection_profiles(self) -> DataLoader[UUID, ConnectionProfile | None]:
        """The viewer's own profiles: those of others are out of reach for admins too."""
        return self._by_id(lambda work, ids: work.connection_profiles.of_user_by_ids(self._viewer.id, ids))

    @cached_property
    def attempts_of(self) -> DataLoader[UUID, list[Attempt]]:
        """Every call made for each generation, by index and number."""
        return self._by_parent(lambda work, ids: work.generations.attempts_of(ids), lambda row: row.generation_id)

    def _by_id(self, fetch: _Fetch[Sequence[_Node]]) -> DataLoader[UUID, _Node | None]:
        async def load(ids: list[UUID]) -> list[_Node | None]:
            found = {row.id: row for row in await self._fetched(fetch, ids)}
            return [found.get(wanted) for wanted in ids]

        return DataLoader(load, cache=False)

    def _by_parent(
        self, fetch: _Fetch[Sequence[_Row]], parent_of: Callable[[_Row], UUID | None]
    ) -> DataLoader[UUID, list[_Row]]:
        async def load(ids: list[UUID]) -> list[list[_Row]]:
            children = defaultdict(list)
            for row in await self._fetched(fetch, ids):
                children[parent_of(row)].append(row)
            return [children[parent] for parent in ids]

        return DataLoader(load, cache=False)

    def _by_key(self, fetch: _Fetch[Mapping[UUID, _Value]], missing: _Value) -> DataLoader[UUID, _Value]:
        async def load(ids: list[UUID]) -> list[_Value]:
            found = await self._fetched(fetch, ids)
            return [found.get(wanted, missing) for wanted in ids]

        return DataLoader(load, cache=False)

    async def _fetched(self, fetch: _Fetch[_Found], ids: list[UUID]) -> _Found:
        async with self._unit_of_work(read_only=True) as work:
            return await fetch(work, list(dict.fromkeys(ids)))
