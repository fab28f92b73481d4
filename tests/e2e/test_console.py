"""The browser's console, in a real browser: signed in, from our own origin alone, with a query run by a click."""

from pathlib import Path

from app.graphiql import PAGE_FOLDER
from tests.e2e.browser import TEXT, Page
from tests.e2e.harness import Server, needed

EXECUTE = "document.querySelector('button[aria-label^=\"Execute\"]')"


async def test_a_click_runs_the_first_query(program: str, tmp_path: Path) -> None:
    """GraphiQL opens with the sample admin's token; the answer names them; nothing is asked of another host."""
    if not (PAGE_FOLDER / "dist" / "index.html").is_file():
        needed("GraphiQL's build (`make web`)")
    async with Server(tmp_path) as server, Page(program, tmp_path / "profile") as page:
        await server.start()
        await page.open(f"{server.url}/graphql")
        await page.until(f"{TEXT}.includes('query Viewer')")
        assert await page.run(f"{TEXT}.includes('Generate')")
        await page.run(f"{EXECUTE}.click()")
        await page.until(f"{TEXT}.includes('Ada Admin')")
        assert page.hosts == {"127.0.0.1"}
        assert page.complaints == []
