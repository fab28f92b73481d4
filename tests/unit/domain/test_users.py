"""Who may reach whose things."""

from uuid import UUID, uuid4

from domain.users import Community, Role, Scope, Viewer
from tests.rows import a_user

COMMUNITY = Community(UUID(int=1), "Lovelace")


def test_a_member_reaches_their_own_things() -> None:
    """One owner's, in one community."""
    viewer = Viewer(a_user(COMMUNITY))
    assert viewer.scope == Scope(COMMUNITY.id, viewer.id)
    assert not viewer.is_admin
    assert viewer.reaches(viewer.id)
    assert not viewer.reaches(uuid4())


def test_an_admin_reaches_the_whole_community() -> None:
    """Everybody's, but in one community still."""
    viewer = Viewer(a_user(COMMUNITY, role=Role.ADMIN))
    assert viewer.scope == Scope(COMMUNITY.id, None)
    assert viewer.is_admin
    assert viewer.reaches(uuid4())
