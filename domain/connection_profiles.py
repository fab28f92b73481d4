"""Connection profiles: people's own access to providers, with keys that only the server can read.

A key belongs to its profile, provider and address: with another address it must be given again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from domain.errors import Conflict, InvalidInput, LimitReached, NotFound, ProviderUnusable
from domain.names import checked_name
from domain.providers import is_model_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from domain.ports import Clock
    from domain.provider_access import ProviderAccess
    from domain.providers import ImageModel, ImageProvider, ProviderKind
    from domain.repositories import UnitOfWork, UnitOfWorkFactory
    from domain.users import Viewer

MAX_PROFILES = 100
MAX_KEY_CHARS = 4_000
MAX_URL_CHARS = 500
HINT_CHARS = 4
MIN_HINTED_CHARS = 12
"""A shorter key would be given away by its last characters."""


@dataclass(frozen=True, slots=True)
class ConnectionProfile:
    """A person's access to one provider. `key_hint` is all of the key that anybody is ever shown."""

    id: UUID
    community_id: UUID
    user_id: UUID
    name: str
    provider: ProviderKind
    base_url: str | None
    model: str | None
    sealed_key: str | None = field(repr=False)
    key_hint: str | None
    is_default: bool
    created_at: datetime
    last_used_at: datetime | None = None

    @property
    def key_binding(self) -> tuple[str, ...]:
        """What the key is sealed for: it opens nowhere else, not even for who can write to the database."""
        return str(self.user_id), str(self.id), self.provider.value, self.base_url or ""


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What to change. None leaves a value as it is; an empty text takes the address, the model or the key away."""

    name: str | None = None
    base_url: str | None = None
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    is_default: bool | None = None


class ConnectionProfiles:
    """What people do with their profiles. Nobody reaches those of others, admins neither."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, access: ProviderAccess, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._access = access
        self._clock = clock

    async def list(self, viewer: Viewer, *, images_only: bool = False) -> Sequence[ConnectionProfile]:
        """The viewer's profiles, the oldest first; with `images_only`, those whose provider makes images."""
        async with self._unit_of_work(read_only=True) as work:
            profiles = await work.connection_profiles.of_user(viewer.id)
        return [one for one in profiles if not images_only or self._access.own[one.provider].makes_images]

    async def create(
        self, viewer: Viewer, provider: ProviderKind, wanted: ProfileChange, *, tried: bool = True
    ) -> ConnectionProfile:
        """A new profile; its first call is made before it is stored when it is to be `tried`.

        Raises InvalidInput, LimitReached, Conflict, ProviderUnusable.
        """
        blank = ConnectionProfile(
            id=uuid4(),
            community_id=viewer.user.community_id,
            user_id=viewer.id,
            name="",
            provider=provider,
            base_url=None,
            model=None,
            sealed_key=None,
            key_hint=None,
            is_default=False,
            created_at=self._clock.now(),
        )
        profile = self._changed(viewer, blank, replace(wanted, name=wanted.name or ""))
        if tried:
            await self._try(profile)
        async with self._unit_of_work() as work:
            others = await work.connection_profiles.of_user(viewer.id, for_update=True)
            if len(others) >= MAX_PROFILES:
                raise LimitReached(f"Maximum {MAX_PROFILES} connection profiles allowed", MAX_PROFILES)
            await _make_room(work, profile)
            await work.connection_profiles.add(profile)
            await work.commit()
        return profile

    async def update(self, viewer: Viewer, id: UUID, change: ProfileChange, *, tried: bool = True) -> ConnectionProfile:
        """Change a profile. A new key or address is called first when it is to be `tried`.

        Raises NotFound, InvalidInput, Conflict, ProviderUnusable.
        """
        async with self._unit_of_work(read_only=True) as work:
            seen = await _found(work, viewer, id)
        if tried and (change.api_key or change.base_url):
            # Outside of any transaction: the provider may take its time.
            await self._try(self._changed(viewer, seen, change))
        async with self._unit_of_work() as work:
            await work.connection_profiles.of_user(viewer.id, for_update=True)
            found = await _found(work, viewer, id)
            if change.api_key and change.base_url is None and found.base_url != seen.base_url:
                raise Conflict("The profile's address was changed meanwhile: give apiKey for the new one")
            profile = self._changed(viewer, found, change)
            await _make_room(work, profile)
            await work.connection_profiles.update(profile)
            await work.commit()
        return profile

    async def delete(self, viewer: Viewer, id: UUID) -> None:
        """Remove a profile with its key. Raises NotFound."""
        async with self._unit_of_work() as work:
            await work.connection_profiles.delete((await _found(work, viewer, id)).id)
            await work.commit()

    async def test(
        self, viewer: Viewer, id: UUID, api_key: str | None = None
    ) -> tuple[ConnectionProfile, Sequence[ImageModel]]:
        """Call the provider without cost, with a new key that isn't stored when one is given.

        Returns the models it offers. Raises NotFound, InvalidInput, Conflict, ProviderUnusable.
        """
        async with self._unit_of_work(read_only=True) as work:
            profile = await _found(work, viewer, id)
        tried = self._changed(viewer, profile, ProfileChange(api_key=api_key)) if api_key else profile
        return profile, await self._try(tried)

    async def _try(self, profile: ConnectionProfile) -> Sequence[ImageModel]:
        if problem := self._access.problem_of(profile):
            raise ProviderUnusable(problem, profile.provider)
        async with self._access.lend(profile.provider, profile) as provider:
            return await provider.check()

    def _changed(self, viewer: Viewer, profile: ConnectionProfile, change: ProfileChange) -> ConnectionProfile:
        """The profile as it will be. Raises InvalidInput, Conflict."""
        provider = self._access.own[profile.provider]
        base_url = profile.base_url
        if change.base_url is not None:
            base_url = _checked_url(viewer, provider, change.base_url.strip())
        if provider.needs_base_url and base_url is None:
            raise InvalidInput(f"{provider.name} has no address of its own: give baseUrl", "baseUrl")
        if profile.sealed_key and base_url != profile.base_url and change.api_key is None:
            raise InvalidInput("A key never follows to another address: give apiKey again", "apiKey")
        changed = replace(
            profile,
            name=profile.name if change.name is None else checked_name(change.name),
            base_url=base_url,
            model=profile.model if change.model is None else _checked_model(change.model.strip()),
            is_default=profile.is_default if change.is_default is None else change.is_default,
        )
        return changed if change.api_key is None else self._with_key(changed, change.api_key)

    def _with_key(self, profile: ConnectionProfile, given: str) -> ConnectionProfile:
        if not given:
            return replace(profile, sealed_key=None, key_hint=None)
        key = given.strip()
        if not 0 < len(key) <= MAX_KEY_CHARS or not (key.isascii() and key.isprintable()) or " " in key:
            raise InvalidInput("That is not an API key", "apiKey")
        hint = key[-HINT_CHARS:] if len(key) >= MIN_HINTED_CHARS else None
        return replace(profile, sealed_key=self._access.vault.seal(key, profile.key_binding), key_hint=hint)


async def _found(work: UnitOfWork, viewer: Viewer, id: UUID) -> ConnectionProfile:
    found = await work.connection_profiles.of_user_by_ids(viewer.id, [id])
    if not found:
        raise NotFound("Connection profile", id)
    return found[0]


async def _make_room(work: UnitOfWork, profile: ConnectionProfile) -> None:
    """One profile at most is the default: the newest that was made so."""
    if profile.is_default:
        await work.connection_profiles.end_default(profile.user_id)


def _checked_url(viewer: Viewer, provider: ImageProvider, url: str) -> str | None:
    if not url:
        return None
    if not provider.needs_base_url and not viewer.user.is_operator:
        message = f"{provider.name} has an address of its own; only the operator of this server gives another one"
        raise InvalidInput(message, "baseUrl")
    if not _is_web_address(url) or len(url) > MAX_URL_CHARS:
        message = f"Give an http:// or https:// address of up to {MAX_URL_CHARS} characters, without a password or ?"
        raise InvalidInput(message, "baseUrl")
    return url.rstrip("/")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_web and url.isascii() and url.isprintable() and not set(" @?#").intersection(url)


def _checked_model(model: str) -> str | None:
    if model and not is_model_id(model):
        raise InvalidInput("That is not the name of a model", "model")
    return model or None
