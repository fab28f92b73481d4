"""What a folder needs beyond the contract to be an object store: whole files or none, and nothing left lying about."""

import io
from pathlib import Path

import pytest

from domain.errors import StoreUnavailable
from storage.objects.local import LocalObjectStore
from tests.fakes.clock import FakeClock

KEY = "community/images/a.png"


class Watched(io.BytesIO):
    """A body that notes, whenever more of it is read, what the object's file holds."""

    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(data)
        self.path = path
        self.seen: list[bytes | None] = []

    def read(self, size: int | None = -1, /) -> bytes:
        """The next piece."""
        self.seen.append(self.path.read_bytes() if self.path.exists() else None)
        return super().read(size)


class Breaking(io.BytesIO):
    """A body whose disk fails after the first piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        """One piece, then an error."""
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    """An empty store."""
    return LocalObjectStore(tmp_path, "http://atelier.test", b"0123456789abcdef0123456789abcdef", FakeClock())


def files(folder: Path) -> list[Path]:
    """Every file there is, hidden ones too."""
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_reader_never_sees_half_an_object(store: LocalObjectStore, tmp_path: Path) -> None:
    """While a new object is written the old one is whole, and afterwards there is one file."""
    await store.put(KEY, b"old", "image/png")
    body = Watched(b"n" * 600_000, store.path(KEY))
    await store.put(KEY, body, "image/png")
    assert body.seen == [b"old"] * 4
    assert files(tmp_path) == [store.path(KEY)]
    assert store.path(KEY).read_bytes() == b"n" * 600_000


async def test_a_failed_put_changes_nothing(store: LocalObjectStore, tmp_path: Path) -> None:
    """The old object stays, the unfinished file goes, and the words name the system's error."""
    await store.put(KEY, b"old", "image/png")
    with pytest.raises(StoreUnavailable, match=r"The object folder can't be used: Input/output error\."):
        await store.put(KEY, Breaking(b"n" * 600_000), "image/png")
    assert await store.get(KEY, 10) == b"old"
    assert files(tmp_path) == [store.path(KEY)]


async def test_unfinished_files_are_no_keys(store: LocalObjectStore, tmp_path: Path) -> None:
    """What a crash left behind is not listed."""
    await store.put(KEY, b"x", "image/png")
    (tmp_path / "community" / "images" / ".tmpabc").write_bytes(b"half")
    assert [key async for key in store.keys("")] == [KEY]
