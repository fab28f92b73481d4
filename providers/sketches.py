"""Drawing the offline provider's placeholder with Pillow: a small landscape, the references, the prompt, and the mark.

Plain blocking functions, for a thread; nothing but the request and its digest decides what is drawn.
"""

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from domain.providers import ImageOptions, OutputFormat, PictureRequest, Reference

MARK = "PLACEHOLDER / offline provider"
PREVIEW_SIDE_PX = 512
TIER_SIDES_PX = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
MAX_PIXELS = 4096 * 4096
MAX_LINES = 3
# The sun's glow is drawn small and enlarged: softness needs no detail.
GLOW_SCALE = 4

Colour = tuple[int, int, int]
# Sky above, sky below, sun, nearest hill.
PALETTES: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    "dawn": ((92, 124, 186), (255, 205, 178), (255, 244, 214), (64, 58, 96)),
    "dusk": ((38, 34, 86), (242, 128, 98), (255, 214, 140), (30, 22, 52)),
    "forest": ((150, 196, 190), (238, 242, 214), (255, 252, 226), (28, 66, 54)),
    "sea": ((64, 148, 196), (206, 238, 240), (255, 250, 230), (12, 62, 96)),
}
WHITE: Colour = (255, 255, 255)
_FORMATS = {OutputFormat.WEBP: "WEBP", OutputFormat.JPEG: "JPEG"}


class UnreadableReference(Exception):
    """A reference picture that Pillow can't open."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A finished drawing and the format that was asked for."""

    image: Image.Image
    format: str


def draw(request: PictureRequest, digest: str) -> Sketch:
    """The placeholder of this request. Raises UnreadableReference."""
    dice = random.Random(digest)  # noqa: S311 - repeatable on purpose
    width, height = size_of(request.options)
    sky_top, sky_low, sun, hill = PALETTES[_palette(request.options, dice)]
    shades = Image.linear_gradient("L").resize((width, height))
    image = ImageOps.colorize(shades, sky_top, sky_low)
    unit = math.sqrt(width * height) / 100
    _draw_sun(image, dice, sun, unit)
    _draw_hills(image, dice, sky_low, hill)
    _lay_references(image, request.references, unit)
    _write_prompt(image, request.prompt, unit)
    _write_mark(image, unit)
    return Sketch(image, _FORMATS.get(request.options.output_format or OutputFormat.PNG, "PNG"))


def encode(sketch: Sketch) -> bytes:
    """The whole picture as a file."""
    body = io.BytesIO()
    sketch.image.save(body, sketch.format)
    return body.getvalue()


def encode_preview(sketch: Sketch, sharpness: float) -> bytes:
    """A small JPEG, the sharper the nearer `sharpness` (0-1) is to one."""
    preview = sketch.image.copy()
    preview.thumbnail((PREVIEW_SIDE_PX, PREVIEW_SIDE_PX))
    preview = preview.filter(ImageFilter.GaussianBlur((1 - sharpness) ** 2 * 40))
    body = io.BytesIO()
    preview.save(body, "JPEG", quality=80)
    return body.getvalue()


def size_of(options: ImageOptions) -> tuple[int, int]:
    """Width and height in pixels: the size that was asked for, or about one megapixel (or the tier) in the ratio."""
    width, _, height = (options.size or "").partition("x")
    if width.isdecimal() and height.isdecimal() and 0 < int(width) * int(height) <= MAX_PIXELS:
        return int(width), int(height)
    across, _, down = (options.aspect_ratio or "1:1").partition(":")
    ratio = int(across) / int(down) if across.isdecimal() and down.isdecimal() and int(across) * int(down) else 1.0
    side = TIER_SIDES_PX.get(options.resolution or "1K", TIER_SIDES_PX["1K"])
    return _by_sixteen(side * math.sqrt(ratio)), _by_sixteen(side / math.sqrt(ratio))


def _by_sixteen(length: float) -> int:
    return max(16, round(length / 16) * 16)


def _palette(options: ImageOptions, dice: random.Random) -> str:
    chosen = dice.choice(sorted(PALETTES))
    return options.style if options.style in PALETTES else chosen


def _draw_sun(image: Image.Image, dice: random.Random, colour: Colour, unit: float) -> None:
    x, y, radius = image.width * dice.uniform(0.2, 0.8), image.height * dice.uniform(0.22, 0.4), unit * 9
    glow = Image.new("L", (math.ceil(image.width / GLOW_SCALE), math.ceil(image.height / GLOW_SCALE)))
    for factor, strength in ((2.6, 60), (1.7, 110), (1.0, 255)):
        centre, reach = (x / GLOW_SCALE, y / GLOW_SCALE), radius * factor / GLOW_SCALE
        ImageDraw.Draw(glow).circle(centre, reach, fill=strength)
    glow = glow.filter(ImageFilter.GaussianBlur(unit / 5)).resize(image.size, Image.Resampling.BICUBIC)
    image.paste(colour, (0, 0), glow)


def _draw_hills(image: Image.Image, dice: random.Random, far: Colour, near: Colour) -> None:
    canvas = ImageDraw.Draw(image)
    rows = 4
    for row in range(1, rows + 1):
        blend = row / rows
        colour = tuple(round(a + (b - a) * blend) for a, b in zip(far, near, strict=True))
        base, swing = image.height * (0.44 + 0.11 * row), image.height * dice.uniform(0.03, 0.08)
        waves, phase = dice.uniform(1.0, 2.6), dice.uniform(0, math.tau)
        ridge = [
            (x, base - swing * (math.sin(x / image.width * waves * math.tau + phase) + dice.uniform(-0.02, 0.02)))
            for x in range(0, image.width + 16, 16)
        ]
        canvas.polygon([(0, image.height), *ridge, (image.width, image.height)], fill=colour)


def _lay_references(image: Image.Image, references: Sequence[Reference], unit: float) -> None:
    """The references as a row of framed squares, right above the prompt's words."""
    if not references:
        return
    gap, frame = round(unit * 1.5), max(round(unit * 0.5), 1)
    side = min(round(unit * 18), (image.width - gap) // len(references) - gap)
    if side <= 2 * frame:
        return
    for number, reference in enumerate(references):
        left, top = gap + number * (side + gap), round(image.height * 0.76) - side
        card = ImageOps.expand(_thumbnail(reference, side - 2 * frame), border=frame, fill=WHITE)
        image.paste(card, (left, top))


def _thumbnail(reference: Reference, side: int) -> Image.Image:
    try:
        with Image.open(io.BytesIO(reference.picture.data)) as opened:
            return ImageOps.fit(opened.convert("RGB"), (side, side))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableReference(reference.name) from error


def _write_prompt(image: Image.Image, prompt: str, unit: float) -> None:
    font = ImageFont.load_default(size=max(unit * 3.6, 8))
    canvas = ImageDraw.Draw(image)
    margin = unit * 3
    lines = _wrapped(" ".join(prompt.split()), font, image.width - 2 * margin)
    canvas.multiline_text(
        (margin, image.height * 0.79),
        "\n".join(lines),
        font=font,
        fill=WHITE,
        stroke_width=unit / 8,
        stroke_fill=(0, 0, 0),
    )


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: float) -> list[str]:
    """As many lines as may be that fit; what is left over ends in an ellipsis."""
    lines = [""]
    for word in text[:400].split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width_px or not lines[-1]:
            lines[-1] = longer
        elif len(lines) < MAX_LINES:
            lines.append(word)
        else:
            lines[-1] += " \u2026"
            break
    return lines


def _write_mark(image: Image.Image, unit: float) -> None:
    font = ImageFont.load_default(size=max(unit * 3.2, 8))
    canvas = ImageDraw.Draw(image, "RGBA")
    left, top, pad = unit * 2.5, unit * 2.5, unit * 1.6
    box = canvas.textbbox((left + pad, top + pad), MARK, font=font)
    canvas.rounded_rectangle((left, top, box[2] + pad, box[3] + pad), radius=unit * 1.6, fill=(20, 20, 28, 215))
    canvas.text((left + pad, top + pad), MARK, font=font, fill=WHITE)
