"""Signing in, tokens, and the users of external issuers."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.accounts import Accounts
from domain.errors import Conflict, Forbidden, InvalidInput, Unauthenticated
from domain.tokens import TokenClaims
from domain.users import Community, Role, User, Viewer
from tests.fakes.clock import FakeClock
from tests.fakes.credentials import FakePasswords, FakeTokens
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.rows import stored_viewer

TTL = timedelta(hours=1)


@pytest.fixture
def passwords() -> FakePasswords:
    """Readable hashes."""
    return FakePasswords()


@pytest.fixture
def tokens(clock: FakeClock) -> FakeTokens:
    """Readable tokens."""
    return FakeTokens(clock)


@pytest.fixture
def accounts(unlucky: UnluckyUnitOfWork, passwords: FakePasswords, tokens: FakeTokens, clock: FakeClock) -> Accounts:
    """The service."""
    return Accounts(unlucky, passwords, tokens, tokens, clock, TTL)


async def made(accounts: Accounts, email: str = "ada@example.org", password: str | None = "analytical") -> User:
    """A user who can sign in."""
    return await accounts.create(
        email=email, name="Ada", community="Lovelace", password=password, role=Role.MEMBER, is_test=False
    )


def external(tokens: FakeTokens, clock: FakeClock, subject: str = "idp|7", **changes: Any) -> str:
    """A token of another issuer's."""
    claims = TokenClaims(
        subject=subject,
        community="acme",
        issued_at=clock.time,
        expires_at=clock.time + TTL,
        email="Grace@Example.org",
        name="Grace",
        is_admin=False,
        is_external=True,
    )
    token = f"external {len(tokens.claims)}"
    tokens.claims[token] = replace(claims, **changes)
    return token


class TestSigningIn:
    """By e-mail address and password."""

    async def test_the_right_password_gives_a_token(self, accounts: Accounts, clock: FakeClock) -> None:
        """The address is taken in any case and with space around."""
        ada = await made(accounts)
        token, expires_at, user = await accounts.sign_in(" ADA@example.org ", "analytical")
        assert (user, expires_at) == (ada, clock.time + TTL)
        viewer, _ = await accounts.viewer(token)
        assert viewer == Viewer(ada)

    async def test_an_unknown_user_and_a_wrong_password_look_alike(
        self, accounts: Accounts, passwords: FakePasswords, tokens: FakeTokens
    ) -> None:
        """The same error after the same work; a user who has no password is one who is unknown. No token is issued."""
        await made(accounts)
        await made(accounts, "bot@example.org", password=None)
        messages = set()
        for email in ("ada@example.org", "nobody@example.org", "bot@example.org"):
            with pytest.raises(Unauthenticated) as caught:
                await accounts.sign_in(email, "wrong password")
            messages.add(caught.value.message)
        assert messages == {"The e-mail address or the password is wrong"}
        assert passwords.verified == ["hashed analytical", None, None]
        assert tokens.claims == {}


class TestTokens:
    """Whom a token speaks for, and until when."""

    async def test_a_token_of_a_user_who_is_gone_is_dead(self, accounts: Accounts, tokens: FakeTokens) -> None:
        """As is one whose subject is no id of ours."""
        token, _ = tokens.issue(uuid4(), uuid4(), TTL)
        for subject in (str(uuid4()), "no uuid"):
            tokens.claims[token] = replace(tokens.claims[token], subject=subject)
            with pytest.raises(Unauthenticated, match=r"^The token's user is gone$"):
                await accounts.viewer(token)

    async def test_an_expired_token_is_dead(self, accounts: Accounts, clock: FakeClock) -> None:
        """From the moment it expires."""
        ada = await made(accounts)
        token, _ = accounts.token_for(ada)
        _, claims = await accounts.viewer(token)
        clock.advance(3599)
        assert await accounts.refusals([(claims, ada.id)]) == [None]
        clock.advance(1)
        assert await accounts.refusals([(claims, ada.id)]) == ["Token expired"]
        with pytest.raises(Unauthenticated):
            await accounts.viewer(token)

    async def test_revoking_kills_every_token_so_far(self, accounts: Accounts, clock: FakeClock) -> None:
        """Also of those that hold sockets open; another user's and later ones live."""
        ada, bob = await made(accounts), await made(accounts, "bob@example.org")
        token, _ = accounts.token_for(ada)
        others, _ = accounts.token_for(bob)
        _, claims = await accounts.viewer(token)
        _, bobs = await accounts.viewer(others)
        clock.advance(60)
        await accounts.revoke_tokens(ada)
        with pytest.raises(Unauthenticated, match=r"^The token was revoked$"):
            await accounts.viewer(token)
        assert await accounts.refusals([(claims, ada.id), (bobs, bob.id)]) == ["Token revoked", None]
        viewer, _ = await accounts.viewer(others)
        assert viewer.id == bob.id
        later, _ = accounts.token_for(ada)
        viewer, claims = await accounts.viewer(later)
        assert viewer.id == ada.id
        assert await accounts.refusals([(claims, ada.id)]) == [None]

    async def test_a_new_role_counts_at_once(self, accounts: Accounts) -> None:
        """Also for a token that was looked up a moment ago."""
        ada = await made(accounts)
        token, _ = accounts.token_for(ada)
        assert not (await accounts.viewer(token))[0].is_admin
        await accounts.set_role(ada.id, Role.ADMIN)
        assert (await accounts.viewer(token))[0].is_admin

    async def test_a_token_does_not_outlive_its_user(self, accounts: Accounts) -> None:
        """A socket of nobody is closed."""
        token, _ = accounts.token_for(await made(accounts))
        _, claims = await accounts.viewer(token)
        assert await accounts.refusals([(claims, uuid4())]) == ["Token revoked"]
        assert await accounts.refusals([]) == []


class TestCreating:
    """New users from the command line."""

    async def test_the_community_is_made_once(self, accounts: Accounts, unlucky: UnluckyUnitOfWork) -> None:
        """Users of one name of it are together."""
        ada, bob = await made(accounts, " Ada@Example.org "), await made(accounts, "bob@example.org")
        assert ada.email == "ada@example.org"
        assert ada.community_id == bob.community_id
        async with unlucky(read_only=True) as work:
            assert (await work.users.communities([ada.community_id]))[0].name == "Lovelace"

    async def test_a_user_without_a_name_goes_by_the_address(self, accounts: Accounts) -> None:
        """The part before the @; a long name is cut."""
        for name, shown in ((" ", "ada"), ("x" * 300, "x" * 255)):
            user = await accounts.create(
                email=f"ada@{len(name)}.org", name=name, community="C", password=None, role=Role.ADMIN, is_test=True
            )
            assert (user.name, user.role, user.is_test) == (shown, Role.ADMIN, True)

    @pytest.mark.parametrize("email", ["", "ada", "@", "a@", "@b", "a b@c", "a@b@c", "a@" + "b" * 254])
    async def test_what_is_no_address_is_refused(
        self, accounts: Accounts, unlucky: UnluckyUnitOfWork, email: str
    ) -> None:
        """Nobody is made."""
        with pytest.raises(InvalidInput, match=r"^Give an e-mail address such as ada@example\.org$") as caught:
            await made(accounts, email)
        assert caught.value.problems[0].path == ("email",)
        async with unlucky(read_only=True) as work:
            assert await work.users.count() == 0

    @pytest.mark.parametrize("community", ["", "  ", "x" * 256])
    async def test_a_community_has_a_name(self, accounts: Accounts, unlucky: UnluckyUnitOfWork, community: str) -> None:
        """Of 1 to 255 characters; nobody is made without."""
        with pytest.raises(InvalidInput, match=r"^The community's name must be 1 to 255 characters$") as caught:
            await accounts.create(email="a@b", name="", community=community, password=None, role=Role.ADMIN)
        assert caught.value.problems[0].path == ("community",)
        async with unlucky(read_only=True) as work:
            assert await work.users.count() == 0

    @pytest.mark.parametrize("password", ["", "x" * 7, "x" * 1001])
    async def test_a_password_has_bounds(self, accounts: Accounts, unlucky: UnluckyUnitOfWork, password: str) -> None:
        """Nobody is made with one outside them."""
        with pytest.raises(InvalidInput, match=r"^A password has 8 to 1,000 characters$"):
            await made(accounts, password=password)
        async with unlucky(read_only=True) as work:
            assert await work.users.count() == 0

    @pytest.mark.parametrize("length", [8, 1000])
    async def test_the_bounds_themselves_are_taken(self, accounts: Accounts, length: int) -> None:
        """And can be signed in with."""
        ada = await made(accounts, password="x" * length)
        assert (await accounts.sign_in("ada@example.org", "x" * length))[2] == ada

    async def test_an_address_signs_in_one_user(self, accounts: Accounts, unlucky: UnluckyUnitOfWork) -> None:
        """The second is refused."""
        await made(accounts)
        with pytest.raises(Conflict):
            await made(accounts, "ADA@example.org")
        async with unlucky(read_only=True) as work:
            assert await work.users.count() == 1

    async def test_an_operator_is_made_as_one(self, accounts: Accounts, unlucky: UnluckyUnitOfWork) -> None:
        """Nobody else is."""
        ada = await made(accounts)
        boss = await accounts.create(
            email="boss@example.org", name="", community="C", password=None, role=Role.MEMBER, is_operator=True
        )
        async with unlucky(read_only=True) as work:
            assert [(await work.users.get(user.id)).is_operator for user in (ada, boss)] == [False, True]


class TestCommunities:
    """What an admin says of the community."""

    async def stored(self, unlucky: UnluckyUnitOfWork, community: Community) -> Community:
        """The community as the database has it."""
        async with unlucky(read_only=True) as work:
            return await work.users.community(community.id)

    async def test_its_months_begin_by_a_known_time_zone(
        self, accounts: Accounts, admin: Viewer, community: Community, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Nothing else changes."""
        moved = await accounts.set_time_zone(admin, "Europe/Berlin")
        assert moved == replace(community, time_zone="Europe/Berlin")
        assert await self.stored(unlucky, community) == moved

    @pytest.mark.parametrize("name", ["", "Atlantis", "localtime", "Factory", "right/Europe/Berlin", "../UTC"])
    async def test_what_is_no_time_zone_changes_nothing(
        self, accounts: Accounts, admin: Viewer, community: Community, unlucky: UnluckyUnitOfWork, name: str
    ) -> None:
        """Nor does a file that the machine keeps beside its time zones."""
        with pytest.raises(InvalidInput, match=r"^There is no time zone .*Use a name such as Europe/Berlin$") as caught:
            await accounts.set_time_zone(admin, name)
        assert [problem.path for problem in caught.value.problems] == [("timeZone",)]
        assert await self.stored(unlucky, community) == community

    async def test_a_member_changes_nothing(
        self, accounts: Accounts, viewer: Viewer, community: Community, unlucky: UnluckyUnitOfWork
    ) -> None:
        """They are told why."""
        with pytest.raises(Forbidden, match=r"^Only an admin of the community may change it$"):
            await accounts.set_time_zone(viewer, "Europe/Berlin")
        assert await self.stored(unlucky, community) == community


class TestThePicker:
    """Whom a viewer can act for."""

    async def test_a_member_acts_for_themself(self, accounts: Accounts, viewer: Viewer, admin: Viewer) -> None:
        """Nobody else is shown."""
        assert await accounts.accounts(viewer) == [viewer.user]

    async def test_an_admin_acts_for_test_users_too(
        self, accounts: Accounts, viewer: Viewer, unlucky: UnluckyUnitOfWork, stranger: Viewer
    ) -> None:
        """Of the own community, and each once."""
        async with unlucky(read_only=True) as work:
            community = (await work.users.communities([viewer.user.community_id]))[0]
        boss = await stored_viewer(unlucky, community, role=Role.ADMIN, is_test=True, name="M")
        tests = [await stored_viewer(unlucky, community, is_test=True, name=name) for name in ("A", "Z")]
        await stored_viewer(unlucky, is_test=True)
        assert await accounts.accounts(boss) == [boss.user, tests[0].user, tests[1].user]


class TestExternalIssuers:
    """Users whom we know from their tokens alone."""

    async def test_a_newcomer_is_made_when_first_seen(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock, unlucky: UnluckyUnitOfWork
    ) -> None:
        """With the community, once; the second token finds them."""
        viewer, claims = await accounts.viewer(external(tokens, clock))
        user = viewer.user
        assert (user.email, user.name, user.role, user.is_test) == ("grace@example.org", "Grace", Role.MEMBER, False)
        assert claims.is_external
        again, _ = await accounts.viewer(external(tokens, clock))
        assert again == viewer
        async with unlucky(read_only=True) as work:
            assert await work.users.count() == 1
            assert [home.name for home in await work.users.communities([user.community_id])] == ["acme"]

    async def test_a_token_without_an_address_is_enough(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock
    ) -> None:
        """One is made of subject and community, and the name of it."""
        viewer, _ = await accounts.viewer(external(tokens, clock, email=None, name=None))
        assert (viewer.user.email, viewer.user.name) == ("idp|7@acme", "idp|7")

    async def test_the_role_follows_the_token(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Up and down again, and stored."""
        await accounts.viewer(external(tokens, clock))
        for is_admin, role in ((True, Role.ADMIN), (False, Role.MEMBER)):
            viewer, _ = await accounts.viewer(external(tokens, clock, is_admin=is_admin))
            assert viewer.user.role is role
            async with unlucky(read_only=True) as work:
                assert (await work.users.get(viewer.id)).role is role

    async def test_the_community_follows_the_token(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock
    ) -> None:
        """The same person of another community is another user, who reaches nothing of the first."""
        here, _ = await accounts.viewer(external(tokens, clock))
        there, _ = await accounts.viewer(external(tokens, clock, community="umbrella"))
        assert here.id != there.id
        assert here.user.community_id != there.user.community_id

    async def test_newcomers_of_one_community_share_it(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock
    ) -> None:
        """It is made by the first."""
        first, _ = await accounts.viewer(external(tokens, clock))
        second, _ = await accounts.viewer(external(tokens, clock, "idp|8", email="b@example.org"))
        assert first.user.community_id == second.user.community_id
        assert first.id != second.id

    async def test_a_newcomers_requests_at_once_make_one_user(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock, unlucky: UnluckyUnitOfWork
    ) -> None:
        """A page opens with several requests."""
        found = await asyncio.gather(*(accounts.viewer(external(tokens, clock)) for _ in range(5)))
        assert len({viewer.id for viewer, _ in found}) == 1
        async with unlucky(read_only=True) as work:
            assert await work.users.count() == 1

    async def test_a_lost_race_finds_the_winner(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Another request's user and community came between looking and storing."""
        first, _ = await accounts.viewer(external(tokens, clock))
        unlucky.mishaps["users.by_external_id"] = [None]
        unlucky.mishaps["users.communities"] = [[]]
        second, _ = await accounts.viewer(external(tokens, clock))
        assert second == first

    async def test_an_address_of_another_is_not_taken_over(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Two subjects with one address are two people; the second is refused in words."""
        await accounts.viewer(external(tokens, clock))
        with pytest.raises(Unauthenticated, match=r"^Another user of the community has the token's e-mail address$"):
            await accounts.viewer(external(tokens, clock, "idp|8"))
        async with unlucky(read_only=True) as work:
            assert await work.users.count() == 1

    async def test_their_tokens_can_be_revoked_too(
        self, accounts: Accounts, tokens: FakeTokens, clock: FakeClock
    ) -> None:
        """Until the issuer gives a new one."""
        token = external(tokens, clock)
        viewer, _ = await accounts.viewer(token)
        clock.advance(60)
        await accounts.revoke_tokens(viewer.user)
        with pytest.raises(Unauthenticated, match=r"^The token was revoked$"):
            await accounts.viewer(token)
        assert (await accounts.viewer(external(tokens, clock)))[0].id == viewer.id
