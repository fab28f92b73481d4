"""Looking into pictures: what is refused and in which words, and what becomes of the good ones."""

import asyncio
import hashlib
import io
import math
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest
from PIL import Image, ImageChops, ImageStat

from domain.errors import InvalidImage, InvalidImageReason
from domain.pictures import EncodedPicture, PictureLimits, Variants, VariantSize
from storage.imaging import PillowImaging
from tests import pictures
from tests.pictures import BLUE, GREEN, RED, WHITE

LIMITS = PictureLimits()
SIZES = (VariantSize.LARGE, VariantSize.MEDIUM, VariantSize.THUMBNAIL)


@pytest.fixture
def imaging() -> PillowImaging:
    """The adapter as the server uses it."""
    return PillowImaging()


def opened(picture: EncodedPicture) -> Image.Image:
    """A made picture, decoded."""
    return Image.open(io.BytesIO(picture.data))


def is_close(seen: object, expected: tuple[int, ...], tolerance: int = 12) -> bool:
    """Whether a pixel is about this colour: JPEG is never exact."""
    return isinstance(seen, tuple) and all(abs(a - b) <= tolerance for a, b in zip(seen, expected, strict=True))


def shows_corners(image: Image.Image) -> bool:
    """Whether the four quarters are where they belong."""
    width, height = image.size
    left, right, top, bottom = width // 4, width * 3 // 4, height // 4, height * 3 // 4
    expected = {(left, top): RED, (right, top): GREEN, (left, bottom): BLUE, (right, bottom): WHITE}
    upright = image.convert("RGB")
    return all(is_close(upright.getpixel(at), color) for at, color in expected.items())


async def refusal(imaging: PillowImaging, data: bytes, limits: PictureLimits = LIMITS) -> InvalidImage:
    """The error of what is no picture for us."""
    with pytest.raises(InvalidImage) as error:
        await imaging.take_in(io.BytesIO(data), limits)
    return error.value


async def variants_of(imaging: PillowImaging, data: bytes) -> Variants:
    """The smaller pictures."""
    _, variants = await imaging.take_in(io.BytesIO(data), LIMITS)
    return variants


@pytest.mark.parametrize(
    ("data", "media_type", "size_px"),
    [
        (pictures.jpeg(), "image/jpeg", (400, 300)),
        (pictures.transparent_png(), "image/png", (400, 300)),
        (pictures.palette_png(), "image/png", (400, 300)),
        (pictures.encoded(pictures.corners(), "WEBP"), "image/webp", (400, 300)),
        (pictures.animated_gif(), "image/gif", (200, 100)),
        (pictures.encoded(pictures.corners(), "AVIF"), "image/avif", (400, 300)),
        (pictures.heic(), "image/heic", (400, 300)),
        (pictures.cmyk_jpeg(), "image/jpeg", (700, 400)),
        (pictures.encoded(pictures.corners(), "MPO"), "image/jpeg", (400, 300)),
    ],
    ids=["jpeg", "png", "palette", "webp", "gif", "avif", "heic", "cmyk", "mpo"],
)
async def test_every_format_is_known_by_its_bytes(
    imaging: PillowImaging, data: bytes, media_type: str, size_px: tuple[int, int]
) -> None:
    """Type, size and hash are told from the content; the body is left at its start."""
    body = io.BytesIO(data)
    facts, _ = await imaging.take_in(body, LIMITS)
    assert (facts.media_type, facts.width_px, facts.height_px, facts.size_bytes) == (media_type, *size_px, len(data))
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    assert body.tell() == 0


async def test_nothing_is_not_a_picture(imaging: PillowImaging) -> None:
    """An empty file has a reason of its own."""
    error = await refusal(imaging, b"")
    assert (error.reason, error.message) == (InvalidImageReason.EMPTY, "The file is empty.")


@pytest.mark.parametrize(
    "data", [b"just text", bytes(1000), b"<html><img></html>", b"\x00\x00\x00\x18ftypmp42" + bytes(20)]
)
async def test_other_files_are_not_pictures(imaging: PillowImaging, data: bytes) -> None:
    """Text, zeros, a page, a video."""
    error = await refusal(imaging, data)
    assert error.reason is InvalidImageReason.NOT_AN_IMAGE
    assert error.message == "The file is not a picture. Use JPEG, PNG, WebP, GIF, AVIF or HEIC."


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (pictures.svg(), "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (pictures.encoded(pictures.corners(), "BMP"), "BMP"),
        (pictures.encoded(pictures.corners(), "TIFF"), "TIFF"),
    ],
)
async def test_formats_that_are_not_taken_are_named(imaging: PillowImaging, data: bytes, name: str) -> None:
    """The user reads what the file is and what to use instead."""
    error = await refusal(imaging, data)
    assert error.reason is InvalidImageReason.UNSUPPORTED_FORMAT
    assert error.message == f"{name} files are not supported. Use JPEG, PNG, WebP, GIF, AVIF or HEIC."


async def test_too_many_bytes_are_refused_before_they_are_read(imaging: PillowImaging) -> None:
    """The length decides, whatever the content; the message names both numbers."""
    error = await refusal(imaging, bytes(1001), PictureLimits(max_bytes=1000))
    assert error.reason is InvalidImageReason.TOO_LARGE
    assert error.message == "The picture has 1,001 bytes; at most 1,000 are allowed."


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (pictures.bomb_png(20_000, 20_000), "400,000,000"),
        (pictures.bomb_png(10_000, 10_000), "100,000,000"),
        (pictures.bomb_webp(16_000, 16_000), "256,000,000"),
    ],
)
async def test_too_many_pixels_are_refused_by_the_header(imaging: PillowImaging, data: bytes, pixels: str) -> None:
    """A few bytes that promise hundreds of megapixels cost nothing, and Pillow's own warning is not heard."""
    start = perf_counter()
    error = await refusal(imaging, data)
    assert perf_counter() - start < 0.5
    assert error.reason is InvalidImageReason.TOO_MANY_PIXELS
    assert error.message == f"The picture has {pixels} pixels; at most 50,000,000 are allowed."


@pytest.mark.parametrize(
    "data",
    [
        pictures.noisy_jpeg(1600, 1200),
        pictures.transparent_png(),
        pictures.encoded(pictures.corners(), "WEBP"),
        pictures.encoded(pictures.corners(), "AVIF"),
        pictures.heic(),
        pictures.encoded(pictures.corners(), "GIF"),
    ],
    ids=["jpeg", "png", "webp", "avif", "heic", "gif"],
)
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
async def test_a_cut_off_picture_is_refused(imaging: PillowImaging, data: bytes, kept: float) -> None:
    """Wherever the file was cut off, also where libjpeg would only paint the rest grey."""
    error = await refusal(imaging, data[: int(len(data) * kept)])
    assert error.reason is InvalidImageReason.TRUNCATED
    assert error.message == "The picture is damaged or incomplete."


async def test_flipped_bytes_in_a_png_are_noticed(imaging: PillowImaging) -> None:
    """A checksum that doesn't fit means damage."""
    data = bytearray(pictures.transparent_png())
    data[data.index(b"IDAT") + 10] ^= 0xFF
    assert (await refusal(imaging, bytes(data))).reason is InvalidImageReason.TRUNCATED


@pytest.mark.parametrize("chunk", [b"zTXt", b"iCCP"])
async def test_chunks_that_unpack_to_gigabytes_do_no_harm(imaging: PillowImaging, chunk: bytes) -> None:
    """A comment or profile of 200 MB in 200 kB is refused quickly, without unpacking it."""
    data = pictures.stuffed_png(chunk, 200)
    start = perf_counter()
    error = await refusal(imaging, data)
    assert perf_counter() - start < 0.2
    assert error.reason is InvalidImageReason.TRUNCATED


async def test_variants_are_shrunk_in_steps_to_their_longest_side(imaging: PillowImaging) -> None:
    """600, 300 and 100 px, in proportion, all JPEG for an opaque picture."""
    variants = await variants_of(imaging, pictures.jpeg(2000, 1000))
    made = [variants.pictures[size] for size in SIZES]
    assert [(picture.width_px, picture.height_px) for picture in made] == [(600, 300), (300, 150), (100, 50)]
    assert [opened(picture).size for picture in made] == [(600, 300), (300, 150), (100, 50)]
    assert {picture.media_type for picture in made} == {"image/jpeg"}
    assert {opened(picture).format for picture in made} == {"JPEG"}
    assert all(shows_corners(opened(picture)) for picture in made)


async def test_nothing_is_enlarged(imaging: PillowImaging) -> None:
    """A 50 px picture stays 50 px in every size."""
    variants = await variants_of(imaging, pictures.jpeg(50, 40))
    assert [opened(variants.pictures[size]).size for size in SIZES] == [(50, 40)] * 3


@pytest.mark.parametrize(
    ("size_px", "expected"),
    [((400, 300), [(400, 300), (300, 225), (100, 75)]), ((9000, 2), [(600, 1), (300, 1), (100, 1)])],
    ids=["between two sizes", "a line"],
)
async def test_only_the_longest_side_counts(
    imaging: PillowImaging, size_px: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    """A picture is shrunk where it is larger, and no side becomes 0."""
    variants = await variants_of(imaging, pictures.jpeg(*size_px))
    assert [opened(variants.pictures[size]).size for size in SIZES] == expected


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_every_orientation_ends_upright(imaging: PillowImaging, orientation: int) -> None:
    """All eight EXIF orientations, in the facts, the variants and what providers get."""
    data = pictures.private_jpeg(orientation, 1200, 800)
    facts, variants = await imaging.take_in(io.BytesIO(data), LIMITS)
    assert (facts.width_px, facts.height_px) == (1200, 800)
    for picture in (variants.pictures[VariantSize.LARGE], await imaging.for_provider(data, 600)):
        assert (picture.width_px, picture.height_px) == (600, 400)
        assert shows_corners(opened(picture))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
async def test_broken_exif_means_upright(imaging: PillowImaging) -> None:
    """Unreadable metadata is no reason to refuse a picture."""
    data = pictures.encoded(pictures.corners(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    facts, _ = await imaging.take_in(io.BytesIO(data), LIMITS)
    assert (facts.width_px, facts.height_px) == (400, 300)


@pytest.mark.parametrize("has_profile", [True, False])
@pytest.mark.parametrize("orientation", [1, 6])
async def test_no_metadata_survives(imaging: PillowImaging, orientation: int, has_profile: bool) -> None:
    """Place, camera, comment, XMP and colour profile are gone from everything that is made."""
    data = pictures.private_jpeg(orientation, 1200, 800, has_profile=has_profile)
    assert all(secret in data for secret in (b"SecretPhone", b"SecretComment", b"SecretPlace"))
    assert (b"ICC_PROFILE" in data) is has_profile
    variants = await variants_of(imaging, data)
    made = [*variants.pictures.values(), await imaging.for_provider(data, 600)]
    made += [await imaging.preview(data, LIMITS, 300)]
    for picture in made:
        image = opened(picture)
        assert not any(word in picture.data for word in (b"Secret", b"ICC_PROFILE", b"Exif", b"adobe"))
        assert dict(image.getexif()) == {}
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


async def test_colours_are_converted_by_their_profile(imaging: PillowImaging) -> None:
    """A profile that swaps red and green is honoured before it is thrown away."""
    variants = await variants_of(imaging, pictures.swapped_profile_png())
    assert is_close(opened(variants.pictures[VariantSize.LARGE]).getpixel((32, 32)), (0, 255, 0))


async def test_a_broken_colour_profile_is_passed_over(imaging: PillowImaging) -> None:
    """The pixels are shown as they are."""
    data = pictures.encoded(pictures.corners(), "PNG", icc_profile=b"no profile" * 30)
    variants = await variants_of(imaging, data)
    assert shows_corners(opened(variants.pictures[VariantSize.LARGE]))


async def test_transparency_is_kept_as_webp(imaging: PillowImaging) -> None:
    """See-through halves stay so in every variant, and in the PNG that providers get."""
    data = pictures.transparent_png(1200, 800)
    variants = await variants_of(imaging, data)
    made = [variants.pictures[size] for size in SIZES]
    assert [picture.media_type for picture in made] == ["image/webp"] * 3
    reference = await imaging.for_provider(data, 600)
    assert reference.media_type == "image/png"
    for picture in (*made, reference):
        image = opened(picture)
        alpha = image.convert("RGBA").getchannel("A")
        assert alpha.getpixel((image.width // 4, image.height // 2)) == 0
        assert alpha.getpixel((image.width * 3 // 4, image.height // 2)) == 255
        assert is_close(image.convert("RGB").getpixel((image.width * 3 // 4, image.height // 2)), RED)


async def test_an_alpha_channel_that_hides_nothing_is_dropped(imaging: PillowImaging) -> None:
    """A fully opaque RGBA picture becomes JPEG."""
    data = pictures.encoded(pictures.corners().convert("RGBA"), "PNG")
    variants = await variants_of(imaging, data)
    assert variants.pictures[VariantSize.LARGE].media_type == "image/jpeg"
    assert (await imaging.for_provider(data, 600)).media_type == "image/jpeg"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pictures.cmyk_jpeg(), (255, 0, 0)),
        (pictures.deep_gray_png(), (156, 156, 156)),
        (pictures.encoded(Image.new("L", (200, 100), 77), "PNG"), (77, 77, 77)),
        (pictures.encoded(Image.new("1", (200, 100), 1), "PNG"), (255, 255, 255)),
        (pictures.encoded(Image.new("L", (200, 100), 77), "JPEG"), (77, 77, 77)),
        (pictures.animated_gif(), RED),
    ],
    ids=["cmyk", "16 bits", "gray", "black and white", "gray jpeg", "first frame"],
)
async def test_every_colour_mode_becomes_rgb(
    imaging: PillowImaging, data: bytes, expected: tuple[int, int, int]
) -> None:
    """Variants are RGB with the colours that were meant."""
    picture = (await variants_of(imaging, data)).pictures[VariantSize.THUMBNAIL]
    assert (picture.media_type, opened(picture).mode) == ("image/jpeg", "RGB")
    assert is_close(opened(picture).getpixel((50, 20)), expected)


async def test_a_palette_with_a_transparent_colour_stays_transparent(imaging: PillowImaging) -> None:
    """The fourth quarter is a hole, the others keep their colours."""
    picture = (await variants_of(imaging, pictures.palette_png())).pictures[VariantSize.THUMBNAIL]
    image = opened(picture).convert("RGBA")
    assert is_close(image.getpixel((25, 18)), (*RED, 255))
    assert image.getpixel((75, 56))[3:] == (0,)  # type: ignore[index]  # a pixel of four bands is a tuple


async def test_the_placeholder_is_a_thumbhash(imaging: PillowImaging) -> None:
    """Portrait and landscape differ in the shape bit; the same picture gives the same placeholder."""
    wide = await variants_of(imaging, pictures.jpeg(400, 300))
    tall = await variants_of(imaging, pictures.jpeg(300, 400))
    again = await variants_of(imaging, pictures.jpeg(400, 300))
    assert wide.placeholder == again.placeholder
    assert wide.placeholder != tall.placeholder
    assert len(wide.placeholder) in range(28, 36)


async def test_a_reference_is_shrunk_for_its_provider(imaging: PillowImaging) -> None:
    """The longest side keeps the model's limit; a smaller picture keeps its size."""
    picture = await imaging.for_provider(pictures.jpeg(3000, 1500), 2048)
    assert (picture.media_type, picture.width_px, picture.height_px) == ("image/jpeg", 2048, 1024)
    assert opened(picture).size == (2048, 1024)
    assert opened(await imaging.for_provider(pictures.jpeg(300, 150), 2048)).size == (300, 150)


async def test_a_broken_reference_is_refused(imaging: PillowImaging) -> None:
    """A reference that has rotted in the store is an error, not a gap."""
    with pytest.raises(InvalidImage):
        await imaging.for_provider(pictures.noisy_jpeg(800, 600)[:9000], 512)


async def test_a_preview_is_checked_and_small(imaging: PillowImaging) -> None:
    """Streamed bytes are untrusted: the limits hold, and the result is a small JPEG of ours."""
    picture = await imaging.preview(pictures.jpeg(1024, 1024), LIMITS, 256)
    assert (picture.media_type, picture.width_px, picture.height_px) == ("image/jpeg", 256, 256)
    with pytest.raises(InvalidImage) as caught:
        await imaging.preview(pictures.bomb_png(20_000, 20_000), LIMITS, 256)
    assert caught.value.reason is InvalidImageReason.TOO_MANY_PIXELS


async def test_shrinking_keeps_the_quality(imaging: PillowImaging) -> None:
    """What the short cuts cost, beside the JPEG encoding that the slow way has too, is under 1 dB."""
    data = pictures.noisy_jpeg(4000, 3000)
    full = Image.open(io.BytesIO(data)).convert("RGB")
    made = opened((await variants_of(imaging, data)).pictures[VariantSize.LARGE])
    best = full.resize(made.size, Image.Resampling.LANCZOS)
    encoded = Image.open(io.BytesIO(pictures.encoded(best, "JPEG", quality=85)))
    assert psnr(made, best) > psnr(encoded, best) - 1


def psnr(one: Image.Image, other: Image.Image) -> float:
    """How alike two pictures are, in decibels."""
    stat = ImageStat.Stat(ImageChops.difference(one, other))
    return 10 * math.log10(255**2 * sum(stat.count) / sum(stat.sum2))


async def test_the_loop_goes_on_while_pictures_are_made(imaging: PillowImaging) -> None:
    """Four large pictures at once never hold the event loop for 50 ms, and only two are decoded at a time."""
    data = pictures.noisy_jpeg(4000, 3000)
    await imaging.take_in(io.BytesIO(data), LIMITS)
    work = asyncio.gather(*(imaging.take_in(io.BytesIO(data), LIMITS) for _ in range(4)))
    longest = 0.0
    while not work.done():
        start = perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, perf_counter() - start)
        assert imaging._limiter.borrowed_tokens <= 2
    assert len(await work) == 4
    assert longest < 0.05


def test_a_large_photo_fits_into_forty_megabytes(tmp_path: Path) -> None:
    """Taking in a 12 megapixel JPEG raises a process's peak memory by less than 40 MiB."""
    (tmp_path / "small.jpg").write_bytes(pictures.noisy_jpeg(400, 300))
    (tmp_path / "large.jpg").write_bytes(pictures.noisy_jpeg(4000, 3000))
    program = """
import resource, sys
from domain.pictures import PictureLimits
from storage import pixels
for name in sys.argv[1:]:
    with open(name, "rb") as body:
        pixels.take_in(body, PictureLimits())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "small.jpg"), str(tmp_path / "large.jpg")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before_kib, after_kib = map(int, printed.split())
    assert after_kib - before_kib < 40 * 1024
