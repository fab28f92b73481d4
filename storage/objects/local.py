"""Objects as files below one folder, read by browsers through signed URLs of our own."""

import io
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, TypeVar

from anyio import CapacityLimiter, to_thread

from domain.errors import ObjectMissing, StoreUnavailable
from domain.pictures import SignedUrl
from domain.ports import Clock
from storage.objects.keys import PIECE_BYTES, checked, checked_prefix, proof
from storage.objects.signing import FileSigner, UrlCache

_T = TypeVar("_T")
_KEYS_AT_ONCE = 1000


class LocalObjectStore:
    """A folder as an object store. `base_url` is where the server answers; `url_ttl_s` how long a URL lives at most."""

    def __init__(
        self, root: Path, base_url: str, secret: bytes, clock: Clock, *, url_ttl_s: int = 3600, max_parallel: int = 8
    ) -> None:
        self._root = root
        self._base_url = base_url.rstrip("/")
        self._signer = FileSigner(secret)
        self._urls = UrlCache(self._signed, url_ttl_s, clock)
        self._expires_after_s = url_ttl_s // 2 * 2
        self._limiter = CapacityLimiter(max_parallel)

    async def put(self, key: str, body: BinaryIO | bytes, media_type: str) -> None:
        """Write beside the target, then rename: a reader sees the old object or the new one, never half of one."""
        path = self.path(key)
        source = io.BytesIO(body) if isinstance(body, bytes) else body
        await self._off_loop(lambda: _write(path, source))

    async def get(self, key: str, max_bytes: int) -> bytes:
        """The object's bytes."""
        path = self.path(key)
        data = await self._off_loop(lambda: _read(path, max_bytes + 1))
        if len(data) > max_bytes:
            raise StoreUnavailable(f"The stored object is larger than {max_bytes:,} bytes.")
        return data

    async def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return await self._off_loop(self.path(key).is_file)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove the files that are there."""
        paths = [self.path(key) for key in keys]
        await self._off_loop(lambda: _remove(paths))

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that start with `prefix`, read from the folders a thousand at a time."""
        found = _walk(self._root, checked_prefix(prefix))
        while batch := await self._off_loop(lambda: list(islice(found, _KEYS_AT_ONCE))):
            for key in batch:
                yield key

    def url(self, key: str) -> SignedUrl:
        """A signed URL below `{base_url}/files/`."""
        return self._urls.url(key)

    async def check(self) -> None:
        """Prove the folder writable and readable."""
        async with proof(self):
            pass

    async def aclose(self) -> None:
        """Files need no connections."""

    def path(self, key: str) -> Path:
        """Where the object's file is, or would be. Raises ValueError for what can't be a key."""
        return self._root / checked(key)

    def verify(self, key: str, expires_s: int, signature: str, now: datetime) -> bool:
        """Whether a URL's signature is ours and not yet expired."""
        return self._signer.verify(key, expires_s, signature, now)

    def _signed(self, key: str, began_s: int) -> str:
        expires_s = began_s + self._expires_after_s
        signature = self._signer.sign(checked(key), expires_s)
        return f"{self._base_url}/files/{key}?expires={expires_s}&signature={signature}"

    async def _off_loop(self, work: Callable[[], _T]) -> _T:
        try:
            return await to_thread.run_sync(work, limiter=self._limiter)
        except FileNotFoundError as error:
            raise ObjectMissing("The object is not in the store.") from error
        except OSError as error:
            raise StoreUnavailable(f"The object folder can't be used: {error.strerror or 'unknown error'}.") from error


def _write(path: Path, source: BinaryIO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The dot keeps an unfinished file out of `keys` and out of reach: no key has a part that begins with one.
    with NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as target:
        try:
            shutil.copyfileobj(source, target, PIECE_BYTES)
            target.close()
            os.replace(target.name, path)  # noqa: PTH105 - beside `target.name`, a text
        except BaseException:
            with suppress(OSError):
                Path(target.name).unlink()
            raise


def _read(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _walk(root: Path, prefix: str) -> Iterator[str]:
    """The keys below the last folder that the prefix names whole."""
    for folder, folders, files in os.walk(root / prefix.rpartition("/")[0]):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            key = (Path(folder) / name).relative_to(root).as_posix()
            if key.startswith(prefix) and not name.startswith("."):
                yield key
