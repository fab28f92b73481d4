"""What an empty embedded server starts with, so that everything can be tried at once."""

import secrets
from dataclasses import dataclass

from app.wiring import Atelier
from domain.identities import IdentityText
from domain.users import Role, User, Viewer

COMMUNITY = "Atelier"
ADMIN_EMAIL = "admin@atelier.local"

_VISIONARY = IdentityText(
    name="Creative Visionary",
    category="Work",
    i_am_statement="I am a maker who turns a vague idea into something people can hold.",
    visualization="In a bright workshop at dawn, sketches on every wall, a finished prototype in hand.",
    notes=("warm light", "rolled-up sleeves"),
)
_RUNNER = IdentityText(
    name="Mountain Runner",
    category="Health",
    i_am_statement="I am at home on steep paths and finish what I begin.",
    visualization="On a ridge above the clouds, mid-stride, the valley far below.",
)
_HOST = IdentityText(
    name="Generous Host",
    category="Relationships",
    i_am_statement="I am the one who brings people to the same table.",
    visualization="A long table in a garden in the evening, lanterns, friends laughing.",
)
_TEST_USERS = (("Tess Tester", (_RUNNER,)), ("Theo Tester", (_HOST,)))


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """The admin of the samples; the password is known only at the moment they are made."""

    user: User
    password: str | None


async def ensure_samples(atelier: Atelier) -> FirstAdmin | None:
    """Fill an empty database. Returns the samples' admin, or None where there are other users instead."""
    async with atelier.unit_of_work(read_only=True) as work:
        admin = await work.users.of_email(ADMIN_EMAIL)
        is_empty = await work.users.count() == 0
    if admin:
        return FirstAdmin(admin, None)
    return await _make_samples(atelier) if is_empty else None


async def _make_samples(atelier: Atelier) -> FirstAdmin:
    password = secrets.token_urlsafe(12)
    admin = await atelier.accounts.create(
        email=ADMIN_EMAIL,
        name="Ada Admin",
        community=COMMUNITY,
        password=password,
        role=Role.ADMIN,
        is_operator=True,
    )
    await atelier.identities.create(Viewer(admin), _VISIONARY)
    for name, identities in _TEST_USERS:
        email = f"{name.split()[0].lower()}@atelier.local"
        user = await atelier.accounts.create(
            email=email, name=name, community=COMMUNITY, password=None, role=Role.MEMBER, is_test=True
        )
        for text in identities:
            await atelier.identities.create(Viewer(user), text)
    return FirstAdmin(admin, password)
