"""Global ids and cursors: there and back, and what is neither."""

from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from domain.errors import InvalidInput, NotFound
from domain.pages import Cursor
from graph.cursors import cursor_of, parsed_cursor
from graph.ids import global_id, in_words, parsed, shown_id, uuid_of

ID = UUID("6f0bd5a1-4c39-5f0e-9a43-8a1c60b9a6de")
MOMENT = datetime(2026, 11, 20, 12, 30, 15, 123456, tzinfo=UTC)


def encoded(text: str) -> str:
    """Base64 of a text."""
    return b64encode(text.encode()).decode()


def test_an_id_there_and_back() -> None:
    """An id names its noun and its object."""
    id = global_id("Image", ID)
    assert id == encoded(f"Image:{ID}")
    assert parsed(id) == ("Image", ID)
    assert uuid_of("Image", id) == ID


@pytest.mark.parametrize(
    "id",
    [
        "",
        "Image",
        "ä",
        "\x00",
        encoded("Image"),
        encoded("Image:"),
        encoded("Image:1"),
        encoded(f"Image:{{{ID}}}"),
        encoded(f"Image:{str(ID).upper()}"),
        encoded(f"Image:urn:uuid:{ID}"),
        b64encode(b"\xff:" + str(ID).encode()).decode(),
        encoded(f"Image:{ID}") + "\n",
        encoded(f"Prompt:{ID}"),
    ],
)
def test_what_is_no_image_is_not_found(id: str) -> None:
    """Malformed ids, other spellings of good ones, and other nouns' ids: one object has one id."""
    with pytest.raises(NotFound) as missing:
        uuid_of("Image", id)
    assert missing.value.message == "Image not found"
    assert shown_id(missing.value) == id


def test_nouns_in_words() -> None:
    """As people write them, and back again in the id of an error."""
    assert in_words("ReferenceImage") == "Reference image"
    assert shown_id(NotFound("Reference image", ID)) == global_id("ReferenceImage", ID)
    assert shown_id(NotFound("Prompt")) is None


def test_a_cursor_there_and_back() -> None:
    """A cursor keeps the moment to the microsecond."""
    cursor = cursor_of(SimpleNamespace(id=ID, created_at=MOMENT))
    assert parsed_cursor(cursor, "after") == Cursor(MOMENT, ID)
    assert parsed_cursor(None, "after") is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "-5",
        "nonsense",
        "ä",
        encoded("arrayconnection:5"),
        urlsafe_b64encode(f"{MOMENT.replace(tzinfo=None).isoformat()} {ID}".encode()).decode(),
        urlsafe_b64encode(f"{MOMENT.isoformat()} 1".encode()).decode(),
        urlsafe_b64encode(f"{MOMENT.isoformat()}".encode()).decode(),
        urlsafe_b64encode(b"\xff").decode(),
        urlsafe_b64encode(f"{MOMENT.isoformat()} {ID}".encode()).decode() + "!",
    ],
)
def test_what_is_no_cursor(cursor: str) -> None:
    """The message names the argument and shows nothing of Python."""
    with pytest.raises(InvalidInput) as refusal:
        parsed_cursor(cursor, "before")
    assert refusal.value.message == "before is not a cursor of this list"
    assert refusal.value.problems[0].path == ("before",)
