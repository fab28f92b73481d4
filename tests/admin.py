"""What the tests of the operators' page share: a browser that uses it, and what is there to be looked at."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import sqlalchemy as sa

from app.settings import Settings
from app.wiring import Atelier, compose
from domain.generations import Generation
from domain.images import Image
from domain.users import User
from storage.credentials import Argon2Hasher
from tests.rows import (
    a_user,
    stored_community,
)

BASE = "http://atelier.test"
PASSWORD = "engines! and looms"
SUBJECT = "issuer|4711"
KEY = "once-and-never-again"
SECRET = "s" * 40
LISTS = ("users", "communities", "plans", "usage", "prompts", "images", "generations", "workers")


async def nobody(_atelier: Atelier) -> User | None:
    """Whom the console signs in."""
    return None


async def stored(atelier: Atelier, password: str | None = None, **changes: Any) -> User:
    """A user who is in the database, in a community of their own when none is given."""
    community = changes.pop("community", None) or await stored_community(atelier.unit_of_work)
    user = a_user(community, **changes)
    hashed = password and await Argon2Hasher(memory_kib=64, time_cost=1).hash(password)
    async with atelier.unit_of_work() as work:
        await work.users.add(user, hashed)
        await work.commit()
    return user


class Browser:
    """Uses the page as a browser does: with its cookies, and with the token that forms and scripts send."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **query: object) -> httpx.Response:
        """A page."""
        return await self.http.get(f"/admin{path}", params={name: str(value) for name, value in query.items()})

    async def page(self, path: str, **query: object) -> str:
        """A page that is there, as a person reads it: with its references to characters resolved."""
        response = await self.get(path, **query)
        assert response.status_code == 200, response.text
        return unescape(response.text)

    async def send(
        self,
        path: str,
        form: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
        **headers: str,
    ) -> httpx.Response:
        """The answer to a form."""
        token = self.http.cookies.get("starlette_admin_csrftoken") or ""
        body = urlencode({"csrftoken": token, **(form or {})}, doseq=True)
        sent = {"content-type": "application/x-www-form-urlencoded", "origin": BASE, **headers}
        return await self.http.post(f"/admin{path}?{urlencode(query or {})}", content=body, headers=sent)

    async def act(self, key: str, id: object, name: str, **form: object) -> httpx.Response:
        """The answer to an action on one record."""
        return await self.send(
            f"/_api/{key}/row-action", form, {"pk": id, "name": name, "_origin": f"{BASE}/admin/{key}/detail?pk={id}"}
        )

    async def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        """The answer to the sign-in form."""
        await self.get("/login")
        return await self.send("/login", {"username": email, "password": password})


def problem(response: httpx.Response) -> str:
    """What a refused form says beside its fields."""
    assert response.status_code == 422, response.text
    told = re.findall(r'<div class="invalid-feedback" id="(\w+)-error">(.*?)</div>', response.text)
    return unescape("; ".join(f"{field}: {message}" for field, message in told))


def plain(response: httpx.Response) -> str:
    """A page without what is new in every answer."""
    return re.sub(r'nonce="[^"]+"|value="[^"]*"', "", response.text)


async def rows(atelier: Atelier, table: sa.Table) -> list[dict[str, Any]]:
    """Every row of a table."""
    async with atelier.database.read() as connection:
        return [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]


async def execute(settings: Settings, statement: str, id: UUID) -> None:
    """Change a row behind everybody's back."""
    parts = compose(settings)
    with parts.database.sync_engine().begin() as connection:
        connection.execute(sa.text(statement).bindparams(sa.bindparam("id", type_=sa.Uuid())), {"id": id})
    await parts.aclose()


@dataclass(slots=True)
class Things:
    """One of everything, of a community that isn't the operator's."""

    member: User
    images: list[Image]
    generation: Generation
    ids: dict[str, UUID]

    @property
    def pages(self) -> list[tuple[str, UUID]]:
        """The page of each single record."""
        return list(self.ids.items())
