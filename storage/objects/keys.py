"""What every object store shares: which keys there can be, the size of a piece, and the proof that a store works."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from domain.ports import ObjectStore

PIECE_BYTES = 256 * 1024
"""How much of an object is held in memory while it is copied."""

_KEY = re.compile(r"(?!.{513})[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)


def checked(key: str) -> str:
    """The key itself. Raises ValueError for one that could leave the store, hide in it, or need escaping in a URL."""
    if _KEY.fullmatch(key) is None:
        raise ValueError(
            "An object key is made of letters, digits, '-', '_' and '.', in parts that don't begin with '.'"
        )
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself. Raises ValueError for one that no key can begin with."""
    if prefix:
        checked(prefix.removesuffix("/"))
    return prefix


@asynccontextmanager
async def proof(store: ObjectStore) -> AsyncIterator[str]:
    """A small object, written and read back, and removed in the end. Raises StoreUnavailable."""
    key = f"checks/{uuid4()}.txt"
    await store.put(key, b"Atelier was here.", "text/plain")
    await store.get(key, max_bytes=64)
    yield key
    await store.delete([key])
