"""The contract of the ObjectStore port, kept by the fake, by local files and by a server that speaks S3."""

import asyncio
import io
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette

from app.files import files_route
from domain.errors import ObjectMissing, StoreUnavailable
from domain.ports import Clock, ObjectStore
from storage.objects.local import LocalObjectStore
from storage.objects.s3 import S3ObjectStore, S3Settings
from tests.fakes.clock import FakeClock
from tests.fakes.objects import FakeObjectStore
from tests.s3_server import free_port, moto

SECRET = b"0123456789abcdef0123456789abcdef"
MIB = 1024 * 1024


@dataclass
class Subject:
    """A store, one of its kind that is out of reach, and, where its URLs lead anywhere, a browser."""

    store: ObjectStore
    down: ObjectStore
    browser: httpx.AsyncClient | None = None


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Settings]:
    """One S3 server for all tests."""
    with moto("pictures") as settings:
        yield settings


def memory(clock: Clock) -> Subject:
    """The fake."""
    down = FakeObjectStore(clock)
    down.is_down = True
    return Subject(FakeObjectStore(clock), down)


async def local(folder: Path, clock: Clock, stack: AsyncExitStack) -> Subject:
    """Local files, read through the endpoint that serves them."""
    store = LocalObjectStore(folder / "objects", "http://atelier.test", SECRET, clock)
    transport = httpx.ASGITransport(Starlette(routes=[files_route(store, clock)]))
    browser = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
    (folder / "no-folder").write_text("a file where the folder should be")
    return Subject(store, LocalObjectStore(folder / "no-folder", "http://atelier.test", SECRET, clock), browser)


async def bucket(settings: S3Settings, clock: Clock, stack: AsyncExitStack) -> Subject:
    """A bucket, read over HTTP."""
    nowhere = replace(settings, endpoint_url=f"http://127.0.0.1:{free_port()}", max_attempts=1)
    store, down = S3ObjectStore(settings, clock), S3ObjectStore(nowhere, clock)
    stack.push_async_callback(store.aclose)
    stack.push_async_callback(down.aclose)
    return Subject(store, down, await stack.enter_async_context(httpx.AsyncClient()))


@pytest.fixture
def clock() -> FakeClock:
    """Standing still at the present time, which the S3 server compares with."""
    return FakeClock(datetime.now(UTC))


@pytest.fixture(params=["memory", "local", "s3"])
async def subject(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each implementation in turn."""
    async with AsyncExitStack() as stack:
        match request.param:
            case "memory":
                yield memory(clock)
            case "local":
                yield await local(tmp_path, clock, stack)
            case _:
                yield await bucket(request.getfixturevalue("s3"), clock, stack)


@pytest.fixture
def store(subject: Subject) -> ObjectStore:
    """The store alone."""
    return subject.store


@pytest.fixture
def browser(subject: Subject) -> httpx.AsyncClient:
    """What reads the store's URLs."""
    if subject.browser is None:
        pytest.skip("the fake's URLs lead nowhere")
    return subject.browser


@pytest.fixture
def folder() -> str:
    """A prefix that no other test uses."""
    return f"community/{uuid4()}"


async def listed(store: ObjectStore, prefix: str) -> list[str]:
    """The keys below a prefix, sorted."""
    return sorted([key async for key in store.keys(prefix)])


async def test_what_was_put_comes_back(store: ObjectStore, folder: str) -> None:
    """An object is read back byte by byte, and is there from then on."""
    key = f"{folder}/a.png"
    assert await store.exists(key) is False
    await store.put(key, b"\x89PNG bytes", "image/png")
    assert await store.get(key, 10) == b"\x89PNG bytes"
    assert await store.exists(key) is True


async def test_an_empty_object_is_an_object(store: ObjectStore, folder: str) -> None:
    """No bytes are bytes too."""
    await store.put(f"{folder}/empty.png", b"", "image/png")
    assert await store.get(f"{folder}/empty.png", 0) == b""


async def test_a_second_put_replaces(store: ObjectStore, folder: str) -> None:
    """The later object wins whole, also when it is shorter."""
    await store.put(f"{folder}/a.png", b"long and old", "image/png")
    await store.put(f"{folder}/a.png", b"new", "image/png")
    assert await store.get(f"{folder}/a.png", 100) == b"new"


async def test_a_file_is_stored_from_where_it_stands(store: ObjectStore, folder: str) -> None:
    """What was read before the call is not part of the object."""
    body = io.BytesIO(b"header|picture")
    body.seek(7)
    await store.put(f"{folder}/a.png", body, "image/png")
    assert await store.get(f"{folder}/a.png", 100) == b"picture"


async def test_a_missing_object_is_said_to_be_missing(store: ObjectStore, folder: str) -> None:
    """Reading what isn't there is ObjectMissing, not a general failure."""
    with pytest.raises(ObjectMissing):
        await store.get(f"{folder}/nothing.png", 10)


async def test_an_object_larger_than_asked_for_is_refused(store: ObjectStore, folder: str) -> None:
    """One byte too many is an error, and not a missing object."""
    await store.put(f"{folder}/a.png", b"12345", "image/png")
    with pytest.raises(StoreUnavailable, match="larger than 4 bytes") as caught:
        await store.get(f"{folder}/a.png", 4)
    assert not isinstance(caught.value, ObjectMissing)


async def test_deleting_takes_what_is_there_and_only_that(store: ObjectStore, folder: str) -> None:
    """Named objects go, absent ones don't matter, others stay."""
    await store.put(f"{folder}/a.png", b"a", "image/png")
    await store.put(f"{folder}/b.png", b"b", "image/png")
    await store.delete([f"{folder}/a.png", f"{folder}/never.png"])
    await store.delete([])
    assert await listed(store, folder) == [f"{folder}/b.png"]


async def test_keys_are_listed_by_prefix(store: ObjectStore, folder: str) -> None:
    """A prefix may end within a name, and the list holds nothing else."""
    for name in ("a/one.png", "a/two.png", "ab/three.png", "b/four.png"):
        await store.put(f"{folder}/{name}", b"x", "image/png")
    assert await listed(store, f"{folder}/a") == [f"{folder}/{n}" for n in ("a/one.png", "a/two.png", "ab/three.png")]
    assert await listed(store, f"{folder}/a/") == [f"{folder}/a/one.png", f"{folder}/a/two.png"]
    assert await listed(store, f"{folder}/zzz") == []


async def test_more_than_a_page_of_keys_is_listed_and_deleted(store: ObjectStore, folder: str) -> None:
    """A thousand is where S3 pages; nothing is lost or left there."""
    keys = [f"{folder}/{number:04}.png" for number in range(1003)]
    for start in range(0, len(keys), 40):
        await asyncio.gather(*(store.put(key, b"x", "image/png") for key in keys[start : start + 40]))
    assert await listed(store, folder) == keys
    await store.delete(keys)
    assert await listed(store, folder) == []


@pytest.mark.parametrize("key", ["../secret", "a/../../b.png", "/etc/passwd", "a//../b", ".hidden", "a/.tmp1"])
async def test_keys_cannot_leave_the_store(store: ObjectStore, key: str) -> None:
    """A key that climbs, starts at the root or hides is refused by every method."""
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: store.put(key, b"x", "image/png"),
        lambda: store.get(key, 10),
        lambda: store.exists(key),
        lambda: store.delete([key]),
        lambda: listed(store, key),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="key"):
            await attempt()
    with pytest.raises(ValueError, match="key"):
        store.url(key)


async def test_puts_at_once_end_in_one_whole_object(store: ObjectStore, folder: str) -> None:
    """Writers of one key never mix; the object is one writer's from end to end."""
    bodies = [bytes([number]) * 300_000 for number in range(12)]
    await asyncio.gather(*(store.put(f"{folder}/a.png", body, "image/png") for body in bodies))
    assert await store.get(f"{folder}/a.png", MIB) in bodies
    assert await listed(store, folder) == [f"{folder}/a.png"]


async def test_a_large_file_is_streamed(subject: Subject, folder: str, tmp_path: Path) -> None:
    """20 MB go through without 4 MB of it in memory at once."""
    if isinstance(subject.store, FakeObjectStore):
        pytest.skip("the fake is memory")
    (tmp_path / "large.bin").write_bytes(os.urandom(20 * MIB))
    await subject.store.put(f"{folder}/warm.png", b"x", "image/png")
    with (tmp_path / "large.bin").open("rb") as body:
        tracemalloc.start()
        await subject.store.put(f"{folder}/large.png", body, "image/png")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * MIB
    assert await subject.store.get(f"{folder}/large.png", 20 * MIB) == (tmp_path / "large.bin").read_bytes()


async def test_a_url_fetches_the_object(store: ObjectStore, browser: httpx.AsyncClient, folder: str) -> None:
    """The URL alone is enough to read the bytes, under the media type they were put with."""
    await store.put(f"{folder}/a.webp", b"RIFF picture", "image/webp")
    answer = await browser.get(store.url(f"{folder}/a.webp").url)
    assert (answer.status_code, answer.content) == (200, b"RIFF picture")
    assert answer.headers["content-type"] == "image/webp"


async def test_a_url_answers_ranges(store: ObjectStore, browser: httpx.AsyncClient, folder: str) -> None:
    """A part can be asked for."""
    await store.put(f"{folder}/a.png", b"0123456789", "image/png")
    answer = await browser.get(store.url(f"{folder}/a.png").url, headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
    assert answer.headers["content-range"] == "bytes 2-4/10"


async def test_a_url_to_nothing_is_not_found(store: ObjectStore, browser: httpx.AsyncClient, folder: str) -> None:
    """A deleted object's URL answers 404."""
    assert (await browser.get(store.url(f"{folder}/gone.png").url)).status_code == 404


async def test_a_url_stays_the_same_and_lives_long_enough(store: ObjectStore, clock: FakeClock, folder: str) -> None:
    """Two calls give one URL, with between half an hour and an hour to live."""
    url = store.url(f"{folder}/a.png")
    assert store.url(f"{folder}/a.png") == url
    assert store.url(f"{folder}/b.png").url != url.url
    assert url.expires_at is not None
    assert timedelta(minutes=30) <= url.expires_at - clock.now() <= timedelta(hours=1)


async def test_a_working_store_passes_its_check(store: ObjectStore) -> None:
    """The check leaves nothing behind."""
    await store.check()
    assert await listed(store, "checks/") == []


async def test_a_store_out_of_reach_says_so(subject: Subject, folder: str) -> None:
    """Every method raises StoreUnavailable, never the SDK's or the system's own error."""
    down, key = subject.down, f"{folder}/a.png"
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: down.put(key, b"x", "image/png"),
        down.check,
    ]
    if not isinstance(down, LocalObjectStore):  # below a folder that isn't there, nothing is there
        attempts += [lambda: down.exists(key), lambda: down.delete([key]), lambda: listed(down, folder)]
        attempts += [lambda: down.get(key, 10)]
    for attempt in attempts:
        with pytest.raises(StoreUnavailable) as caught:
            await attempt()
        assert not isinstance(caught.value, ObjectMissing)
