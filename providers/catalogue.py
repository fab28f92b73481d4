"""What each vendor's models can do, as data; no calls, and no prices. Unknown ids get their vendor's general limits.

Model names age in months: an entry is a fact with a source and a date, and an id that isn't here still passes through.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from domain.providers import ImageModel, ImageOptions, OutputFormat, ProviderKind, QualityWord, SizeRule, is_model_id

MAX_OFFERED = 500


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One vendor's models, the default one first and the retired ones last; `general` is the pattern for unknown ids."""

    kind: ProviderKind
    name: str
    general: ImageModel
    models: tuple[ImageModel, ...] = ()
    needs_key: bool = True
    needs_base_url: bool = False

    def model(self, id: str) -> ImageModel:
        """The model's entry, or the vendor's general limits under that id."""
        known = next((model for model in self.models if model.id == id), None)
        return known or replace(self.general, id=id, name=id)

    def offered(self, ids: Sequence[str] | None) -> list[ImageModel]:
        """Of what a vendor lists, the models we know first; without a list, those we know and that aren't retired.

        Nobody can use a longer name, or read a longer list.
        """
        if ids is None:
            return [model for model in self.models if not model.is_retired]
        listed = dict.fromkeys(id for id in ids if is_model_id(id))
        known = {model.id: model for model in self.models if model.id in listed}
        others = (id for id in listed if id not in known)
        return [*known.values(), *map(self.model, islice(others, MAX_OFFERED - len(known)))]


def _gone(id: str, replaced_by: str, pattern: ImageModel) -> ImageModel:
    return replace(pattern, id=id, name=id, is_retired=True, replaced_by=replaced_by)


# Source: our own offline adapter, which honours all of these.
_OFFLINE = ImageModel(
    id="placeholder-1",
    name="Placeholder",
    sizes=("512x512", "1024x1024", "1536x1024", "1024x1536", "1920x1080", "1080x1920"),
    aspect_ratios=("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"),
    resolutions=("512", "1K", "2K", "4K"),
    styles=("dawn", "dusk", "forest", "sea"),
    output_formats=(OutputFormat.ORIGINAL, OutputFormat.PNG, OutputFormat.WEBP, OutputFormat.JPEG),
    max_references=16,
    streams_previews=True,
    takes_seed=True,
)

OFFLINE = Catalogue(ProviderKind.OFFLINE, "Offline placeholder", _OFFLINE, (_OFFLINE,), needs_key=False)


# Source: openai 3.52.0, types/image_generate_params.py and types/image_edit_params.py (2026-11-20). Prompt, the three
# standard sizes, qualities, backgrounds and 16 references hold for every GPT image model.
_OPENAI = ImageModel(
    id="gpt-image",
    name="GPT Image",
    sizes=("auto", "1024x1024", "1536x1024", "1024x1536"),
    qualities=("auto", "low", "medium", "high"),
    # Source: what DALL-E called so; the SDK itself calls both words deprecated for these models.
    quality_words=(QualityWord("standard", quality="medium"), QualityWord("hd", quality="high")),
    backgrounds=("auto", "opaque", "transparent"),
    output_formats=(OutputFormat.ORIGINAL, OutputFormat.PNG, OutputFormat.WEBP, OutputFormat.JPEG),
    max_references=16,
)
_GPT_IMAGE = replace(_OPENAI, streams_previews=True)

# Source: same file: any WIDTHxHEIGHT in multiples of 16, 1:3 to 3:1, up to 3840x2160, for gpt-image-2 and 2.5; the
# pixels by docs.anyfast.ai and docs.fast-token.com (2026-11-20).
_GPT_IMAGE_2 = replace(
    _GPT_IMAGE,
    sizes=(*_OPENAI.sizes, "2048x2048", "2048x1152", "1152x2048", "3840x2160", "2160x3840"),
    size_rule=SizeRule(step_px=16, max_side_px=3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3),
)
_GPT_IMAGE_25 = replace(_GPT_IMAGE_2, qualities=(*_OPENAI.qualities, "xhigh", "max"))

OPENAI = Catalogue(
    ProviderKind.OPENAI,
    "OpenAI",
    _OPENAI,
    (
        replace(_GPT_IMAGE_25, id="gpt-image-2.5-sunburst", name="GPT Image 2.5 Sunburst"),
        replace(_GPT_IMAGE_25, id="gpt-image-2.5-flare", name="GPT Image 2.5 Flare"),
        # Source: openai 3.52.0 names both 2.6 models in types/image_model.py only, so nothing beyond the general
        # limits is claimed for them (2026-11-20).
        replace(_GPT_IMAGE, id="gpt-image-2.6-sunburst", name="GPT Image 2.6 Sunburst"),
        replace(_GPT_IMAGE, id="gpt-image-2.6-flare", name="GPT Image 2.6 Flare"),
        replace(_GPT_IMAGE_2, id="gpt-image-2", name="GPT Image 2"),
        replace(_GPT_IMAGE, id="gpt-image-1.5", name="GPT Image 1.5"),
        replace(_GPT_IMAGE, id="gpt-image-1-mini", name="GPT Image 1 mini"),
        # Source: openai 3.52.0, types/image_model.py: shut down 2026-10-23; the DALL-E models on 2026-05-12.
        _gone("gpt-image-1", "gpt-image-2.5-sunburst", _OPENAI),
        _gone("dall-e-3", "gpt-image-2.5-sunburst", _OPENAI),
        _gone("dall-e-2", "gpt-image-2.5-flare", _OPENAI),
    ),
)

# No server of this kind is known beforehand, so all that OpenAI's API ever took is let through, and any size that is not
# absurd; what a server doesn't take, it refuses. Source: openai 3.52.0, types/image_generate_params.py (2026-11-21).
_COMPATIBLE = ImageModel(
    id="openai-compatible",
    name="OpenAI-compatible",
    sizes=("auto", "512x512", "1024x1024", "1536x1024", "1024x1536", "1792x1024", "1024x1792"),
    size_rule=SizeRule(step_px=1, max_side_px=4096, min_pixels=64 * 64, max_pixels=4096 * 4096, max_ratio=64),
    qualities=("auto", "low", "medium", "high", "standard", "hd"),
    styles=("vivid", "natural"),
    backgrounds=("auto", "opaque", "transparent"),
    output_formats=(OutputFormat.ORIGINAL, OutputFormat.PNG, OutputFormat.WEBP, OutputFormat.JPEG),
    max_references=16,
    takes_seed=True,
)

COMPATIBLE = Catalogue(
    ProviderKind.OPENAI_COMPATIBLE, "OpenAI-compatible", _COMPATIBLE, needs_key=False, needs_base_url=True
)

# Source: gab.ai/docs/api and /api-endpoints: OpenAI's endpoint for generations and none for edits; models are those of its
# list, priced in credits (2026-11-21).
GAB = Catalogue(ProviderKind.GAB, "Gab AI", replace(_COMPATIBLE, id="gab-image", name="Gab AI image", max_references=0))


# Source: docs.x.ai/developers/rest-api-reference/inference/images and /model-capabilities/images/generation (2026-11-21).
# Tiers are written here as for every vendor ("1K"); the adapter sends them in lower case, as xAI wants them. There is no
# choice of file format, and with a single reference the picture keeps the reference's shape.
_GROK_RATIOS = (
    *("auto", "1:1", "3:4", "4:3", "9:16", "16:9", "2:3", "3:2", "9:19.5", "19.5:9", "9:20", "20:9", "1:2", "2:1"),
)
_GROK = ImageModel(
    id="grok-image",
    name="Grok image",
    aspect_ratios=_GROK_RATIOS,
    resolutions=("1K", "2K"),
    quality_words=(QualityWord("standard", resolution="1K"), QualityWord("hd", resolution="2K")),
    output_formats=(OutputFormat.ORIGINAL,),
    max_references=3,
)
_GROK_2 = replace(
    _GROK,
    id="grok-imagine-image-2.0",
    name="Grok Imagine 2.0",
    aspect_ratios=(*_GROK_RATIOS, "21:9", "5:2"),
    resolutions=("1K", "1.5K", "2K"),
    qualities=("low", "medium"),
    quality_words=(QualityWord("standard", quality="low"), QualityWord("hd", quality="medium")),
    max_references=5,
    # xAI's own defaults, said out loud, because the price depends on them.
    defaults=ImageOptions(resolution="1K", quality="medium"),
)

XAI = Catalogue(
    ProviderKind.XAI,
    "xAI",
    _GROK,
    (
        _GROK_2,
        replace(_GROK, id="grok-imagine-image", name="Grok Imagine"),
        # Source: docs.x.ai/developers/migration/imagine-image-quality-nov-2: retired on 2026-11-02, with -pro, which led to
        # it; 2.0 answers to both names. grok-2-image is absent from the documentation (2026-11-21).
        _gone("grok-imagine-image-quality", "grok-imagine-image-2.0", _GROK),
        _gone("grok-imagine-image-pro", "grok-imagine-image-2.0", _GROK),
        _gone("grok-2-image", "grok-imagine-image", _GROK),
        _gone("grok-2-image-1212", "grok-imagine-image", _GROK),
    ),
)


# Source: google-genai 3.4.0, _gaos/types/interactions/imageconfig.py: ratios and tiers (2026-11-20).
_TEN_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_FOURTEEN_RATIOS = (*_TEN_RATIOS, "1:4", "4:1", "1:8", "8:1")

# These models have no qualities: what others call so is a tier here.
_STANDARD = QualityWord("standard", resolution="1K")

# The product's own default is a wide picture at the highest tier. Source: ai.google.dev/gemini-api/docs: 14 references
# per request, one picture per call, no choice of format (2026-11-20).
_GEMINI = ImageModel(
    id="gemini-image",
    name="Gemini image",
    aspect_ratios=_FOURTEEN_RATIOS,
    resolutions=("512", "1K", "2K", "4K"),
    quality_words=(_STANDARD, QualityWord("hd", resolution="4K")),
    output_formats=(OutputFormat.ORIGINAL,),
    max_references=14,
    defaults=ImageOptions(aspect_ratio="16:9"),
)
_WIDE_4K = ImageOptions(aspect_ratio="16:9", resolution="4K")

GEMINI = Catalogue(
    ProviderKind.GEMINI,
    "Google Gemini",
    _GEMINI,
    (
        # Source: TanStack AI release ai-gemini 0.36.0 (2026-10-07): all 14 ratios, the 512 tier is refused.
        replace(
            _GEMINI,
            id="gemini-nano-banana-2.1",
            name="Nano Banana 2.1",
            resolutions=("1K", "2K", "4K"),
            defaults=_WIDE_4K,
        ),
        # Source: ai.google.dev/gemini-api/docs/changelog: generally available since 2026-05-28.
        replace(
            _GEMINI,
            id="gemini-3-pro-image",
            name="Nano Banana Pro",
            aspect_ratios=_TEN_RATIOS,
            resolutions=("1K", "2K", "4K"),
            defaults=_WIDE_4K,
        ),
        replace(_GEMINI, id="gemini-3.1-flash-image", name="Nano Banana 2", defaults=_WIDE_4K),
        # Source: ai.google.dev/gemini-api/docs/models/gemini-3.1-flash-lite-image: 1K alone (2026-11-20).
        replace(
            _GEMINI,
            id="gemini-3.1-flash-lite-image",
            name="Nano Banana 2 Lite",
            resolutions=("1K",),
            quality_words=(_STANDARD, QualityWord("hd", resolution="1K")),
            defaults=ImageOptions(aspect_ratio="16:9", resolution="1K"),
        ),
        # Source: ai.google.dev/gemini-api/docs/deprecations: the previews ended 2026-06-25, 2.5 Flash on 2026-10-02.
        # Flash users are sent to 2.1, because 3.1 Flash itself is said to have ended on 2026-10-29 (unconfirmed).
        _gone("gemini-3-pro-image-preview", "gemini-3-pro-image", _GEMINI),
        _gone("gemini-3.1-flash-image-preview", "gemini-nano-banana-2.1", _GEMINI),
        _gone("gemini-2.5-flash-image", "gemini-nano-banana-2.1", _GEMINI),
    ),
)

# Source: google-genai 3.4.0, types.GenerateImagesConfig, for ratios; the page of `:predict` for sizes and file formats
# (2026-11-20). It takes no references, and a seed only without a watermark, which isn't ours to remove.
_IMAGEN = ImageModel(
    id="imagen",
    name="Imagen",
    aspect_ratios=("1:1", "3:4", "4:3", "9:16", "16:9"),
    resolutions=("1K", "2K"),
    quality_words=(_STANDARD, QualityWord("hd", resolution="2K")),
    output_formats=(OutputFormat.ORIGINAL, OutputFormat.PNG, OutputFormat.JPEG),
)

# Source: ai.google.dev/gemini-api/docs/imagen and Vertex AI's page of Imagen 4: all shut down, on 2026-06-24 (Firebase),
# 2026-06-30 and 2026-08-17 at the latest; to be replaced by Gemini's image models (2026-11-21).
IMAGEN = Catalogue(
    ProviderKind.IMAGEN,
    "Google Imagen",
    _IMAGEN,
    (
        _gone("imagen-4.0-generate-001", "gemini-nano-banana-2.1", _IMAGEN),
        _gone("imagen-4.0-ultra-generate-001", "gemini-3-pro-image", _IMAGEN),
        _gone("imagen-4.0-fast-generate-001", "gemini-nano-banana-2.1", _IMAGEN),
        _gone("imagen-4.0-generate-preview-06-06", "gemini-nano-banana-2.1", _IMAGEN),
        _gone("imagen-4.0-ultra-generate-preview-06-06", "gemini-3-pro-image", _IMAGEN),
        _gone("imagen-4.0-fast-generate-preview-06-06", "gemini-nano-banana-2.1", _IMAGEN),
        _gone("imagen-3.0-generate-002", "gemini-nano-banana-2.1", _IMAGEN),
        _gone("imagen-3.0-generate-001", "gemini-nano-banana-2.1", _IMAGEN),
        _gone("imagen-3.0-fast-generate-001", "gemini-nano-banana-2.1", _IMAGEN),
    ),
)


# Source: OpenRouterTeam/typescript-sdk @068f9af, imagegenerationrequest.ts: all that the images API takes; each model
# takes a part of it (2026-11-21). Sides and shape of a size are bounded by us.
_OPENROUTER = ImageModel(
    id="openrouter-image",
    name="OpenRouter image",
    sizes=("1024x1024", "1536x1024", "1024x1536", "2048x2048"),
    size_rule=SizeRule(step_px=1, max_side_px=4096, min_pixels=256 * 256, max_pixels=4096 * 4096, max_ratio=8),
    aspect_ratios=(
        "auto",
        *_FOURTEEN_RATIOS,
        *("1:2", "2:1", "9:19.5", "19.5:9", "9:20", "20:9", "9:21"),
    ),
    resolutions=("512", "1K", "2K", "4K"),
    qualities=("auto", "low", "medium", "high"),
    quality_words=(QualityWord("standard", quality="medium"), QualityWord("hd", quality="high")),
    backgrounds=("auto", "opaque", "transparent"),
    output_formats=(OutputFormat.ORIGINAL, OutputFormat.PNG, OutputFormat.WEBP, OutputFormat.JPEG),
    max_references=16,
    takes_seed=True,
)
# Source: github.com/lansespirit/image-gen-mcp/pull/7, which quotes GET /images/models (2026-07-04).
_OPENROUTER_GPT = replace(
    _OPENROUTER,
    sizes=(),
    size_rule=None,
    aspect_ratios=(),
    resolutions=(),
    output_formats=(OutputFormat.ORIGINAL,),
    takes_seed=False,
)
# The same models with the same limits as at Google. There, and in OpenRouter's chat, they answer in words and pictures.
_OPENROUTER_GEMINI = tuple(
    replace(GEMINI.model(id), id=f"google/{id}")
    for id in ("gemini-3-pro-image", "gemini-3.1-flash-image", "gemini-3.1-flash-lite-image")
)

OPENROUTER = Catalogue(
    ProviderKind.OPENROUTER,
    "OpenRouter",
    _OPENROUTER,
    (
        *_OPENROUTER_GEMINI,
        replace(_OPENROUTER_GPT, id="openai/gpt-5.4-image-2", name="GPT-5.4 Image 2", backgrounds=("auto", "opaque")),
        replace(_OPENROUTER_GPT, id="openai/gpt-5-image", name="GPT-5 Image"),
        replace(_OPENROUTER_GPT, id="openai/gpt-5-image-mini", name="GPT-5 Image Mini"),
        # Source: openrouter.ai/docs/guides/overview/multimodal/image-generation, its example of a model (2026-11-21).
        replace(
            _OPENROUTER,
            id="bytedance-seed/seedream-4.5",
            name="Seedream 4.5",
            sizes=(),
            size_rule=None,
            resolutions=("1K", "2K", "4K"),
            qualities=(),
            quality_words=(_STANDARD, QualityWord("hd", resolution="4K")),
            backgrounds=(),
            output_formats=(OutputFormat.ORIGINAL,),
            max_references=14,
        ),
    ),
)

# Source: OpenRouter's announcement (2026-06-23) and github.com/NousResearch/hermes-agent/issues/57504: the images API
# serves every model, and new ones nowhere else; chat goes on for those that it served before.
OPENROUTER_CHAT = frozenset(model.id for model in _OPENROUTER_GEMINI)
"""The models that are asked by chat. All others, also those of tomorrow, are asked by the images API."""


# Source: ollama/ollama, x/imagegen/server.go and models/flux2/flux2.go, as of 0.32 (2026-11-21): sides up to 4096,
# rounded to 16; FLUX.2 shrinks what has more than 2048 x 2048 pixels, so more isn't taken. No number of references is
# named there: ten is ours.
_OLLAMA = ImageModel(
    id="ollama-image",
    name="Ollama image",
    sizes=("512x512", "1024x1024", "1536x1024", "1024x1536"),
    size_rule=SizeRule(step_px=16, max_side_px=4096, min_pixels=256 * 256, max_pixels=4096 * 4096, max_ratio=8),
    output_formats=(OutputFormat.ORIGINAL,),
    max_references=10,
    takes_seed=True,
)
_FLUX_KLEIN = replace(
    _OLLAMA,
    size_rule=SizeRule(step_px=16, max_side_px=4096, min_pixels=256 * 256, max_pixels=2048 * 2048, max_ratio=8),
)

OLLAMA = Catalogue(
    ProviderKind.OLLAMA,
    "Ollama",
    _OLLAMA,
    (
        replace(_FLUX_KLEIN, id="x/flux2-klein", name="FLUX.2 Klein"),
        replace(_FLUX_KLEIN, id="x/flux2-klein:4b", name="FLUX.2 Klein 4B"),
        replace(_FLUX_KLEIN, id="x/flux2-klein:9b", name="FLUX.2 Klein 9B"),
        replace(_OLLAMA, id="x/z-image-turbo", name="Z-Image Turbo", max_references=0),
    ),
    needs_key=False,
    needs_base_url=True,
)
