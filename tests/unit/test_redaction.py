"""What a vendor said, as an admin may read it: no key or piece of one, no prompt, no address, and short."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.redaction import GAP, KEY_PIECE_CHARS, MAX_DETAIL_CHARS, MAX_SAID_CHARS, redacted

KEY = "0wn-KEY/of+this=Server.42~x"
PROMPT = "An old lighthouse keeper, painted in oil,\nlooks out over the grey sea"


def shown(said: str) -> str | None:
    """The words, redacted for one call."""
    return redacted(said, key=KEY, prompt=PROMPT)


@pytest.mark.parametrize(
    "said",
    [
        "Invalid value: '7x7'. Supported values are: '1024x1024', '1536x1024', and 'auto'.",
        "The model 'gpt-image-2.5-sunburst-2026-09-08' does not exist (model_not_found).",
        "models/gemini-3-pro-image-preview is not found for API version v1",
        "Rate limit reached on input-images per min: Limit 5, Used 5. Please try again in 12s.",
        "API key not valid. Please pass a valid API key.",
        "No endpoints found that support the requested output modalities: image, text",
    ],
)
def test_what_helps_an_admin_stays(said: str) -> None:
    """Models, options, limits and reasons are told as they were sent."""
    assert shown(said) == said


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"The key {KEY} is wrong", "The key \u2026 is wrong"),
        (f"The key {KEY.upper()} is wrong", "The key \u2026 is wrong"),
        (f"It ends in {KEY[-9:]}", "It ends in \u2026"),
        ("Incorrect API key provided: abc***yz.", "Incorrect API \u2026"),
        ("Use sk-proj-Abc_d instead", "Use \u2026 instead"),
        ("Use AIzaSyAbc instead", "Use \u2026 instead"),
        ("Sent Authorization: Bearer abc", "Sent \u2026"),
        ('{"token": "abc"} is old', '{"\u2026 is old'),
        ("Your team 16f2151a-40f4-4a80-8ad0-cae00c27e8dd is poor", "Your team \u2026 is poor"),
        ("See https://x.example/a?sig=b for more", "See \u2026 for more"),
        ("See /pictures/1.png?sig=b for more", "See \u2026 for more"),
        ("Bad data:image/png;base64,iVBORw0KGgo= there", "Bad \u2026 there"),
        (f"Bad {'Qk' * 30} there", "Bad \u2026 there"),
        ("Ask ada@example.com about it", "Ask \u2026 about it"),
        ("Line one\r\n\tline\x00\x1b[31m two\u202e\u200b.", "Line one line [31m two ."),
        ("<html><title>502 Bad Gateway</title><hr>nginx</html>", "502 Bad Gateway nginx"),
        ("Incorrect%20model", "Incorrect model"),
        (
            'Refused: "an OLD lighthouse keeper, painted in oil, looks out" is not nice',
            'Refused: "\u2026" is not nice',
        ),
    ],
)
def test_what_must_not_be_seen_is_left_out(said: str, told: str) -> None:
    """Keys, tokens, addresses, pictures, people, what can't be printed, and the prompt."""
    assert shown(said) == told


@pytest.mark.parametrize("said", ["", "   ", KEY, f"<b>{KEY}</b>", PROMPT, "\x00"])
def test_when_nothing_is_left_there_is_no_detail(said: str) -> None:
    """Rather than a lone ellipsis."""
    assert shown(said) is None


def test_it_is_short() -> None:
    """And says that it was cut."""
    told = shown("word " * 1_000)
    assert told is not None
    assert len(told) == MAX_DETAIL_CHARS
    assert told.endswith(GAP)


def test_a_secret_that_is_cut_in_two_is_left_out() -> None:
    """The last word looked at is dropped unless it is whole: half of a secret isn't seen to be one."""
    filler = "<i>" * ((MAX_SAID_CHARS - 12) // 3)
    assert shown(f"Look {filler} elsewhere-abcdefghijkl0123456789") == "Look"


KEYS = st.text(string.ascii_letters + string.digits + string.punctuation, min_size=KEY_PIECE_CHARS, max_size=200)
ANYTHING = st.text(max_size=300)


@given(KEYS, ANYTHING, ANYTHING, ANYTHING, st.data())
def test_no_piece_of_the_key_survives(key: str, before: str, after: str, prompt: str, data: st.DataObject) -> None:
    """Whatever it is said with, wherever it is cut, and whatever else is left out around it."""
    start = data.draw(st.integers(0, len(key) - KEY_PIECE_CHARS))
    end = data.draw(st.integers(start + KEY_PIECE_CHARS, len(key)))
    told = redacted(f"{before}{key[start:end]}{after}", key=key, prompt=prompt) or ""
    pieces = {key[at : at + KEY_PIECE_CHARS] for at in range(len(key) - KEY_PIECE_CHARS + 1)}
    assert not [piece for piece in pieces if piece in told]


@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_is_said_can_be_shown(said: str, key: str, prompt: str) -> None:
    """On one line, printable, and within the limit."""
    told = redacted(said, key=key, prompt=prompt)
    assert told is None or (told.isprintable() and 0 < len(told) <= MAX_DETAIL_CHARS)
