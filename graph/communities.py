"""Communities: their time zone, their plan and how their quota stands."""

from typing import Annotated

import strawberry
from strawberry import Parent

from domain import users as models
from domain.quotas import Plan as PlanModel
from domain.quotas import Quota as QuotaModel
from domain.quotas import QuotaUnit
from graph.context import Info
from graph.errors import ConflictError, InvalidInputError, NotFoundError
from graph.fields import Input, resolved
from graph.ids import uuid_of
from graph.nodes import Node
from graph.plans import Plan
from graph.quotas import InUnit, OfFeature, Quota


async def _plan(community: Parent[models.Community], info: Info) -> PlanModel | None:
    return await info.context.loaders.plans.load(community.plan_id) if community.plan_id else None


async def _quota(
    community: Parent[models.Community], info: Info, feature: OfFeature, unit: InUnit = QuotaUnit.IMAGES
) -> QuotaModel:
    return await info.context.loaders.quotas.load((community.id, feature, unit))


@strawberry.type(description="A tenant: nothing is ever seen outside its community.")
class Community(Node):
    """The source is a domain Community."""

    name: str = strawberry.field(description="What it is called.")
    time_zone: str = strawberry.field(description="By which its months begin, such as `Europe/Berlin`.")
    plan: Plan | None = resolved(_plan, "What limits it; null when nothing does.")
    quota: Quota = resolved(_quota, "How this month's quota of all its members together stands.")


@strawberry.input(description="What to change of your community. Its name is the operator's to give.")
class UpdateCommunityInput:
    """Its new values."""

    time_zone: str = strawberry.field(description="The time zone its months begin by, such as `Europe/Berlin`.")


@strawberry.type(description="The community was changed.")
class UpdateCommunitySuccess:
    """A community."""

    community: models.Community = strawberry.field(
        graphql_type=Community, description="The community with its new values."
    )


UpdateCommunityResult = Annotated[
    UpdateCommunitySuccess | InvalidInputError,
    strawberry.union("UpdateCommunityResult", description="What became of changing a community."),
]


async def _update(info: Info, input: Input[UpdateCommunityInput]) -> UpdateCommunityResult:
    changed = await info.context.services.accounts.set_time_zone(info.context.viewer, input.time_zone)
    return UpdateCommunitySuccess(community=changed)


@strawberry.input(description="Which plan to put your community on.")
class SetCommunityPlanInput:
    """A plan."""

    plan_id: strawberry.ID | None = strawberry.field(
        default=None, description="The plan: one of `plans`; none when not given, or null."
    )


@strawberry.type(description="The community is on the plan. Its limits hold at once.")
class SetCommunityPlanSuccess:
    """A community."""

    community: models.Community = strawberry.field(graphql_type=Community, description="The community with its plan.")


SetCommunityPlanResult = Annotated[
    SetCommunityPlanSuccess | NotFoundError | ConflictError,
    strawberry.union("SetCommunityPlanResult", description="What became of changing the plan."),
]


async def _set_plan(info: Info, input: Input[SetCommunityPlanInput]) -> SetCommunityPlanResult:
    plan_id = uuid_of("Plan", input.plan_id) if input.plan_id is not None else None
    changed = await info.context.services.quotas.set_community_plan(info.context.viewer, plan_id)
    return SetCommunityPlanSuccess(community=changed)


@strawberry.type
class CommunityMutations:
    """Your community; for admins."""

    update_community: UpdateCommunityResult = strawberry.mutation(
        resolver=_update, description="Change your community's time zone; for admins."
    )
    set_community_plan: SetCommunityPlanResult = strawberry.mutation(
        resolver=_set_plan,
        description="Put your community on a plan, or on none; for admins. Only the operator of the server puts it on a "
        "shared plan, or takes it off.",
    )
