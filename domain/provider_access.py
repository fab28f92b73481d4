"""From a connection profile to a provider that can be asked, with the key opened on the way and nowhere else."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from domain.ports import Unopenable
from domain.providers import Access

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from domain.connection_profiles import ConnectionProfile
    from domain.ports import Vault
    from domain.providers import ImageProvider, ProviderKind

_log = logging.getLogger(__name__)

KEY_UNREADABLE = "The profile's key can't be opened any more. Give the key again."


class ProviderAccess:
    """The server's own providers, one of every kind, and those that profiles lead to.

    `connect` makes a provider without calling anybody.
    """

    def __init__(
        self,
        own: Mapping[ProviderKind, ImageProvider],
        connect: Callable[[ProviderKind, Access], ImageProvider],
        vault: Vault,
    ) -> None:
        self.own = own
        self.vault = vault
        self._connect = connect

    def needs_key(self, profile: ConnectionProfile) -> bool:
        """Whether the profile is useless until its owner gives a key: it has none, or one that can't be opened."""
        if profile.sealed_key is None:
            return self.own[profile.provider].needs_key
        return self._key_of(profile) is None

    def problem_of(self, profile: ConnectionProfile) -> str | None:
        """Why the profile can't be used (in words), or None."""
        if profile.sealed_key is not None and self._key_of(profile) is None:
            return KEY_UNREADABLE
        return self._connected(profile).problem

    @asynccontextmanager
    async def lend(self, kind: ProviderKind, profile: ConnectionProfile | None) -> AsyncIterator[ImageProvider]:
        """The profile's provider, or the server's own without one; a profile's is let go of afterwards."""
        if profile is None:
            yield self.own[kind]
            return
        provider = self._connected(profile)
        try:
            yield provider
        finally:
            try:
                await provider.aclose()
            except Exception:  # noqa: BLE001 - whatever it is, the answer has been heard and may have been paid
                _log.warning("a connection could not be closed", exc_info=True)

    def _connected(self, profile: ConnectionProfile) -> ImageProvider:
        return self._connect(profile.provider, Access(self._key_of(profile), profile.base_url))

    def _key_of(self, profile: ConnectionProfile) -> str | None:
        if profile.sealed_key is None:
            return None
        try:
            return self.vault.open(profile.sealed_key, profile.key_binding)
        except Unopenable:
            return None
