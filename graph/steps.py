"""Steps of wizards, each in front of a background of the library."""

from typing import Annotated

import strawberry
from strawberry import Parent

from domain import wizards as models
from domain.images import Image as ImageModel
from graph.context import Info
from graph.errors import InvalidInputError, LimitReachedError, NotFoundError
from graph.fields import Id, Input, resolved
from graph.ids import uuid_of
from graph.images import Image
from graph.nodes import Node, found
from graph.wizards import Wizard

_NOUN = "Step"


async def _wizard(step: Parent[models.Step], info: Info) -> models.Wizard | None:
    return await info.context.loaders.wizards.load(step.wizard_id)


async def _background(step: Parent[models.Step], info: Info) -> ImageModel | None:
    return await info.context.loaders.images.load(step.background_id) if step.background_id else None


@strawberry.type(description="One step of a wizard.")
class Step(Node):
    """The source is a domain Step."""

    wizard: Wizard = resolved(_wizard, "Whose step it is.")
    title: str = strawberry.field(description="What it is called.")
    order: int = strawberry.field(description="Its place: counts from 0, without gaps.")
    background: Image | None = resolved(_background, "What stands behind it: an image of the library.")


async def _step(info: Info, id: Id) -> models.Step | None:
    step: models.Step | None = await found(info.context, id, _NOUN)
    return step


@strawberry.type
class StepQueries:
    """Steps by id; lists are on wizards."""

    step: Step | None = resolved(_step, "The step with this id, if it is your community's.")


@strawberry.input(description="A new step.")
class AddStepInput:
    """A wizard and what the step is."""

    wizard_id: strawberry.ID = strawberry.field(description="The wizard's id.")
    title: str = strawberry.field(description="What to call it: 1 to 255 characters.")
    order: int | None = strawberry.field(
        default=None, description="Its place, from 0: the later ones move up. The last one when not given."
    )


@strawberry.type(description="The step was added.")
class AddStepSuccess:
    """A step."""

    step: models.Step = strawberry.field(graphql_type=Step, description="The new step.")


AddStepResult = Annotated[
    AddStepSuccess | InvalidInputError | NotFoundError | LimitReachedError,
    strawberry.union("AddStepResult", description="What became of adding a step."),
]


async def _add(info: Info, input: Input[AddStepInput]) -> AddStepResult:
    made = await info.context.services.wizards.add_step(
        info.context.viewer, uuid_of("Wizard", input.wizard_id), input.title, input.order
    )
    return AddStepSuccess(step=made)


@strawberry.input(description="What to change of a step. What is not given, or null, stays.")
class UpdateStepInput:
    """The step and its new values."""

    id: strawberry.ID = strawberry.field(description="The step's id.")
    title: str | None = strawberry.field(default=None, description="The new title: 1 to 255 characters.")
    order: int | None = strawberry.field(default=None, description="The place to move to, from 0.")


@strawberry.type(description="The step was changed.")
class UpdateStepSuccess:
    """A step."""

    step: models.Step = strawberry.field(graphql_type=Step, description="The step with its new values.")


UpdateStepResult = Annotated[
    UpdateStepSuccess | InvalidInputError | NotFoundError,
    strawberry.union("UpdateStepResult", description="What became of changing a step."),
]


async def _update(info: Info, input: Input[UpdateStepInput]) -> UpdateStepResult:
    changed = await info.context.services.wizards.update_step(
        info.context.viewer, uuid_of(_NOUN, input.id), title=input.title, order=input.order
    )
    return UpdateStepSuccess(step=changed)


@strawberry.input(description="Which step to remove.")
class DeleteStepInput:
    """A step."""

    id: strawberry.ID = strawberry.field(description="The step's id.")


@strawberry.type(description="The step is gone; the later ones moved down, and its background stays in the library.")
class DeleteStepSuccess:
    """What is gone."""

    deleted_id: strawberry.ID = strawberry.field(description="The id that is no more.")


DeleteStepResult = Annotated[
    DeleteStepSuccess | NotFoundError,
    strawberry.union("DeleteStepResult", description="What became of removing a step."),
]


async def _delete(info: Info, input: Input[DeleteStepInput]) -> DeleteStepResult:
    await info.context.services.wizards.delete_step(info.context.viewer, uuid_of(_NOUN, input.id))
    return DeleteStepSuccess(deleted_id=input.id)


@strawberry.input(description="What to put behind a step.")
class SetStepBackgroundInput:
    """A step and an image."""

    step_id: strawberry.ID = strawberry.field(description="The step's id.")
    image_id: strawberry.ID | None = strawberry.field(
        default=None, description="An image of yours, or one that is public; none when not given, or null."
    )


@strawberry.type(description="The step has its new background.")
class SetStepBackgroundSuccess:
    """A step."""

    step: models.Step = strawberry.field(graphql_type=Step, description="The step with its background.")


SetStepBackgroundResult = Annotated[
    SetStepBackgroundSuccess | InvalidInputError | NotFoundError,
    strawberry.union("SetStepBackgroundResult", description="What became of changing a background."),
]


async def _set_background(info: Info, input: Input[SetStepBackgroundInput]) -> SetStepBackgroundResult:
    image_id = uuid_of("Image", input.image_id) if input.image_id is not None else None
    changed = await info.context.services.wizards.set_background(
        info.context.viewer, uuid_of(_NOUN, input.step_id), image_id
    )
    return SetStepBackgroundSuccess(step=changed)


@strawberry.type
class StepMutations:
    """Steps; for admins."""

    add_step: AddStepResult = strawberry.mutation(resolver=_add, description="Add a step to a wizard; for admins.")
    update_step: UpdateStepResult = strawberry.mutation(
        resolver=_update, description="Rename a step, or move it to another place; for admins."
    )
    delete_step: DeleteStepResult = strawberry.mutation(resolver=_delete, description="Remove a step; for admins.")
    set_step_background: SetStepBackgroundResult = strawberry.mutation(
        resolver=_set_background,
        description="Put an image of the library behind a step, or take it away; for admins. "
        "The whole community will see the image.",
    )
