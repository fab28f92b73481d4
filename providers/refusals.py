"""How vendors say that their content policy said no: one list for all, because each may quote the one behind it."""

import re
from http import HTTPStatus

from providers.replies import Reply

# Source: googleapis/js-genai#321, epam/ai-dial-adapter-vertexai#48, ffroliva/gflow-cli#342, UKGovernmentBEIS/inspect_ai#2267
# (xAI), stanford-crfm/helm#3327 and BerriAI/litellm#16072 (Azure), camel-ai/owl#432 (DashScope), pollinations/pollinations#12067
# (2026-11-21). Searched in lower case, in codes and words alike.
_REFUSED = re.compile(
    r"""
    (?<!un)moderated | moderation[ _-](?:system|filter|block) | moderation_stage | ^stage:
    | (?:rejected|refused|declined|blocked|stopped|failed)\b[^.\n]{0,40}\bmoderation
    | content[ _-]?(?:polic|moderation|filter)
    | usage[ _-](?:polic|guideline)
    | violat[^.\n]{0,120}(?:polic|guideline)
    | safety[ _-](?:system|filters?\b|check|violation) | image_safety
    | prohibited[ _-]content
    | responsible[ _-]?ai
    | nsfw
    | data_?inspection_?failed
    | sensitive[ _-](?:words?|content)\b | sensitive_words?_
    | (?:inappropriate|unsafe|harmful)[ _-]content | unsafe_generation
    | prompt\ could\ not\ be\ submitted | the\ response\ is\ blocked
    | flagged
    """,
    re.VERBOSE | re.MULTILINE,
)
# The same words, about a parameter, a model's name, the account or a setting of it instead of about the prompt.
_OTHERWISE = re.compile(
    r"""
    (?:unknown|unsupported|unrecogni[sz]ed|unexpected)\ (?:\w+\ )?(?:parameter|argument|field|option|property|value)
    | parse\ field | model\W+(?:\S+\s+){0,3}(?:not\ found|does\ not\ exist) | (?:valid|such|unknown)\ model
    | (?:allowed|supported|available)\ for\ this\ model | access\ (?:was|is|has\ been)\ (?:terminated|suspended|revoked)
    | supported\ values\ are | must\ be\ (?:one\ of|either|a\ bool)
    | (?:account|organi[sz]ation|api\ key|ip\ address)\W+(?:\w+\W+){0,4}
      (?:flagged|suspended|deactivated|disabled|terminated|blocked|banned)
    | (?:data|rate[ -]limit\w*|spend\w*)\ polic
    """,
    re.VERBOSE,
)
_OF_PICTURE = re.compile(
    r"stage\W+output|(?<!or )(?:generated|output) (?:image|picture|content|data)|the response is blocked"
)
# What it says in words there is about the key, the bill, the address, the time or the pace.
_OTHER_STATUSES = (401, 402, 404, 408, 429)

# Source: openai's own name for whatever its user did wrong: parameters, too, but these have a code or a name. Captures of
# both in public clients' tests (2026-11-21).
_USERS_FAULT = frozenset({"image_generation_user_error"})


def is_refusal(reply: Reply) -> bool:
    """Whether it says so in its codes, or in its words where these speak of the prompt."""
    is_users_fault = reply.words == _USERS_FAULT and not reply.param
    return is_users_fault or _REFUSED.search(_searched(reply)) is not None


def is_refusal_of_picture(reply: Reply) -> bool:
    """Whether it was the picture, once it was made, that was refused."""
    return is_refusal(reply) and _OF_PICTURE.search(_searched(reply)) is not None


def _searched(reply: Reply) -> str:
    """Its codes, and its words unless they are about something else: a server's own failure is one."""
    is_answer = reply.status < HTTPStatus.INTERNAL_SERVER_ERROR and reply.status not in _OTHER_STATUSES
    is_words = is_answer and not _OTHERWISE.search(reply.text)
    return "\n".join((*reply.words, reply.text if is_words else ""))
