"""What the chaos tests share: a fleet over PostgreSQL, and words about what became of it."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from tests.chaos.fleet import Fleet
from tests.chaos.provider import CountingProvider
from tests.database import drop_postgres, new_postgres


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Print what was measured, also when the test succeeds."""

    def tell(words: object) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {request.node.name}: {words}")

    return tell


@pytest.fixture(scope="module")
def empty_postgres_url(postgres_url: str) -> Iterator[str]:
    """The address of a database of the module's own, without any tables."""
    url = new_postgres(postgres_url)
    yield url
    drop_postgres(postgres_url, url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[CountingProvider]:
    """Whom the module's processes ask for pictures."""
    async with CountingProvider() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(
    empty_postgres_url: str, provider: CountingProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """Two APIs, and whoever a test lets work beside them, for all tests of the module: each has its own community."""
    async with Fleet(tmp_path_factory.mktemp("fleet"), empty_postgres_url, provider) as fleet:
        yield fleet
