"""Library images from uploads, and the names they are shown by."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.images import ImageSource, new_upload, shown_filename
from tests.rows import NOW, PICTURE


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("me.jpg", "me.png"),
        ("me", "me.png"),
        ("/etc/passwd", "passwd.png"),
        ("C:\\Users\\ada\\me.jpeg", "me.png"),
        ("../../me.html", "me.png"),
        ("", "picture.png"),
        ("...", "picture.png"),
        (" . ", "picture.png"),
        ("a\x00b\nc.jpg", "abc.png"),
        ("Zoë 1.5.heic", "Zoë 1.5.png"),
        ("x" * 300, "x" * 200 + ".png"),
    ],
)
def test_a_name_is_the_clients_last_part_with_our_extension(sent: str, shown: str) -> None:
    """No folder, no control character, no foreign extension is ever shown."""
    assert shown_filename(sent, "image/png") == shown


@given(st.text())
def test_any_name_becomes_one_that_is_safe_to_show(sent: str) -> None:
    """Whatever a client sends, the name is one printable path part of bounded length with the right extension."""
    shown = shown_filename(sent, "image/webp")
    assert shown.endswith(".webp")
    assert 5 < len(shown) <= 205
    assert shown.isprintable()
    assert not set("/\\") & set(shown)
    assert not shown.startswith(".")


def test_an_upload_is_private_and_has_no_recipe() -> None:
    """It belongs to its owner alone until it is shared."""
    image = new_upload(UUID(int=1), UUID(int=2), PICTURE, "me.jpg", NOW)
    assert (image.community_id, image.owner_id, image.created_at) == (UUID(int=1), UUID(int=2), NOW)
    assert (image.source, image.filename, image.picture) == (ImageSource.UPLOADED, "me.png", PICTURE)
    assert not image.is_public
    assert (image.recipe, image.generation_id, image.generation_index) == (None, None, None)
