"""Who may reach whose things, and by which time a community lives."""

from uuid import UUID, uuid4

import pytest

from domain.errors import InvalidInput
from domain.users import Community, Role, Scope, Viewer, checked_time_zone
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


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
def test_a_time_zone_has_a_name(name: str) -> None:
    """Of the world's list."""
    assert checked_time_zone(name) == name


@pytest.mark.parametrize("name", ["", "Berlin", "Europe", "+01:00", "/etc/localtime", "../../etc/passwd", "x" * 300])
def test_a_time_zone_that_nobody_knows_is_refused(name: str) -> None:
    """Also where the name is a folder of the list, or a path out of it."""
    with pytest.raises(InvalidInput) as caught:
        checked_time_zone(name)
    assert caught.value.message == f"There is no time zone {name}. Use a name such as Europe/Berlin"
    assert [problem.path for problem in caught.value.problems] == [("timeZone",)]
