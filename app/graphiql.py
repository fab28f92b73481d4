"""GraphiQL, from our own origin: the page with its first operations and its assets; a plain console when not built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import orjson
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE_FOLDER = Path(__file__).parents[1] / "web" / "graphiql"
MOUNTED_AT = "/graphiql"  # the built page names its assets below it

_CONFIG_PLACE = "<!--atelier-config-->"
_HEADERS = {
    # The editor sets styles from scripts, and GraphiQL's fonts and icons are data: in its style sheet.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; "
        "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",  # it may hold a token
    "vary": "accept",
}


@dataclass(frozen=True, slots=True)
class Tab:
    """An operation that the page opens with."""

    query: str
    variables: Mapping[str, object] | None = None


def served_folder(folder: Path = PAGE_FOLDER) -> Path:
    """Where the page is: the build, or the plain console that needs none."""
    built = folder / "dist"
    return built if (built / "index.html").is_file() else folder / "plain"


def graphiql_page(token: str | None, default_queries: Sequence[Tab], folder: Path | None = None) -> HTMLResponse:
    """The page, ready to run `default_queries` with `token`. Whoever gets the page gets the token."""
    tabs = [{"query": tab.query, "variables": _pretty(tab.variables)} for tab in default_queries]
    config = orjson.dumps({"token": token, "tabs": tabs}).decode().replace("<", "\\u003c")
    script = f'<script type="application/json" id="atelier-config">{config}</script>'
    page = ((folder or served_folder()) / "index.html").read_text(encoding="utf-8")
    return HTMLResponse(page.replace(_CONFIG_PLACE, script), headers=_HEADERS)


def _pretty(variables: Mapping[str, object] | None) -> str | None:
    return None if variables is None else orjson.dumps(variables, option=orjson.OPT_INDENT_2).decode()


def graphiql_assets(folder: Path | None = None) -> Mount:
    """The route of the page's scripts, workers, styles and fonts."""
    return Mount(MOUNTED_AT, _Assets(directory=folder or served_folder()), name="graphiql")


class _Assets(StaticFiles):
    """Files for browsers; the build's carry a hash in their names and never change."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["x-content-type-options"] = "nosniff"
        is_hashed = path.startswith("assets/") and response.status_code < HTTPStatus.BAD_REQUEST
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if is_hashed else "no-cache"
        return response
