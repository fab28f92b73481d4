"""Who a token speaks for is remembered for a second: long enough for a page's requests, short enough for a revocation."""

from datetime import timedelta

import pytest

from domain.accounts import MAX_REMEMBERED, REMEMBERED, Accounts
from domain.errors import Unauthenticated
from domain.users import Viewer
from tests.fakes.clock import FakeClock
from tests.fakes.credentials import FakePasswords, FakeTokens
from tests.fakes.mishaps import UnluckyUnitOfWork

TTL = timedelta(hours=1)
BROKEN = RuntimeError("the database is not to be asked")


@pytest.fixture
def tokens(clock: FakeClock) -> FakeTokens:
    """An issuer in memory."""
    return FakeTokens(clock)


@pytest.fixture
def accounts(unlucky: UnluckyUnitOfWork, tokens: FakeTokens, clock: FakeClock) -> Accounts:
    """One process."""
    return Accounts(unlucky, FakePasswords(), tokens, tokens, clock, TTL)


@pytest.fixture
def elsewhere(unlucky: UnluckyUnitOfWork, tokens: FakeTokens, clock: FakeClock) -> Accounts:
    """Another process over the same database."""
    return Accounts(unlucky, FakePasswords(), tokens, tokens, clock, TTL)


async def test_a_token_is_looked_up_once_a_second(
    accounts: Accounts, viewer: Viewer, unlucky: UnluckyUnitOfWork, clock: FakeClock
) -> None:
    """Within the second the database is not asked; then it is."""
    token, _ = accounts.token_for(viewer.user)
    assert (await accounts.viewer(token))[0] == viewer
    unlucky.mishaps["users.get"] = [BROKEN]
    clock.advance(REMEMBERED.total_seconds() - 0.01)
    assert (await accounts.viewer(token))[0] == viewer
    clock.advance(0.01)
    with pytest.raises(RuntimeError):
        await accounts.viewer(token)


async def test_a_revocation_counts_at_once_here_and_in_a_second_elsewhere(
    accounts: Accounts, elsewhere: Accounts, viewer: Viewer, clock: FakeClock
) -> None:
    """The process that revokes forgets at once; another one when it asks again."""
    token, _ = accounts.token_for(viewer.user)
    for process in (accounts, elsewhere):
        await process.viewer(token)
    clock.advance(0.5)
    await accounts.revoke_tokens(viewer.user)
    with pytest.raises(Unauthenticated, match=r"^The token was revoked$"):
        await accounts.viewer(token)
    clock.advance(0.5)
    with pytest.raises(Unauthenticated, match=r"^The token was revoked$"):
        await elsewhere.viewer(token)


async def test_a_remembered_token_still_expires(accounts: Accounts, viewer: Viewer, clock: FakeClock) -> None:
    """Its time is looked at every time."""
    token, _ = accounts.token_for(viewer.user)
    clock.advance(TTL.total_seconds() - 0.5)
    await accounts.viewer(token)
    clock.advance(0.5)
    with pytest.raises(Unauthenticated):
        await accounts.viewer(token)


async def test_only_so_many_are_remembered(accounts: Accounts, viewer: Viewer) -> None:
    """Tokens without end take no memory without end."""
    for _ in range(MAX_REMEMBERED + 5):
        token, _ = accounts.token_for(viewer.user)
        await accounts.viewer(token)
    assert len(accounts._seen) <= MAX_REMEMBERED
