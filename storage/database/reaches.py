"""What a scope reaches, as a condition."""

from uuid import UUID

from sqlalchemy import Column, ColumnElement, and_

from domain.users import Scope


def reached(scope: Scope, community: "Column[UUID]", owner: "Column[UUID]") -> ColumnElement[bool]:
    """Rows of the scope's community, and of its owner where it names one."""
    in_community = community == scope.community_id
    return in_community if scope.owner_id is None else and_(in_community, owner == scope.owner_id)
