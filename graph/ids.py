"""Global ids: the type's name and the object's id, opaque to clients. One object has exactly one."""

import re
from base64 import b64decode, b64encode
from uuid import UUID

from strawberry import ID

from domain.errors import NotFound


def global_id(noun: str, id: UUID) -> ID:
    """The id under which clients know an object; `noun` is the name of its GraphQL type."""
    return ID(b64encode(f"{noun}:{id}".encode()).decode())


def parsed(id: str) -> tuple[str, UUID] | None:
    """The noun and the object's id, or None for what is no global id."""
    try:
        noun, _, text = b64decode(id, validate=True).decode().partition(":")
        found = UUID(text)
    except ValueError:
        return None
    return (noun, found) if global_id(noun, found) == id else None


def uuid_of(noun: str, id: str) -> UUID:
    """The object's id. Raises NotFound for an id that is malformed or another noun's."""
    found = parsed(id)
    if found is None or found[0] != noun:
        raise NotFound(in_words(noun), id)
    return found[1]


def in_words(noun: str) -> str:
    """`ReferenceImage` as people write it: `Reference image`."""
    return re.sub(r"(?<!^)[A-Z]", lambda capital: f" {capital[0].lower()}", noun)


def shown_id(error: NotFound) -> ID | None:
    """The id that was not found, as the client knows it."""
    if error.id is None:
        return None
    try:
        return global_id("".join(word.capitalize() for word in error.noun.split()), UUID(error.id))
    except ValueError:
        return ID(error.id)
