"""The GraphiQL page: its configuration, its headers, and the plain console where it is not built."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette

from app.graphiql import MOUNTED_AT, PAGE_FOLDER, Tab, graphiql_assets, graphiql_page, served_folder

PLAIN = PAGE_FOLDER / "plain"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder as the build leaves it."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-0a1b.js").write_text("1")
    (tmp_path / "index.html").write_text("<!doctype html><!--atelier-config--><div></div>")
    return tmp_path


def config_of(page: str) -> dict[str, Any]:
    """What the page's scripts read."""
    found = re.search(r'<script type="application/json" id="atelier-config">(.*?)</script>', page, re.DOTALL)
    assert found
    parsed: dict[str, Any] = json.loads(found[1])
    return parsed


@pytest.mark.parametrize("page", [PLAIN / "index.html", PAGE_FOLDER / "index.html"], ids=["plain", "graphiql"])
def test_both_pages_take_the_configuration_and_nothing_from_elsewhere(page: Path) -> None:
    """Either page has the place for its configuration, no inline script or style, and no foreign address."""
    text = page.read_text()
    assert text.count("<!--atelier-config-->") == 1
    assert "://" not in text
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", text) == []


def test_the_page_holds_the_token_and_the_tabs(built: Path) -> None:
    """The token and the operations arrive as data, in which no text can end the element."""
    response = graphiql_page("t1", [Tab("{ viewer { name } }"), Tab("query A", {"a": "</script><b>"})], built)
    page = bytes(response.body).decode()
    assert "<b>" not in page
    assert config_of(page) == {
        "token": "t1",
        "tabs": [
            {"query": "{ viewer { name } }", "variables": None},
            {"query": "query A", "variables": '{\n  "a": "</script><b>"\n}'},
        ],
    }


def test_the_page_can_not_be_framed_kept_or_fed_by_others(built: Path) -> None:
    """The policy allows our own origin alone, forbids frames, and a page with a token is not cached."""
    headers = graphiql_page(None, [], built).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "accept"


def test_without_a_build_the_plain_console_is_served(tmp_path: Path) -> None:
    """The build is served once its page exists, and the console until then."""
    assert served_folder(tmp_path) == tmp_path / "plain"
    (tmp_path / "dist").mkdir()
    assert served_folder(tmp_path) == tmp_path / "plain"
    (tmp_path / "dist" / "index.html").touch()
    assert served_folder(tmp_path) == tmp_path / "dist"


async def test_hashed_assets_are_kept_and_the_rest_asked_for_again(built: Path) -> None:
    """A file with a hash in its name is cached for ever; others, and what is missing, are not."""
    (built / "plain.js").write_text("2")
    app = Starlette(routes=[graphiql_assets(built)])
    async with AsyncClient(transport=ASGITransport(app), base_url="http://atelier.test") as client:
        hashed = await client.get(f"{MOUNTED_AT}/assets/index-0a1b.js")
        plain = await client.get(f"{MOUNTED_AT}/plain.js")
        missing = await client.get(f"{MOUNTED_AT}/assets/index-ffff.js")
    assert (hashed.status_code, hashed.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert hashed.headers["x-content-type-options"] == "nosniff"
    assert (plain.status_code, plain.headers["cache-control"]) == (200, "no-cache")
    assert (missing.status_code, "cache-control" in missing.headers) == (404, False)


async def test_the_plain_console_finds_its_files() -> None:
    """Every file that the console's page names is served."""
    app = Starlette(routes=[graphiql_assets(PLAIN)])
    names = re.findall(r'(?:src|href)="(/[^"]+)"', (PLAIN / "index.html").read_text())
    assert len(names) == 2
    async with AsyncClient(transport=ASGITransport(app), base_url="http://atelier.test") as client:
        assert [(await client.get(name)).status_code for name in names] == [200, 200]
