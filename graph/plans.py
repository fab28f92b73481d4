"""Plans: sets of limits that communities are put on."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent

from domain import quotas as models
from domain.quotas import Feature, QuotaUnit
from graph.context import Info
from graph.errors import ConflictError, InvalidInputError, NotFoundError
from graph.fields import Input, resolved
from graph.ids import uuid_of
from graph.nodes import Node

_NOUN = "Plan"
_PRIORITY = "How many times as many places its communities get when a provider is busy: 1 to 10."


@strawberry.type(description="How much of a feature may be used in a month.")
class Limit:
    """The source is a domain Limit."""

    feature: Feature = strawberry.field(description="What is limited.")
    unit: QuotaUnit = strawberry.field(description="In what it is counted.")
    amount: int = strawberry.field(description="What may be used.")


def _is_shared(plan: Parent[models.Plan]) -> bool:
    return plan.community_id is None


@strawberry.type(description="A set of limits for communities. What it doesn't limit is free.")
class Plan(Node):
    """The source is a domain Plan."""

    name: str = strawberry.field(description="What it is called.")
    limits: list[Limit] = strawberry.field(description="What it limits.")
    priority: int = strawberry.field(
        description="1 to 10: how many times as many places its communities get when a provider is busy, compared with a "
        "community that has no plan."
    )
    is_shared: bool = resolved(_is_shared, "Whether it is the operator's, who alone puts communities on it.")


async def _plans(info: Info) -> Sequence[models.Plan]:
    viewer = info.context.viewer
    async with info.context.reading() as work:
        return await work.plans.list(viewer.user.community_id)


@strawberry.type
class PlanQueries:
    """Plans."""

    plans: list[Plan] = resolved(_plans, "The plans your community may be put on, by name.")


@strawberry.input(description="How much of a feature may be used in a month.")
class LimitInput:
    """A limit."""

    feature: Feature = strawberry.field(description="What to limit.")
    unit: QuotaUnit = strawberry.field(description="In what it is counted.")
    amount: int = strawberry.field(description="What may be used: 0 to 2,147,483,647.")

    def limit(self) -> models.Limit:
        """The domain's."""
        return models.Limit(self.feature, self.unit, self.amount)


@strawberry.input(description="A new plan of your community.")
class CreatePlanInput:
    """A name and limits."""

    name: str = strawberry.field(description="What to call it: 1 to 255 characters.")
    limits: list[LimitInput] = strawberry.field(description="What it limits: each feature once in each unit.")
    priority: int | None = strawberry.field(default=1, description=_PRIORITY)


@strawberry.type(description="The plan was made.")
class CreatePlanSuccess:
    """A plan."""

    plan: models.Plan = strawberry.field(graphql_type=Plan, description="The new plan.")


CreatePlanResult = Annotated[
    CreatePlanSuccess | InvalidInputError | ConflictError,
    strawberry.union("CreatePlanResult", description="What became of making a plan."),
]


async def _create(info: Info, input: Input[CreatePlanInput]) -> CreatePlanResult:
    limits = [given.limit() for given in input.limits]
    priority = 1 if input.priority is None else input.priority
    made = await info.context.services.quotas.create_plan(info.context.viewer, input.name, limits, priority=priority)
    return CreatePlanSuccess(plan=made)


@strawberry.input(description="What to change of a plan. What is not given, or null, stays.")
class UpdatePlanInput:
    """The plan and its new values."""

    id: strawberry.ID = strawberry.field(description="The plan's id.")
    name: str | None = strawberry.field(default=None, description="The new name: 1 to 255 characters.")
    limits: list[LimitInput] | None = strawberry.field(default=None, description="All limits anew.")
    priority: int | None = strawberry.field(
        default=None, description=f"{_PRIORITY} It holds for what is asked for from now on."
    )


@strawberry.type(description="The plan was changed. Its limits hold at once.")
class UpdatePlanSuccess:
    """A plan."""

    plan: models.Plan = strawberry.field(graphql_type=Plan, description="The plan with its new values.")


UpdatePlanResult = Annotated[
    UpdatePlanSuccess | InvalidInputError | NotFoundError,
    strawberry.union("UpdatePlanResult", description="What became of changing a plan."),
]


async def _update(info: Info, input: Input[UpdatePlanInput]) -> UpdatePlanResult:
    limits = None if input.limits is None else [given.limit() for given in input.limits]
    changed = await info.context.services.quotas.update_plan(
        info.context.viewer, uuid_of(_NOUN, input.id), name=input.name, limits=limits, priority=input.priority
    )
    return UpdatePlanSuccess(plan=changed)


@strawberry.input(description="Which plan to remove.")
class DeletePlanInput:
    """A plan."""

    id: strawberry.ID = strawberry.field(description="The plan's id.")


@strawberry.type(description="The plan is gone.")
class DeletePlanSuccess:
    """What is gone."""

    deleted_id: strawberry.ID = strawberry.field(description="The id that is no more.")


DeletePlanResult = Annotated[
    DeletePlanSuccess | NotFoundError | ConflictError,
    strawberry.union("DeletePlanResult", description="What became of removing a plan."),
]


async def _delete(info: Info, input: Input[DeletePlanInput]) -> DeletePlanResult:
    await info.context.services.quotas.delete_plan(info.context.viewer, uuid_of(_NOUN, input.id))
    return DeletePlanSuccess(deleted_id=input.id)


@strawberry.type
class PlanMutations:
    """Plans; for admins."""

    create_plan: CreatePlanResult = strawberry.mutation(
        resolver=_create, description="Make a plan for your community; for admins."
    )
    update_plan: UpdatePlanResult = strawberry.mutation(
        resolver=_update,
        description="Rename a plan of your community, or give it other limits or another priority; for admins.",
    )
    delete_plan: DeletePlanResult = strawberry.mutation(
        resolver=_delete, description="Remove a plan of your community that it is not on; for admins."
    )
