"""Rotating master keys: what older ones sealed is sealed anew with the newest, while everybody goes on working."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from domain.connection_profiles import ConnectionProfile
from domain.ports import Unopenable, Vault
from domain.repositories import UnitOfWorkFactory

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did, in keys.

    `skipped_current` were sealed with the newest master key before, or were changed by their owner just then.
    """

    resealed: int
    skipped_current: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class SealedKeys:
    """How many keys the newest master key opens, how many need an older one, and how many none opens."""

    current: int
    older: int
    unreadable: int


class KeyRotation:
    """Looks at the key of every profile, a batch at a time. What can't be opened stays as it is."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, vault: Vault) -> None:
        self._unit_of_work = unit_of_work
        self._vault = vault

    async def run(self, batch: int = AT_ONCE) -> Rotated:
        """Seal anew what isn't sealed with the newest master key; when broken off, it may be run again."""
        resealed = skipped = unreadable = 0
        async for keys in self._batches(batch):
            older = [(profile, sealed) for profile, sealed in keys if not self._vault.is_newest(sealed)]
            anew = [(profile.id, sealed, again) for profile, sealed in older if (again := self._again(profile, sealed))]
            swapped = await self._swapped(anew)
            resealed += swapped
            skipped += len(keys) - len(older) + len(anew) - swapped
            unreadable += len(older) - len(anew)
        return Rotated(resealed, skipped, unreadable)

    async def status(self, batch: int = AT_ONCE) -> SealedKeys:
        """How all keys are sealed; changes nothing."""
        current = older = unreadable = 0
        async for keys in self._batches(batch):
            readable = [sealed for profile, sealed in keys if self._opened(profile, sealed) is not None]
            newest = sum(self._vault.is_newest(sealed) for sealed in readable)
            current += newest
            older += len(readable) - newest
            unreadable += len(keys) - len(readable)
        return SealedKeys(current, older, unreadable)

    async def _batches(self, size: int) -> AsyncIterator[list[tuple[ConnectionProfile, str]]]:
        """Every profile that has a key, with it. None is held meanwhile."""
        after: UUID | None = None
        while True:
            async with self._unit_of_work(read_only=True) as work:
                profiles = await work.connection_profiles.keys(after, size)
            if not profiles:
                return
            yield [(profile, profile.sealed_key) for profile in profiles if profile.sealed_key]
            after = profiles[-1].id

    async def _swapped(self, anew: list[tuple[UUID, str, str]]) -> int:
        """How many of the keys were still what they had been."""
        if not anew:
            return 0
        async with self._unit_of_work() as work:
            swapped = [await work.connection_profiles.reseal(*one) for one in anew]
            await work.commit()
        return sum(swapped)

    def _again(self, profile: ConnectionProfile, sealed: str) -> str | None:
        key = self._opened(profile, sealed)
        return None if key is None else self._vault.seal(key, profile.key_binding)

    def _opened(self, profile: ConnectionProfile, sealed: str) -> str | None:
        try:
            return self._vault.open(sealed, profile.key_binding)
        except Unopenable:
            return None
