"""The browser that tests drive, where there is one."""

import pytest

from tests.e2e.browser import chromium
from tests.e2e.harness import needed


@pytest.fixture
def program() -> str:
    """The browser."""
    found = chromium()
    if found is None:
        needed("Chromium")
    return str(found)
