"""The endpoint that serves local objects: only to holders of a good URL, and never as a page of ours."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from app.files import files_route
from storage.objects.local import LocalObjectStore
from tests.fakes.clock import FakeClock

BASE = "http://atelier.test"
SECRET = b"0123456789abcdef0123456789abcdef"
KEY = "community/images/a.png"


@pytest.fixture
def clock() -> FakeClock:
    """Ten minutes past noon."""
    return FakeClock(datetime(2026, 11, 20, 12, 10, tzinfo=UTC))


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> LocalObjectStore:
    """A store that holds one picture."""
    store = LocalObjectStore(tmp_path / "objects", BASE, SECRET, clock)
    await store.put(KEY, b"0123456789", "image/png")
    (tmp_path / "secret.png").write_bytes(b"secret")
    return store


@pytest.fixture
async def browser(store: LocalObjectStore, clock: FakeClock) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in front of the endpoint."""
    transport = httpx.ASGITransport(Starlette(routes=[files_route(store, clock)]))
    async with httpx.AsyncClient(transport=transport) as client:
        yield client


async def test_a_good_url_is_served_with_its_guards(store: LocalObjectStore, browser: httpx.AsyncClient) -> None:
    """Type, cache lifetime and the headers that keep a picture a picture."""
    answer = await browser.get(store.url(KEY).url)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert {name: answer.headers[name] for name in answer.headers if name not in {"etag", "last-modified"}} == {
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=3000, immutable",
        "content-length": "10",
        "content-security-policy": "default-src 'none'; sandbox",
        "content-type": "image/png",
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }


async def test_head_has_no_body(store: LocalObjectStore, browser: httpx.AsyncClient) -> None:
    """HEAD tells the length alone."""
    answer = await browser.head(store.url(KEY).url)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "10")


async def test_an_unchanged_object_is_not_sent_again(store: LocalObjectStore, browser: httpx.AsyncClient) -> None:
    """The entity tag of the first answer makes the second one 304, until the object changes."""
    tag = (await browser.get(store.url(KEY).url)).headers["etag"]
    answer = await browser.get(store.url(KEY).url, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (answer.status_code, answer.content) == (304, b"")
    await store.put(KEY, b"changed", "image/png")
    answer = await browser.get(store.url(KEY).url, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (200, b"changed")


async def test_a_range_past_the_end_is_refused(store: LocalObjectStore, browser: httpx.AsyncClient) -> None:
    """A range that can't be met answers 416 with the length."""
    answer = await browser.get(store.url(KEY).url, headers={"Range": "bytes=10-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")


async def test_an_expired_url_is_refused(store: LocalObjectStore, browser: httpx.AsyncClient, clock: FakeClock) -> None:
    """A URL is good until its very last second and no longer."""
    url = store.url(KEY)
    clock.advance(49 * 60 + 59)
    assert (await browser.get(url.url)).status_code == 200
    clock.advance(1)
    assert clock.now() == url.expires_at
    answer = await browser.get(url.url)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert answer.json() == {"status": 403, "title": "The link is wrong or has expired. Ask for a new one."}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_forged_url_is_refused(store: LocalObjectStore, browser: httpx.AsyncClient) -> None:
    """A signature holds for its key and its expiry alone, and a missing or strange one holds for nothing."""
    signed = parse_qs(urlsplit(store.url(KEY).url).query)
    expires, signature = signed["expires"][0], signed["signature"][0]
    assert (await browser.get(f"{BASE}/files/{KEY}", params={"expires": expires, "signature": signature})).is_success
    for key, params in (
        ("community/images/b.png", {"expires": expires, "signature": signature}),
        (KEY, {"expires": str(int(expires) + 3600), "signature": signature}),
        (KEY, {"expires": expires, "signature": signature[:-1]}),
        (KEY, {"expires": expires, "signature": "é"}),
        (KEY, {"expires": expires}),
        (KEY, {"expires": "tomorrow", "signature": signature}),
        (KEY, {"expires": "٣", "signature": signature}),
        (KEY, {"expires": "9" * 5000, "signature": signature}),
        (KEY, {}),
    ):
        assert (await browser.get(f"{BASE}/files/{key}", params=params)).status_code == 403


async def test_another_secret_signs_nothing_here(tmp_path: Path, browser: httpx.AsyncClient, clock: FakeClock) -> None:
    """A URL from a server with another secret is refused."""
    other = LocalObjectStore(tmp_path / "objects", BASE, b"another secret of 32 bytes length", clock)
    assert (await browser.get(other.url(KEY).url)).status_code == 403


@pytest.mark.parametrize("path", ["../secret.png", "%2e%2e/secret.png", "community/%2e%2e/%2e%2e/%2e%2e/secret.png"])
async def test_no_path_leads_out_of_the_store(store: LocalObjectStore, browser: httpx.AsyncClient, path: str) -> None:
    """However it is spelt, a path that climbs finds no file."""
    signed = urlsplit(store.url(KEY).url).query
    assert (await browser.get(f"{BASE}/files/{path}?{signed}")).status_code in {403, 404}


async def test_a_deleted_object_is_gone_from_its_url(store: LocalObjectStore, browser: httpx.AsyncClient) -> None:
    """A good URL to nothing answers 404, and so does one to a folder."""
    url = store.url(KEY).url
    await store.delete([KEY])
    answer = await browser.get(url)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)
    assert (await browser.get(store.url("community/images").url)).status_code == 404


async def test_other_files_are_mere_bytes(store: LocalObjectStore, browser: httpx.AsyncClient) -> None:
    """An extension that is none of ours never becomes a page."""
    await store.put("community/a.html", b"<script>", "text/html")
    answer = await browser.get(store.url("community/a.html").url)
    assert answer.headers["content-type"] == "application/octet-stream"
