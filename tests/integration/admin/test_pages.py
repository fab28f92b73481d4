"""The operators' page: what it shows, and how little it asks the database for it."""

import asyncio
import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest

from app.admin.people import NEWEST_IMAGES
from app.admin.views import MOST_COUNTED
from app.settings import Settings
from app.wiring import Atelier
from domain.users import User
from storage.database.tables import user_account, worker
from tests.admin import BASE, KEY, LISTS, SUBJECT, Browser, Things, execute, rows
from tests.fakes.clock import FakeClock
from tests.graphql import Statements
from tests.rows import (
    NOW,
    after,
    an_image,
)


async def test_every_page_shows_what_there_is_and_no_secret(
    browser: Browser, atelier: Atelier, things: Things, operator: User
) -> None:
    """Lists and single records; no hash of a password, no issuer's name for anybody, no idempotency key."""
    pages = {f"{key}-list": await browser.page(f"/{key}/list") for key in LISTS}
    pages |= {key: await browser.page(f"/{key}/detail", pk=id) for key, id in things.pages}
    expected = {
        "users-list": ["mary@example.org", "eva@example.org", "Looms"],
        "communities-list": ["Looms", "Lovelace"],
        "plans-list": ["Modest", "12"],
        "usage-list": ["+ 2", "- 2", "SETTLE", "mary@example.org"],
        "prompts-list": ["Ours", "IMAGE GENERATION"],
        "images-list": ["made.png", "0.jpg", "Looms"],
        "generations-list": ["&lt;b&gt;A house", "QUEUED"],
        "users": ["mary@example.org", "0: From the left (FACE)", "2026-11"],
        "communities": ["Looms", "$0.04", "UTC"],
        "plans": ["Modest", "12"],
        "prompts": ["{identity_context}"],
        "images": ["The house of the recipe", "The Analyst", "First step", "Industry"],
        "generations": [
            "Too late",
            "TIMEOUT",
            "perhaps",
            "$0.04",
            "Preparing",
            "RESERVE",
            "3.0 s",
            "LISTED",
            "The vendor's own words",
        ],
    }
    for name, texts in expected.items():
        missing = [text for text in texts if unescape(text) not in pages[name]]
        assert not missing, (name, missing)
    hashes = [row["password_hash"] for row in await rows(atelier, user_account) if row["password_hash"]]
    assert len(hashes) == 2
    for name, text in pages.items():
        for secret in (*hashes, "argon2", SUBJECT, KEY, "password_hash", "external_id", things.generation.input_hash):
            assert secret not in text, (name, secret)


async def test_what_people_wrote_is_text(browser: Browser, things: Things) -> None:
    """And never becomes a part of the page."""
    for key in ("generations", "images"):
        for path, query in ((f"/{key}/list", {}), (f"/{key}/detail", {"pk": things.ids[key]})):
            text = (await browser.get(path, **query)).text
            assert "<b>A house" not in text
            assert "<i>The house" not in text


async def test_a_user_s_pictures(browser: Browser, atelier: Atelier, things: Things) -> None:
    """The newest 24 lead to their images, the reference images to their files; each address leads to a file."""
    async with atelier.unit_of_work() as work:
        for number in range(NEWEST_IMAGES):
            picture = things.images[1].picture
            await work.images.add(
                an_image(
                    things.member, picture=picture, filename=f"newer {number}.jpg", created_at=after(10**9 + number)
                )
            )
        await work.commit()
    page = await browser.page("/users/detail", pk=things.member.id)
    figures = re.findall(r'<figure.*?href="([^"]+)".*?src="([^"]+)" alt="([^"]+)".*?</figure>', page, re.DOTALL)
    assert len(figures) == 1 + NEWEST_IMAGES
    assert [alt for _, _, alt in figures[1:]] == [f"newer {number}.jpg" for number in reversed(range(NEWEST_IMAGES))]
    assert all(href.startswith(f"{BASE}/admin/images/detail?pk=") for href, _, _ in figures[1:])
    for address in (figures[0][0], figures[0][1], figures[-1][1]):
        file = await browser.http.get(address)
        assert (file.status_code, file.headers["content-type"]) == (200, "image/jpeg")


async def test_searching(browser: Browser, things: Things) -> None:
    """By id, by words of a short table, and by who owns it; percent signs are no wildcards."""
    assert "made.png" in await browser.page("/images/list", q=things.ids["images"])
    assert "made.png" in await browser.page("/images/list", q=things.member.id)
    assert "made.png" in await browser.page("/images/list", q="MARY@")
    assert "made.png" not in await browser.page("/images/list", q="olga")
    assert "made.png" not in await browser.page("/images/list", q="%")
    assert "made.png" not in await browser.page("/images/list", q=uuid4())
    assert "mary@example.org" in await browser.page("/users/list", q="Mar")
    assert "mary@example.org" in await browser.page("/users/list", q=things.member.community_id)
    assert "mary@example.org" not in await browser.page("/users/list", q="olga\0")
    assert "SETTLE" in await browser.page("/usage/list", q="mary")


async def test_filtering_and_sorting(browser: Browser, things: Things) -> None:
    """By what is quick."""

    async def filtered(key: str, field: str, filter: str, value: str = "") -> str:
        return await browser.page(f"/{key}/list", filter=f"{field}__{filter}{value}")

    assert "A house" in await filtered("generations", "state", "eq", "=PREPARING")
    assert "A house" not in await filtered("generations", "state", "eq", "=FAILED")
    assert "made.png" not in await filtered("images", "is_public", "is_true")
    assert "made.png" in await filtered("images", "is_public", "is_false")
    assert "made.png" in await filtered("images", "created_at", "before", "=2026-11-20T12:31")
    assert "made.png" not in await filtered("images", "created_at", "before", "=2026-11-20T12:30")
    assert (await browser.get("/images/list", filter="created_at__before=yesterday")).status_code == 400
    assert (await browser.get("/images/list", filter="filename__contains=made")).status_code == 400
    oldest_first = await browser.page("/images/list", sort="created_at__asc")
    assert oldest_first.index("made.png") < oldest_first.index("1.jpg")


async def test_workers(browser: Browser, atelier: Atelier, clock: FakeClock) -> None:
    """Those whose last sign of life is recent are alive; the latest seen comes first."""
    dead_s = atelier.settings.worker_dead_seconds
    silent_s = {"looms-1": dead_s - 1, "looms-2": dead_s, "looms-3": 0}
    with atelier.database.sync_engine().begin() as connection:
        for id, silent in silent_s.items():
            seen_at = clock.now() - timedelta(seconds=silent)
            connection.execute(worker.insert().values(id=id, started_at=NOW, seen_at=seen_at))
    page = await browser.page("/workers/list")
    lines = re.findall(r"<tr.*?</tr>", page, re.DOTALL)[1:]
    found = [(next(id for id in silent_s if id in line), re.search(r"\byes\b", line) is not None) for line in lines]
    assert found == [("looms-3", True), ("looms-1", True), ("looms-2", False)]
    assert f"{NOW:%Y-%m-%d %H:%M:%S}" in lines[0]
    assert "looms-2" in await browser.page("/workers/list", q="s-2")
    assert (await browser.get("/workers/detail", pk="looms-1")).status_code == 403


async def test_what_is_not_there(browser: Browser, things: Things) -> None:
    """No such record, no id at all, no such table."""
    for path, query in (
        ("/images/detail", {"pk": uuid4()}),
        ("/images/detail", {"pk": "nonsense"}),
        ("/secrets/list", {}),
        ("/images/detail", {}),
        ("/users/edit", {"pk": "nonsense"}),
    ):
        assert (await browser.get(path, **query)).status_code == 404
    assert (await browser.get("/usage/detail", pk=uuid4())).status_code == 403


async def test_no_list_is_walked_to_its_end(
    browser: Browser, settings: Settings, things: Things, statements: Statements
) -> None:
    """No more rows are counted than can be paged through; pages beyond are empty without a question."""
    copies = (
        "INSERT INTO prompt (id, community_id, type, version, name, body, required_context_keys, is_active, created_at) "
        "SELECT {id}, community_id, type, 1000 + n, name, body, required_context_keys, is_active, created_at "
        "FROM prompt, (WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 1100) SELECT n FROM up) "
        "AS numbers WHERE prompt.id = :id"
    )
    fresh = "gen_random_uuid()" if settings.is_postgres else "lower(hex(randomblob(16)))"
    await execute(settings, copies.format(id=fresh), things.ids["prompts"])
    assert f"1 to 25 of the first {MOST_COUNTED:,}" in await browser.page("/prompts/list")
    assert f"{MOST_COUNTED - 24} to {MOST_COUNTED:,}".replace(",", "") in await browser.page("/prompts/list", page=40)
    assert "No data" in await browser.page("/prompts/list", page=41)
    statements.sent.clear()
    await browser.page("/images/list")
    assert len(statements.sent) == 3  # who asks, the rows, how many
    assert all("LIMIT" in statement for statement in statements.sent[1:])


async def test_reading_waits_for_no_writer(
    browser: Browser, atelier: Atelier, settings: Settings, things: Things
) -> None:
    """Nor does it need a connection that writes."""
    if settings.is_postgres:
        pytest.skip("one pool for both there")
    async with atelier.unit_of_work(), asyncio.timeout(10):
        for key in LISTS:
            assert (await browser.get(f"/{key}/list")).status_code == 200
