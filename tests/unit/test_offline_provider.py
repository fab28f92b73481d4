"""The offline provider: repeatable pictures that say what they are, and misbehaviour on request."""

import asyncio
import io
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

import pytest
from PIL import Image

from domain.failures import FailureCode
from domain.pictures import EncodedPicture
from domain.providers import (
    ImageOptions,
    OutputFormat,
    PictureArrived,
    PictureFailed,
    PictureRequest,
    PreviewArrived,
    ProviderEvent,
)
from providers.catalogue import OFFLINE
from providers.offline import OfflineProvider
from providers.sketches import size_of
from tests.wire.pictures import FACE, asked
from tests.wire.server import ask

MODEL = "placeholder-1"
SMALL = "512x512"


def kinds(events: Sequence[ProviderEvent]) -> list[type]:
    """What came, by type."""
    return [type(event) for event in events]


async def said(prompt: str, *, index: int = 0) -> list[ProviderEvent]:
    """Everything a quick provider says to one prompt."""
    return await ask(OfflineProvider(0), asked(MODEL, prompt, index=index, size=SMALL))


async def picture(request: PictureRequest) -> bytes:
    """The picture's bytes."""
    last = (await ask(OfflineProvider(0), request))[-1]
    assert isinstance(last, PictureArrived)
    return last.data


async def failure_code(prompt: str, *, index: int = 0) -> FailureCode:
    """How the prompt fails."""
    last = (await said(prompt, index=index))[-1]
    assert isinstance(last, PictureFailed)
    return last.failure.code


async def test_three_previews_grow_sharper_and_then_comes_the_picture() -> None:
    """Three small JPEGs, each with more detail than the one before, precede a free PNG of the size asked for."""
    *previews, last = await said("A fox")
    assert kinds(previews) == [PreviewArrived] * 3
    sizes = [len(event.data) for event in previews if isinstance(event, PreviewArrived)]
    assert sizes == sorted(set(sizes))
    assert isinstance(last, PictureArrived)
    assert (last.cost_micro_usd, last.revised_prompt) == (0, None)
    assert last.request_id is not None
    assert last.request_id.startswith("offline-")
    with Image.open(io.BytesIO(last.data)) as image:
        assert (image.format, image.size) == ("PNG", (512, 512))


async def test_the_same_request_makes_the_same_bytes() -> None:
    """A repeated request repeats its picture; another prompt, index, seed, style or reference makes another one."""
    request = asked(MODEL, "A fox", size=SMALL, seed=1)
    other_options = [replace(request.options, seed=2), replace(request.options, style="sea")]
    others = [
        replace(request, prompt="A wolf"),
        replace(request, index=1),
        replace(request, references=(FACE,)),
        *(replace(request, options=options) for options in other_options),
    ]
    first = await picture(request)
    assert await picture(request) == first
    assert len({first, *[await picture(other) for other in others]}) == 6


async def test_the_references_and_the_mark_are_in_the_picture() -> None:
    """The reference's own colour shows on the picture, and the mark's dark plate stands in the upper left corner."""
    plain = Image.open(io.BytesIO(await picture(asked(MODEL, size=SMALL)))).convert("RGB")
    request = replace(asked(MODEL, size=SMALL), references=(FACE,))
    drawn = Image.open(io.BytesIO(await picture(request))).convert("RGB")
    count = len([pixel for pixel in drawn.get_flattened_data() if pixel == (255, 0, 0)])
    assert count > 5_000
    assert (255, 0, 0) not in set(plain.get_flattened_data())
    plate = plain.getpixel((20, 26))
    assert isinstance(plate, tuple)
    assert max(plate) < 80


async def test_an_unreadable_reference_is_a_failure_of_its_own() -> None:
    """A reference that can't be opened ends the call before any preview."""
    broken = replace(FACE, picture=EncodedPicture(b"not a picture", "image/png", 1, 1))
    (only,) = await ask(OfflineProvider(0), replace(asked(MODEL, size=SMALL), references=(broken,)))
    assert isinstance(only, PictureFailed)
    assert only.failure.code is FailureCode.REFERENCE_UNREADABLE


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (ImageOptions(), (1024, 1024)),
        (ImageOptions(size="1920x1080", aspect_ratio="1:1"), (1920, 1080)),
        (ImageOptions(aspect_ratio="16:9"), (1360, 768)),
        (ImageOptions(aspect_ratio="9:16", resolution="512"), (384, 688)),
        (ImageOptions(aspect_ratio="16:9", resolution="4K"), (5456, 3072)),
        (ImageOptions(size="99999x99999"), (1024, 1024)),
        (ImageOptions(aspect_ratio="0:0", resolution="9K"), (1024, 1024)),
    ],
)
def test_size_follows_the_options(options: ImageOptions, size: tuple[int, int]) -> None:
    """A size is taken as it is; a ratio gives about a megapixel, or the tier's area; nonsense gives the default."""
    assert size_of(options) == size


@pytest.mark.parametrize(("chosen", "written"), [("ORIGINAL", "PNG"), ("JPEG", "JPEG"), ("WEBP", "WEBP")])
async def test_the_output_format_is_honoured(chosen: str, written: str) -> None:
    """The file is of the format asked for."""
    data = await picture(asked(MODEL, size=SMALL, output_format=OutputFormat(chosen)))
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == written


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("[refuse]", FailureCode.REFUSED_INPUT),
        ("[rate-limit]", FailureCode.RATE_LIMITED),
        ("[fail]", FailureCode.PROVIDER_UNAVAILABLE),
        ("[crash]", FailureCode.PROVIDER_UNAVAILABLE),
    ],
)
async def test_some_failures_come_at_once(prompt: str, code: FailureCode) -> None:
    """What is decided before the work begins comes without a preview and costs nothing."""
    (only,) = await said(f"A fox {prompt}")
    assert isinstance(only, PictureFailed)
    assert (only.failure.code, only.failure.is_charged) == (code, False)
    assert only.failure.retry_after_s == (1 if code is FailureCode.RATE_LIMITED else None)


@pytest.mark.parametrize(
    ("prompt", "code"), [("[refuse-output]", FailureCode.REFUSED_OUTPUT), ("[empty]", FailureCode.EMPTY_RESULT)]
)
async def test_other_failures_come_after_the_previews(prompt: str, code: FailureCode) -> None:
    """What goes wrong with a finished picture comes after its previews and may be charged."""
    *previews, last = await said(f"A fox {prompt}")
    assert kinds(previews) == [PreviewArrived] * 3
    assert isinstance(last, PictureFailed)
    assert (last.failure.code, last.failure.is_charged) == (code, True)


async def test_a_bad_picture_is_bytes_that_are_no_picture() -> None:
    """`[bad-picture]` succeeds with bytes that nothing can open, for the engine to find out."""
    last = (await said("A fox [bad-picture]"))[-1]
    assert isinstance(last, PictureArrived)
    assert last.data == b"This is not a picture."


async def test_a_number_picks_one_picture_of_several() -> None:
    """`[refuse:2]` refuses the second picture alone, so that some succeed."""
    assert await failure_code("[refuse:2]", index=1) is FailureCode.REFUSED_INPUT
    for index in (0, 2):
        assert kinds(await said("[refuse:2]", index=index))[-1] is PictureArrived


async def test_a_rate_limit_can_pass() -> None:
    """`[rate-limit:once]` turns each picture away at its first attempt, and starts over after a success."""
    provider = OfflineProvider(0)
    first, second = (asked(MODEL, "[rate-limit:once]", index=index, size=SMALL) for index in (0, 1))
    outcomes = [kinds(await ask(provider, request))[-1] for request in (first, second, first, second, first)]
    assert outcomes == [PictureFailed, PictureFailed, PictureArrived, PictureArrived, PictureFailed]


async def test_memory_of_turned_away_pictures_is_bounded() -> None:
    """However many pictures are turned away, only the last thousand are remembered."""
    provider = OfflineProvider(0)
    for number in range(1_005):
        await ask(provider, asked(MODEL, f"[rate-limit:once] {number}"))
    assert len(provider._turned_away) == 1_000


async def test_slow_takes_its_time_and_can_be_left() -> None:
    """`[slow:SECONDS]` spreads the seconds over the previews, and leaving early doesn't wait for them."""
    started = monotonic()
    assert kinds(await said("[slow:0.6]"))[-1] is PictureArrived
    assert monotonic() - started >= 0.6
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await said("[slow]")


@pytest.mark.parametrize("prompt", ["[slow:abc]", "[unknown]", "[]", "[refuse", "refuse"])
async def test_other_brackets_mean_nothing(prompt: str) -> None:
    """Only the documented words have a meaning; an odd number of seconds means the usual ones."""
    events = OfflineProvider(0).generate(asked(MODEL, prompt, size=SMALL))
    if prompt.startswith("[slow"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(events)
    else:
        assert kinds([event async for event in events])[-1] is PictureArrived


def test_crash_kills_the_process_where_it_is_allowed() -> None:
    """After the first preview, `[crash]` ends the process as a power cut would."""
    script = (
        "import asyncio\n"
        "from providers.offline import OfflineProvider\n"
        "from tests.wire.pictures import asked\n"
        "async def main():\n"
        "    provider = OfflineProvider(0, allow_crash=True)\n"
        "    async for event in provider.generate(asked('m', '[crash]', size='512x512')):\n"
        "        print(type(event).__name__, flush=True)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "PreviewArrived\n")


async def test_nothing_can_be_wrong_with_it() -> None:
    """It needs no key, has no problem, and passes its check."""
    provider = OfflineProvider()
    assert provider.problem is None
    assert provider.models == OFFLINE.models
    await provider.check()
    await provider.aclose()
