"""An object store in memory, held to the same contract as the real ones."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import BinaryIO

from domain.errors import ObjectMissing, StoreUnavailable
from domain.pictures import SignedUrl
from domain.ports import Clock


class FakeObjectStore:
    """Objects in a dict. Set `is_down` to make every call fail as an unreachable store does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.is_down = False

    async def put(self, key: str, body: BinaryIO | bytes, media_type: str) -> None:
        """Keep the bytes from the body's present position on."""
        self._reach(key)
        self.objects[key] = (body if isinstance(body, bytes) else body.read(), media_type)

    async def get(self, key: str, max_bytes: int) -> bytes:
        """The bytes that were put."""
        self._reach(key)
        if key not in self.objects:
            raise ObjectMissing("The object is not in the store.")
        data = self.objects[key][0]
        if len(data) > max_bytes:
            raise StoreUnavailable(f"The stored object is larger than {max_bytes:,} bytes.")
        return data

    async def exists(self, key: str) -> bool:
        """Whether the key was put and not deleted."""
        self._reach(key)
        return key in self.objects

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the objects that are there."""
        self._reach(*keys)
        for key in keys:
            self.objects.pop(key, None)

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that start with `prefix`."""
        self._reach(prefix)
        for key in [key for key in self.objects if key.startswith(prefix)]:
            yield key

    def url(self, key: str) -> SignedUrl:
        """A URL that leads nowhere, equal for half an hour at a time."""
        self._reach(key)
        now = self._clock.now()
        began = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        expires_at = began + timedelta(hours=1)
        return SignedUrl(f"https://objects.test/{key}?expires={int(expires_at.timestamp())}", expires_at)

    async def check(self) -> None:
        """Fail when the store is down."""
        self._reach()

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _reach(self, *keys: str) -> None:
        if any(part.startswith(".") for key in keys for part in key.split("/")) or any(key[:1] == "/" for key in keys):
            raise ValueError("An object key has no part that begins with '.'")
        if self.is_down:
            raise StoreUnavailable("The object store can't be reached.")
