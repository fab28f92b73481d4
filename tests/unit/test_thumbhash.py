"""ThumbHash as its author's own implementation computes it."""

from base64 import b64encode
from collections.abc import Callable
from time import perf_counter

import pytest

from storage.thumbhash import thumbhash

Pixel = Callable[[int, int], tuple[int, int, int, int]]


def painted(width_px: int, height_px: int, pixel: Pixel) -> bytes:
    """RGBA, row by row."""
    return bytes(value % 256 for y in range(height_px) for x in range(width_px) for value in pixel(x, y))


@pytest.mark.parametrize(
    ("width_px", "height_px", "pixel", "expected"),
    [
        (32, 24, lambda x, y: (x * x + 3 * y, y * y + 5 * x, x * y * 7 + 11 * x, 255), "3fcFFYYwZJdFdohkh2eIl2AjNJDr"),
        (17, 29, lambda x, y: (x * x * 3 + y, y * 13 + x * x, x * y * 5 + y * y, 255), "m8cFHAoAV1Y4U1N7aWYDnEuQxw=="),
        (
            23,
            32,
            lambda x, y: (x * x + 3 * y, y * y + 5 * x, x * y * 7 + 11 * x, x * x + y * y * 3),
            "3veFDAQHQFWVeJiHKQUhEGsedBtAN1IhAg==",
        ),
        (32, 1, lambda x, _: (x * 8, 0, 0, 255), "yvkWeb6Ed4eIiAiLdIhAhwg="),
        (1, 1, lambda _x, _y: (255, 255, 255, 255), "Pwh+BwAI9wiIh4hwj3CI+AiIAAAAAAAA"),
        (8, 8, lambda _x, _y: (0, 0, 0, 0), "AAiCBQAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="),
    ],
    ids=["landscape", "portrait", "see-through", "wide", "dot", "invisible"],
)
def test_the_bytes_are_those_of_the_reference(width_px: int, height_px: int, pixel: Pixel, expected: str) -> None:
    """The expected values were computed with the npm package thumbhash 0.1.1."""
    assert b64encode(thumbhash(width_px, height_px, painted(width_px, height_px, pixel))).decode() == expected


def test_a_flat_picture_has_no_waves() -> None:
    """Rounding errors are not blown up into a pattern."""
    assert thumbhash(10, 10, painted(10, 10, lambda _x, _y: (12, 34, 56, 255)))[5:] == bytes(19)


def test_it_is_cheap() -> None:
    """The largest placeholder takes under 10 ms."""
    pixels = painted(32, 32, lambda x, y: (x * 8, 200, y * 8, (x + y) * 4))
    times = []
    for _ in range(5):
        start = perf_counter()
        thumbhash(32, 32, pixels)
        times.append(perf_counter() - start)
    assert min(times) < 0.01
