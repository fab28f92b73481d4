"""People: users, their tokens and what they may use."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from domain import users as models
from domain.quotas import Feature, QuotaUnit
from domain.quotas import Quota as QuotaModel
from domain.users import Role
from graph.communities import Community
from graph.context import Info
from graph.errors import InvalidInputError, NotFoundError, WrongCredentialsError
from graph.fields import Id, Input, resolved
from graph.ids import uuid_of
from graph.nodes import Node, found
from graph.quotas import InUnit, OfFeature, Quota

if TYPE_CHECKING:
    from domain.identities import Identity as IdentityModel
    from domain.reference_images import ReferenceImage as ReferenceImageModel
    from graph.identities import Identity
    from graph.reference_images import ReferenceImage


def _email(user: Parent[models.User], info: Info) -> str:
    return user.email if info.context.viewer.reaches(user.id) else ""


async def _community(user: Parent[models.User], info: Info) -> models.Community | None:
    return await info.context.loaders.communities.load(user.community_id)


async def _reference_images(user: Parent[models.User], info: Info) -> "Sequence[ReferenceImageModel]":
    if not info.context.viewer.reaches(user.id):
        return []
    return await info.context.loaders.reference_images_of.load(user.id)


async def _identities(user: Parent[models.User], info: Info) -> "Sequence[IdentityModel]":
    if not info.context.viewer.reaches(user.id):
        return []
    return await info.context.loaders.identities_of.load(user.id)


async def _quota(
    user: Parent[models.User], info: Info, feature: OfFeature, unit: InUnit = QuotaUnit.IMAGES
) -> QuotaModel | None:
    if not info.context.viewer.reaches(user.id):
        return None
    return await info.context.loaders.quotas.load((user.id, feature, unit))


@strawberry.type(description="A person, or a test user that admins try things with.")
class User(Node):
    """The source is a domain User."""

    email: str = resolved(_email, "The address to sign in with; empty when the user is none of yours.")
    name: str = strawberry.field(description="What the person is called.")
    role: Role = strawberry.field(description="What the user may do in the community.")
    is_test: bool = strawberry.field(description="Whether this is a test user.")
    community: Community = resolved(_community, "The user's community.")
    reference_images: list[Annotated["ReferenceImage", strawberry.lazy("graph.reference_images")]] = resolved(
        _reference_images,
        "At most five, by order; empty when the user is none of yours.",
    )
    identities: list[Annotated["Identity", strawberry.lazy("graph.identities")]] = resolved(
        _identities, "The oldest first; empty when the user is none of yours."
    )
    quota: Quota | None = resolved(
        _quota,
        "How the user's own quota of this month stands, beside the community's; null when the user is none of yours.",
    )
    created_at: datetime = strawberry.field(description="Since when the user is known.")


async def _viewer(info: Info) -> models.User:
    return info.context.viewer.user


async def _accounts(info: Info) -> list[models.User]:
    return await info.context.services.accounts.accounts(info.context.viewer)


async def _user(info: Info, id: Id) -> models.User | None:
    user: models.User | None = await found(info.context, id, "User")
    return user


@strawberry.type
class UserQueries:
    """Who is there."""

    viewer: User = resolved(_viewer, "The signed-in user.")
    accounts: list[User] = resolved(
        _accounts, "For whom you can act: you, and for an admin also the community's test users."
    )
    user: User | None = resolved(_user, "You, or for an admin anybody of the community; otherwise null.")


@strawberry.input(description="Whom to sign in.")
class SignInInput:
    """E-mail and password."""

    email: str = strawberry.field(description="The user's e-mail address.")
    password: str = strawberry.field(description="The user's password.")


@strawberry.type(description="The user is signed in.")
class SignInSuccess:
    """A token."""

    token: str = strawberry.field(description="Send it as `Authorization: Bearer <token>`.")
    expires_at: datetime = strawberry.field(description="When the token stops being valid.")
    user: models.User = strawberry.field(graphql_type=User, description="Whose token it is.")


SignInResult = Annotated[
    SignInSuccess | WrongCredentialsError, strawberry.union("SignInResult", description="What became of signing in.")
]


async def _sign_in(info: Info, input: Input[SignInInput]) -> SignInResult:
    accounts = info.context.services.accounts
    token, expires_at, user = await accounts.sign_in(input.email, input.password)
    if not info.context.is_signed_in:
        # What the answer goes on to show of the user, the user may see.
        info.context.answer_to(models.Viewer(user))
    return SignInSuccess(token=token, expires_at=expires_at, user=user)


@strawberry.input(description="Whom to sign out.")
class SignOutInput:
    """A user."""

    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="The user: yourself when not given, or anybody of the community for an admin."
    )


@strawberry.type(description="Every token of the user is dead, and the sockets opened with one are closed.")
class SignOutSuccess:
    """Whose tokens are dead."""

    user: models.User = strawberry.field(graphql_type=User, description="Whose tokens are dead.")


SignOutResult = Annotated[
    SignOutSuccess | NotFoundError, strawberry.union("SignOutResult", description="What became of signing out.")
]


async def _sign_out(info: Info, input: Input[SignOutInput]) -> SignOutResult:
    viewer = info.context.viewer
    async with info.context.reading() as work:
        user = await work.users.acted_for(viewer, uuid_of("User", input.user_id) if input.user_id else None)
    await info.context.services.accounts.revoke_tokens(user)
    return SignOutSuccess(user=user)


@strawberry.input(description="What a user may use in a month, beside what the community's plan allows.")
class SetUserLimitInput:
    """A user and a limit."""

    user_id: strawberry.ID = strawberry.field(description="The user.")
    feature: Feature = strawberry.field(description="What to limit.")
    unit: QuotaUnit = strawberry.field(description="In what it is counted.")
    amount: int | None = strawberry.field(
        default=None, description="What may be used: 0 to 2,147,483,647; no limit when not given, or null."
    )


@strawberry.type(description="The limit holds at once.")
class SetUserLimitSuccess:
    """A user."""

    user: models.User = strawberry.field(graphql_type=User, description="The user.")


SetUserLimitResult = Annotated[
    SetUserLimitSuccess | InvalidInputError | NotFoundError,
    strawberry.union("SetUserLimitResult", description="What became of limiting a user."),
]


async def _set_limit(info: Info, input: Input[SetUserLimitInput]) -> SetUserLimitResult:
    user = await info.context.services.quotas.set_user_limit(
        info.context.viewer, uuid_of("User", input.user_id), input.feature, input.unit, input.amount
    )
    return SetUserLimitSuccess(user=user)


@strawberry.type
class UserMutations:
    """Tokens and limits."""

    sign_in: SignInResult = strawberry.mutation(resolver=_sign_in, description="Get a token for a password.")
    sign_out: SignOutResult = strawberry.mutation(resolver=_sign_out, description="Make every token of a user dead.")
    set_user_limit: SetUserLimitResult = strawberry.mutation(
        resolver=_set_limit, description="Limit what a user may use, or no longer; for admins."
    )
