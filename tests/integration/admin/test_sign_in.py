"""The operators' page: who gets in, and what browsers are told."""

import json
import re
from base64 import b64encode
from dataclasses import replace

import httpx
import pytest
from itsdangerous import TimestampSigner

from app.admin.sign_in import COOKIE, LIFETIME, derived_key
from app.server import asgi_app
from app.settings import Settings
from app.wiring import Atelier, compose
from domain.users import Role, User
from storage.database.tables import image
from tests.admin import (
    BASE,
    LISTS,
    PASSWORD,
    SECRET,
    Browser,
    Things,
    execute,
    nobody,
    plain,
    rows,
    stored,
)
from tests.fakes.clock import FakeClock
from tests.rows import (
    after,
)

WRONG = "The e-mail address or the password is wrong"


async def test_an_operator_signs_in(stranger: Browser, operator: User) -> None:
    """By e-mail and password; the session is a cookie that scripts, other sites and other pages don't see."""
    response = await stranger.sign_in(" Olga@Example.org ")
    assert (response.status_code, response.headers["location"]) == (303, f"{BASE}/admin/")
    (cookie,) = [one for one in response.headers.get_list("set-cookie") if one.startswith(COOKIE)]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"path=/admin", "max-age=28800", "httponly", "samesite=strict"}
    assert "Olga" in await stranger.page("/users/list")


async def test_where_browsers_come_by_https_no_cookie_goes_by_http(
    settings: Settings, atelier: Atelier, operator: User
) -> None:
    """Also behind a proxy that speaks HTTP to the server, whose own addresses then begin with https."""
    safe = replace(atelier, settings=settings.model_copy(update={"public_url": "https://atelier.test"}))
    transport = httpx.ASGITransport(asgi_app(safe, works=False, welcome=nobody))
    async with httpx.AsyncClient(transport=transport, base_url="http://atelier.test") as http:
        login = await http.get("/admin/login")
        token = re.search(r'name="csrftoken" value="([^"]+)"', login.text)
        assert token
        assert "http://atelier.test" not in login.text
        form = {"csrftoken": token[1], "username": operator.email, "password": PASSWORD}
        cookie = {"cookie": f"starlette_admin_csrftoken={token[1]}"}
        response = await http.post("/admin/login", data=form, headers=cookie)
        cookies = login.headers.get_list("set-cookie") + response.headers.get_list("set-cookie")
        assert response.status_code == 303
        assert len(cookies) == 2
        assert all("secure" in one.lower() for one in cookies)


async def test_who_is_no_operator_looks_like_a_wrong_password(
    stranger: Browser, atelier: Atelier, operator: User
) -> None:
    """Whoever asks learns nothing from the answer, and is given no session."""
    await stored(atelier, PASSWORD, email="mary@example.org", role=Role.ADMIN)
    answers = [
        await stranger.sign_in(operator.email, "not the password"),
        await stranger.sign_in("mary@example.org"),
        await stranger.sign_in("nobody@example.org"),
        await stranger.sign_in("olga@example.org\0"),
    ]
    assert [answer.status_code for answer in answers] == [400] * 4
    assert WRONG in answers[0].text
    assert len({plain(answer) for answer in answers}) == 1
    assert stranger.http.cookies.get(COOKIE) is None


async def test_without_a_session_there_is_nothing(stranger: Browser, things: Things) -> None:
    """Every page leads to the sign-in, and so does every change."""
    await stranger.get("/login")
    answers = [await stranger.get(path) for path in ("/", *(f"/{key}/list" for key in LISTS))]
    answers += [await stranger.get(f"/{key}/detail", pk=id) for key, id in things.pages]
    answers += [await stranger.get("/_api/users/relation-lookup"), await stranger.send("/logout")]
    answers += [await stranger.act("images", things.ids["images"], "remove"), await stranger.send("/users/create")]
    assert {answer.status_code for answer in answers} == {303}
    assert all(answer.headers["location"].startswith(f"{BASE}/admin/login") for answer in answers)


async def test_a_session_ends_after_hours(browser: Browser, clock: FakeClock) -> None:
    """However much it is used."""
    clock.advance(LIFETIME.total_seconds() - 1)
    assert (await browser.get("/users/list")).status_code == 200
    clock.advance(1)
    assert (await browser.get("/users/list")).status_code == 303


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE user_account SET is_operator = false WHERE id = :id",
        "UPDATE user_account SET tokens_valid_after = '2026-11-20T12:40:00.000000+00:00' WHERE id = :id",
        "DELETE FROM user_account WHERE id = :id",
    ],
)
async def test_who_asks_is_looked_up_anew(browser: Browser, settings: Settings, operator: User, change: str) -> None:
    """Who is no operator any more, whose tokens were revoked, and who is gone, is out at once."""
    assert (await browser.get("/users/list")).status_code == 200
    await execute(settings, change, operator.id)
    assert (await browser.get("/users/list")).status_code == 303


async def test_signing_out(browser: Browser) -> None:
    """The session's cookie is taken back."""
    assert (await browser.send("/logout")).status_code == 303
    assert browser.http.cookies.get(COOKIE) is None
    assert (await browser.get("/users/list")).status_code == 303


@pytest.mark.parametrize(("purpose", "status"), [("session", 200), ("forms and messages", 303), (None, 303)])
async def test_sessions_have_a_key_of_their_own(
    stranger: Browser, settings: Settings, operator: User, purpose: str | None, status: int
) -> None:
    """What was signed for anything else, with the server's key or one made from it, is no session."""
    content = json.dumps({"user": str(operator.id), "since": after(30).timestamp()})
    key = derived_key(settings, purpose) if purpose else SECRET
    stranger.http.cookies.set(COOKIE, TimestampSigner(key).sign(b64encode(content.encode())).decode(), path="/admin")
    assert (await stranger.get("/users/list")).status_code == status


async def test_the_page_can_be_left_out(settings: Settings, atelier: Atelier) -> None:
    """By a setting."""
    without = replace(atelier, settings=settings.model_copy(update={"admin_page": False}))
    transport = httpx.ASGITransport(asgi_app(without, works=False, welcome=nobody))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        assert (await http.get("/admin/login")).status_code == 404


async def test_other_sites_change_nothing(browser: Browser, atelier: Atelier, things: Things) -> None:
    """A form of another site's is refused, and so is one without the page's token."""
    kept = things.images[1].id
    answers = [
        await browser.send(
            "/_api/images/row-action", query={"pk": kept, "name": "remove"}, origin="https://evil.example"
        ),
        await browser.send("/_api/images/row-action", query={"pk": kept, "name": "remove"}, origin="null"),
        await browser.send("/_api/images/row-action", {"csrftoken": ""}, {"pk": kept, "name": "remove"}),
        await browser.send("/_api/images/row-action", {"csrftoken": "made up"}, {"pk": kept, "name": "remove"}),
        await browser.send(
            "/login", {"username": "olga@example.org", "password": PASSWORD}, origin="https://evil.example"
        ),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert kept in {row["id"] for row in await rows(atelier, image)}


async def test_nothing_is_changed_by_a_link(browser: Browser, atelier: Atelier, things: Things) -> None:
    """Actions answer to POST alone."""
    for kind in ("action", "row-action", "import"):
        answer = await browser.get(
            f"/_api/images/{kind}", pk=things.images[1].id, pks=things.images[1].id, name="remove"
        )
        assert answer.status_code == 405
    assert (await browser.get("/logout")).status_code == 405


async def test_scripts_are_the_page_s_own(browser: Browser, things: Things) -> None:
    """A strict policy, no script beside it, no frame, no store but the server's, nothing kept by caches."""
    paths = [f"/{key}/list" for key in LISTS] + [f"/{key}/detail?pk={id}" for key, id in things.pages]
    paths += ["/users/create", "/plans/create", "/prompts/create", f"/users/edit?pk={things.member.id}"]
    for path in paths:
        response = await browser.http.get(f"/admin{path}")
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        (nonce,) = re.findall(r"'nonce-([^']+)'", policy)
        assert policy == (
            f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; connect-src 'self'; style-src 'self' 'unsafe-inline'; "
            f"font-src 'self'; img-src 'self' data: {BASE}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"
        scripts = re.findall(r"<script[^>]*>", response.text)
        assert scripts
        assert all(f'nonce="{nonce}"' in one or f'src="{BASE}/admin/static/' in one for one in scripts), scripts
        assert not re.search(r"<[^>]*\son\w+=", response.text)
        assert set(re.findall(r"(?:src|href)=\"(https?://[^/\"]+)", response.text)) == {BASE}
        assert "@import" not in response.text


async def test_pictures_may_come_from_the_store(settings: Settings) -> None:
    """From where it hands them out, and from nowhere else."""
    store = {"bucket_name": "pictures", "endpoint_url": "https://store.example", "access_key_id": "id"}
    given = {f"STORAGE_{name.upper()}": value for name, value in store.items()}
    parts = compose(
        Settings.model_validate(
            {
                **given,
                "STORAGE_SECRET_ACCESS_KEY": SECRET,
                "DATABASE_URL": settings.database_url,
                "SECRET_KEY": SECRET,
                "ATELIER_DATA_DIR": settings.data_dir,
                "PUBLIC_URL": BASE,
            }
        )
    )
    transport = httpx.ASGITransport(asgi_app(parts, works=False, welcome=nobody))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        policy = (await http.get("/admin/login")).headers["content-security-policy"]
    await parts.aclose()
    assert "; img-src 'self' data: https://store.example; " in policy


async def test_long_forms_are_not_read(stranger: Browser) -> None:
    """Whoever sends them."""
    await stranger.get("/login")
    answer = await stranger.send("/login", {"username": "x" * 1_000_001})
    assert answer.status_code == 413
