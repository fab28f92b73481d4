"""The questions the rules ask of the database, and the unit of work in which they are asked.

Every `get` raises NotFound for what is missing or out of the scope's reach. Lists of loaders come unordered unless
said otherwise. Nothing is kept unless `commit` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from uuid import UUID

    from domain.connection_profiles import ConnectionProfile
    from domain.costs import Cost
    from domain.failures import GenerationFailure
    from domain.generations import (
        Attempt,
        EventDraft,
        Generation,
        GenerationEvent,
        PinnedReference,
        RunningGeneration,
    )
    from domain.identities import Identity
    from domain.images import Acceptance, Image, ImageList, ImageUses
    from domain.pages import Page, PageRequest
    from domain.pictures import Picture
    from domain.prompts import Prompt, PromptType
    from domain.providers import ProviderKind
    from domain.quotas import Account, Allowance, Counter, Feature, Plan, QuotaUnit, UsageEvent
    from domain.reference_images import ReferenceImage
    from domain.users import Community, Role, Scope, User, Viewer
    from domain.wizards import Step, Wizard


class UserRepository(Protocol):
    """Communities and users."""

    async def add_community(self, community: Community) -> None:
        """Store a new community."""

    async def add(self, user: User, password_hash: str | None) -> None:
        """Store a new user; without a hash they can't sign in by password.

        Raises Conflict when the community, or anybody who signs in by password, has the e-mail address already.
        """

    async def get(self, id: UUID) -> User:
        """A user of any community: for tokens, never for what a caller names."""

    async def acted_for(self, viewer: Viewer, user_id: UUID | None) -> User:
        """The viewer, or the user of the community whom an admin names; for a member anyone else is not found."""

    async def by_external_id(self, community_id: UUID, subject: str) -> User | None:
        """The user whom an external issuer calls `subject` in this community."""

    async def add_external(self, user: User, subject: str) -> None:
        """Store a first-seen user of an external issuer. Raises Conflict when another request was faster."""

    async def credentials(self, email: str) -> tuple[User, str] | None:
        """The user with this e-mail, and their password hash, when they have one."""

    async def of_email(self, email: str) -> User | None:
        """The user with this e-mail."""

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[User]:
        """Those of the users that belong to the community."""

    async def test_users(self, community_id: UUID) -> Sequence[User]:
        """The community's test users, by name."""

    async def set_role(self, id: UUID, role: Role) -> None:
        """Give the user another role."""

    async def community(self, id: UUID, *, for_update: bool = False) -> Community:
        """One community, locked against others until the unit of work ends when asked for."""

    async def update_community(self, community: Community) -> None:
        """Store a community's new values."""

    async def communities(self, ids: Sequence[UUID]) -> Sequence[Community]:
        """The communities asked for."""

    async def community_ids(self) -> Sequence[UUID]:
        """Every community: for sweeps alone."""

    async def community_named(self, name: str) -> Community | None:
        """The community with this name."""

    async def count(self) -> int:
        """How many users there are."""

    async def revoke_tokens(self, id: UUID, before: datetime) -> None:
        """From now on tokens of the user issued before that moment are dead."""

    async def tokens_valid_after(self, ids: Sequence[UUID]) -> dict[UUID, datetime]:
        """Since when each user's tokens are valid; users that are gone are left out."""


class ReferenceImageRepository(Protocol):
    """Slots of reference images."""

    async def taken_orders(self, user_id: UUID) -> set[int]:
        """The slots that are in use."""

    async def add(self, reference_image: ReferenceImage) -> None:
        """Store a new slot. Raises SlotTaken when (user, order) is there already."""

    async def get(self, scope: Scope, id: UUID, *, for_update: bool = False) -> ReferenceImage:
        """One slot, locked against others until the unit of work ends when asked for."""

    async def update(self, reference_image: ReferenceImage) -> None:
        """Store a slot's new values. Raises SlotTaken."""

    async def delete(self, id: UUID) -> None:
        """Remove a slot."""

    async def by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[ReferenceImage]:
        """Those of the slots that the scope reaches."""

    async def of_users(self, user_ids: Sequence[UUID]) -> Sequence[ReferenceImage]:
        """Every slot of the users, by order."""


class IdentityRepository(Protocol):
    """Identities."""

    async def add(self, identity: Identity) -> None:
        """Store a new identity."""

    async def get(self, scope: Scope, id: UUID, *, for_update: bool = False) -> Identity:
        """One identity, locked against others until the unit of work ends when asked for."""

    async def update(self, identity: Identity) -> None:
        """Store an identity's new values."""

    async def set_image(self, id: UUID, image_id: UUID, at: datetime) -> None:
        """Make an image the portrait; does nothing when the identity is gone."""

    async def delete(self, id: UUID) -> None:
        """Remove an identity; its generations stay, without it."""

    async def by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[Identity]:
        """Those of the identities that the scope reaches."""

    async def of_users(self, user_ids: Sequence[UUID]) -> Sequence[Identity]:
        """Every identity of the users, the oldest first."""


class PromptRepository(Protocol):
    """Versions of templates: a community's own, and the built-in ones."""

    async def add(self, prompt: Prompt) -> None:
        """Store a new version. Raises VersionTaken when (community, type, version) is there already."""

    async def get(self, community_id: UUID, id: UUID) -> Prompt:
        """One version."""

    async def latest_version(self, community_id: UUID | None, type: PromptType) -> int:
        """The highest version there is, built-in ones included; 0 when there is none."""

    async def active(self, community_id: UUID, type: PromptType) -> Prompt:
        """The highest active version."""

    async def set_active(self, id: UUID, is_active: bool) -> None:
        """Use a version, or stop using it."""

    async def list(self, community_id: UUID, type: PromptType | None) -> Sequence[Prompt]:
        """All versions, by type and then the newest first."""

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Prompt]:
        """Those of the versions that the community has."""


class ImageRepository(Protocol):
    """Images of the library."""

    async def add(self, image: Image) -> bool:
        """Store a new image. Returns False, and stores nothing, when its generation's picture is there already."""

    async def get(self, scope: Scope, id: UUID, *, for_update: bool = False) -> Image:
        """One image in reach of the scope, locked against others until the unit of work ends when asked for."""

    async def get_visible(self, scope: Scope, id: UUID, *, for_update: bool = False, for_use: bool = False) -> Image:
        """One image in reach of the scope, or public in its community.

        `for_use` keeps it as it is until the unit of work ends, so that what is about to show it may.
        """

    async def update(self, image: Image) -> None:
        """Store an image's new tags and whether it is public; nothing else of it ever changes."""

    async def delete(self, id: UUID) -> None:
        """Remove an image that nothing uses."""

    async def uses_of(self, ids: Sequence[UUID]) -> dict[UUID, ImageUses]:
        """What shows each image, of all users, in the order of their making; images without uses are left out."""

    async def end_uses(self, id: UUID, but_of: UUID | None, at: datetime) -> None:
        """Take the image from every step, and from every identity but those of the user `but_of`."""

    async def visible_by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[Image]:
        """Those of the images in reach of the scope, or public in its community."""

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Image]:
        """Images that an object the viewer may see refers to."""

    async def of_generations(self, generation_ids: Sequence[UUID], *, for_use: bool = False) -> Sequence[Image]:
        """What the generations made, by index; `for_use` as above."""

    async def page(self, wanted: ImageList, page: PageRequest) -> Page[Image]:
        """One page of a list, the newest first; one statement."""

    async def count(self, wanted: ImageList) -> int:
        """How many images a list has in all."""

    async def acceptance(self, scope: Scope, prompt_ids: Sequence[UUID]) -> dict[UUID, Acceptance]:
        """What became of the images that were made with each version, in reach of the scope."""


class PictureRepository(Protocol):
    """Which objects are in use, by how many rows, and which are to be removed. See `domain/picture_store.py`."""

    async def doom(self, keys: Sequence[str], at: datetime) -> None:
        """Note that the objects are to be removed, unless a picture takes them into use."""

    async def keep(self, owner_id: UUID, picture: Picture) -> Picture:
        """Count one more user of the picture; its objects are no longer doomed.

        When the owner has a picture of the same bytes that one is counted and returned, and this one stays doomed.
        Raises StoreUnavailable when storing took so long that its objects may be gone.
        """

    async def exchange(self, owner_id: UUID, picture: Picture, former: Picture, at: datetime) -> Picture:
        """Keep one picture and release another of the same owner, whoever does so the other way round just then."""

    async def release(self, picture: Picture, at: datetime) -> None:
        """Count one user less; with the last one its objects are doomed."""

    async def doomed(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that are doomed."""

    async def claim(self, doomed_before: datetime, limit: int) -> list[str]:
        """Some keys that were doomed before the moment, which from now on no picture takes into use.

        Those that were claimed before are claimed again until they are forgotten.
        """

    async def forget(self, keys: Sequence[str]) -> None:
        """Note that the objects are gone."""


class GenerationRepository(Protocol):
    """Generations, their events and their attempts."""

    async def add(self, generation: Generation) -> None:
        """Store a new generation. Raises IdempotencyKeyTaken when the requester used the key before.

        Raises Conflict when the identity, the step or the parent image is gone.
        """

    async def of_key(self, requested_by_id: UUID, idempotency_key: str) -> Generation | None:
        """The requester's generation with this idempotency key."""

    async def get(self, scope: Scope, id: UUID) -> Generation:
        """One generation."""

    async def load(self, id: UUID, *, for_update: bool = False) -> Generation | None:
        """One generation of any community: for the work on it, never for what a caller names.

        Locked against others until the unit of work ends when asked for.
        """

    async def by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[Generation]:
        """Those of the generations that the scope reaches."""

    async def page(self, viewer: Viewer, page: PageRequest) -> Page[Generation]:
        """The viewer's generations, the newest first; one statement."""

    async def append(self, id: UUID, at: datetime, draft: EventDraft) -> GenerationEvent | None:
        """Draw the next number and store the event, moving the state with it.

        Returns None, and stores nothing, when the generation has ended or the state would go backwards. Raises
        PictureSettled when the draft is a picture's outcome and another one is there already.
        """

    async def pin_references(self, id: UUID, references: Sequence[PinnedReference]) -> None:
        """Fix which objects the work sends."""

    async def finish(
        self,
        id: UUID,
        at: datetime,
        draft: EventDraft,
        failures: Sequence[GenerationFailure],
        cost: Cost | None,
    ) -> GenerationEvent | None:
        """Store the terminal event with the outcome. Returns None when the generation had ended before."""

    async def events(self, id: UUID, after: int, limit: int) -> Sequence[GenerationEvent]:
        """Events with a number above `after`, in order."""

    async def outcomes(self, id: UUID) -> Sequence[GenerationEvent]:
        """The events that settled a picture: those with an image, and those with a failure of one index."""

    async def last_seqs(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """The number of each generation's newest event."""

    async def add_attempt(self, attempt: Attempt) -> None:
        """Record that a call begins."""

    async def finish_attempt(self, attempt: Attempt) -> None:
        """Record how a call ended, unless that is on record."""

    async def attempts_of(self, generation_ids: Sequence[UUID]) -> Sequence[Attempt]:
        """Every call made for the generations, by index and number."""

    async def typical_seconds(self, provider: ProviderKind, model: str) -> float | None:
        """The mean time of the model's latest successful calls, in seconds."""

    async def typical_cost(self, community_id: UUID, provider: ProviderKind, model: str) -> int | None:
        """The mean cost of a picture in the community's latest generations by the model, in micro-USD."""

    async def running(self, created_before: datetime) -> Sequence[UUID]:
        """Generations of any community that have not ended, made before the moment: for sweeps alone."""

    async def running_of(
        self, owner_ids: Sequence[UUID], begun_after: datetime | None = None
    ) -> Sequence[RunningGeneration]:
        """The owners' generations that have not ended, and those made after the moment: for followers alone."""

    async def ended(self, ids: Sequence[UUID], before: datetime) -> set[UUID]:
        """Those of the ids whose generation ended before the moment, or isn't there: for sweeps alone."""

    async def drop_previews(self, ids: Sequence[UUID]) -> None:
        """Have the generations' events tell of no previews any more, before their objects are removed."""


class ConnectionProfileRepository(Protocol):
    """Connection profiles, always of one user: nobody reaches those of others."""

    async def add(self, profile: ConnectionProfile) -> None:
        """Store a new profile."""

    async def update(self, profile: ConnectionProfile) -> None:
        """Store a profile's new values, but for when it was made and used."""

    async def delete(self, id: UUID) -> None:
        """Remove a profile with its key; generations that it was chosen for remember its id."""

    async def of_user(self, user_id: UUID, *, for_update: bool = False) -> Sequence[ConnectionProfile]:
        """Every profile of the user, the oldest first.

        With `for_update` no other unit of work that asks so too goes on until this one ends.
        """

    async def of_user_by_ids(self, user_id: UUID, ids: Sequence[UUID]) -> Sequence[ConnectionProfile]:
        """Those of the profiles that are the user's."""

    async def end_default(self, user_id: UUID) -> None:
        """From now on none of the user's profiles is the default."""

    async def used(self, id: UUID, at: datetime) -> None:
        """Note when a profile was last used; does nothing when it is gone."""

    async def keys(self, after: UUID | None, limit: int) -> Sequence[ConnectionProfile]:
        """Profiles of everybody that have a key, in the order of their ids: for the rotation of keys alone."""

    async def reseal(self, id: UUID, before: str, sealed_key: str) -> bool:
        """Replace a sealed key, unless it has been changed since. Returns whether it was replaced."""


class WizardRepository(Protocol):
    """Wizards and their steps."""

    async def add(self, wizard: Wizard) -> None:
        """Store a new wizard."""

    async def get(self, community_id: UUID, id: UUID, *, for_update: bool = False) -> Wizard:
        """One wizard, locked against others until the unit of work ends when asked for."""

    async def update(self, wizard: Wizard) -> None:
        """Store a wizard's new name."""

    async def delete(self, id: UUID) -> None:
        """Remove a wizard with its steps."""

    async def list(self, community_id: UUID) -> Sequence[Wizard]:
        """Every wizard of the community, the oldest first."""

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Wizard]:
        """Those of the wizards that the community has."""

    async def add_step(self, step: Step) -> None:
        """Store a new step, at a place that is free."""

    async def get_step(self, community_id: UUID, id: UUID) -> Step:
        """One step."""

    async def update_step(self, step: Step) -> None:
        """Store a step's new title."""

    async def set_background(self, step_id: UUID, image_id: UUID | None) -> None:
        """Change the background alone; does nothing when the step is gone."""

    async def delete_step(self, id: UUID) -> None:
        """Remove a step."""

    async def arrange(self, wizard_id: UUID, step_ids: Sequence[UUID]) -> None:
        """Number all of a wizard's steps from 0 in the order given."""

    async def steps_of(self, wizard_ids: Sequence[UUID]) -> Sequence[Step]:
        """Every step of the wizards, by order."""

    async def steps_by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Step]:
        """Those of the steps that the community has."""


class PlanRepository(Protocol):
    """Plans, and the limits of single users."""

    async def add(self, plan: Plan) -> None:
        """Store a new plan."""

    async def get(self, community_id: UUID, id: UUID, *, for_update: bool = False) -> Plan:
        """One plan, of the community or of the operator's, locked until the unit of work ends when asked for."""

    async def update(self, plan: Plan) -> None:
        """Store a plan's new name, priority and limits."""

    async def delete(self, id: UUID) -> None:
        """Remove a plan. Raises Conflict when a community is on it."""

    async def list(self, community_id: UUID) -> Sequence[Plan]:
        """The community's plans and the operator's, by name."""

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Plan]:
        """Those of the plans that the community may be put on."""

    async def set_user_limit(self, user_id: UUID, feature: Feature, unit: QuotaUnit, amount: int | None) -> None:
        """Limit a user, or no longer when None."""


class UsageRepository(Protocol):
    """Counters of usage, and the ledger they are the sums of."""

    async def allowance(self, community_id: UUID, user_ids: Sequence[UUID]) -> Allowance:
        """What limits the requests of users of the community; one statement."""

    async def reserve(self, account: Account, amount: int, limit: int | None) -> bool:
        """Count as reserved, unless used, reserved and the amount would exceed the limit; then False.

        One conditional update. An amount of 0 is always allowed.
        """

    async def move(self, account: Account, reserved_delta: int, used_delta: int) -> None:
        """Change a counter, whatever the limit."""

    async def counters(self, accounts: Sequence[Account]) -> dict[Account, Counter]:
        """How counters stand, in the order asked for; zero when nothing was counted. One statement."""

    async def record(self, event: UsageEvent) -> None:
        """Write a line of the ledger."""

    async def unsettled(self, generation_id: UUID) -> Sequence[UsageEvent]:
        """The generation's reservations that were neither settled nor released, locked until the unit of work ends."""

    async def held_by_ended(self, since: datetime, before: datetime) -> Sequence[UUID]:
        """Generations that ended before the moment and still hold what they reserved after `since`: for sweeps alone."""


class UnitOfWork(Protocol):
    """One short transaction. Rolled back unless committed; usable again after neither."""

    users: UserRepository
    reference_images: ReferenceImageRepository
    identities: IdentityRepository
    prompts: PromptRepository
    images: ImageRepository
    pictures: PictureRepository
    generations: GenerationRepository
    wizards: WizardRepository
    plans: PlanRepository
    usage: UsageRepository
    connection_profiles: ConnectionProfileRepository
    jobs: JobQueue

    async def commit(self) -> None:
        """Keep everything."""


class UnitOfWorkFactory(Protocol):
    """Opens units of work."""

    def __call__(self, *, read_only: bool = False) -> AbstractAsyncContextManager[UnitOfWork]:
        """A new unit of work. A read-only one takes no locks and can't commit."""


class JobQueue(Protocol):
    """Durable jobs, put in line in the same transaction as the rows they work on."""

    async def enqueue_generation(self, generation: Generation, priority: int) -> None:
        """Have a worker run the generation, once this unit of work is committed.

        While the provider is busy its community gets `priority` times the places of one with a priority of 1.
        """

    async def is_ours(self, generation_id: UUID) -> bool:
        """Whether the work that asks still has the generation's job: another worker may have taken it over."""
