"""ThumbHash: a picture's colours and rough shapes in some 25 bytes, shown while the picture loads.

Written out here because the packages that exist fail on transparency or pin an old Pillow.
Source: github.com/evanw/thumbhash, js/thumbhash.js (2026-11).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, floor, pi
from operator import mul

_NOISE = 1e-9
"""What is left of a flat channel after rounding errors: no shape, and nothing to stretch to full scale."""


@dataclass(frozen=True, slots=True)
class _Channel:
    """One channel as waves: the average, the strongest wave, and every wave as 0-1 of the strongest."""

    average: float
    scale: float
    waves: tuple[float, ...]


def thumbhash(width_px: int, height_px: int, rgba: bytes) -> bytes:
    """The ThumbHash of at most 100x100 pixels, given row by row with straight (not premultiplied) alpha."""
    luminance, yellow_blue, red_green, alpha = _lpqa(rgba)
    has_alpha = min(alpha) < 1
    limit, longest = (5 if has_alpha else 7), max(width_px, height_px)
    nx, ny = (max(1, _round(limit * side / longest)) for side in (width_px, height_px))
    light = _encode(luminance, width_px, height_px, max(3, nx), max(3, ny))
    p, q = (_encode(channel, width_px, height_px, 3, 3) for channel in (yellow_blue, red_green))
    is_landscape = width_px > height_px
    colours = (
        _round(63 * light.average)
        | _round(31.5 + 31.5 * p.average) << 6
        | _round(31.5 + 31.5 * q.average) << 12
        | _round(31 * light.scale) << 18
        | has_alpha << 23
    )
    scales = (ny if is_landscape else nx) | _round(63 * p.scale) << 3 | _round(63 * q.scale) << 9 | is_landscape << 15
    head = colours.to_bytes(3, "little") + scales.to_bytes(2, "little")
    waves = light.waves + p.waves + q.waves
    if has_alpha:
        opacity = _encode(alpha, width_px, height_px, 5, 5)
        head += bytes([_round(15 * opacity.average) | _round(15 * opacity.scale) << 4])
        waves += opacity.waves
    return head + _nibbles(waves)


def _lpqa(rgba: bytes) -> tuple[list[float], list[float], list[float], list[float]]:
    """Luminance, yellow-blue, red-green and alpha, over the picture's average colour where it is transparent."""
    alpha = [value / 255 for value in rgba[3::4]]
    weight = sum(alpha) or 1.0
    red, green, blue = (_over_average(rgba[band::4], alpha, weight) for band in range(3))
    pixels = list(zip(red, green, blue, strict=True))
    return (
        [(r + g + b) / 3 for r, g, b in pixels],
        [(r + g) / 2 - b for r, g, b in pixels],
        [r - g for r, g, _ in pixels],
        alpha,
    )


def _over_average(band: bytes, alpha: Sequence[float], weight: float) -> list[float]:
    average = sum(map(mul, band, alpha)) / weight / 255
    return [average * (1 - a) + a * value / 255 for value, a in zip(band, alpha, strict=True)]


def _encode(channel: Sequence[float], width_px: int, height_px: int, nx: int, ny: int) -> _Channel:
    """The cosine transform's lower triangle, rows before columns: a few thousand multiplications, about 1 ms."""
    rows = [channel[start : start + width_px] for start in range(0, width_px * height_px, width_px)]
    across = [[sum(map(mul, row, wave)) for row in rows] for wave in _waves(width_px, nx)]
    down = _waves(height_px, ny)
    found = [
        sum(map(mul, across[cx], down[cy])) / (width_px * height_px)
        for cy in range(ny)
        for cx in range(nx)
        if cx * ny < nx * (ny - cy)
    ]
    scale = max(map(abs, found[1:]))
    if scale < _NOISE:
        return _Channel(found[0], 0.0, (0.0,) * (len(found) - 1))
    return _Channel(found[0], scale, tuple(0.5 + 0.5 / scale * wave for wave in found[1:]))


def _waves(length: int, count: int) -> list[list[float]]:
    return [[cos(pi / length * wave * (at + 0.5)) for at in range(length)] for wave in range(count)]


def _nibbles(waves: Sequence[float]) -> bytes:
    values = [_round(15 * wave) for wave in waves]
    values += [0] * (len(values) % 2)
    return bytes(low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True))


def _round(value: float) -> int:
    """Halves go up, as in JavaScript: every implementation must give the same bytes."""
    return floor(value + 0.5)
