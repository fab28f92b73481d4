"""Wizards: ordered steps that a community's members are led through."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from domain import wizards as models
from graph.context import Info
from graph.errors import InvalidInputError, LimitReachedError, NotFoundError
from graph.fields import Id, Input, resolved
from graph.ids import uuid_of
from graph.nodes import Node, found

if TYPE_CHECKING:
    from graph.steps import Step

_NOUN = "Wizard"


async def _steps(wizard: Parent[models.Wizard], info: Info) -> Sequence[models.Step]:
    return await info.context.loaders.steps_of.load(wizard.id)


@strawberry.type(description="Steps that a community's members are led through.")
class Wizard(Node):
    """The source is a domain Wizard."""

    name: str = strawberry.field(description="What it is called.")
    steps: list[Annotated["Step", strawberry.lazy("graph.steps")]] = resolved(_steps, "At most 100, by order.")
    created_at: datetime = strawberry.field(description="When it was made.")


async def _wizards(info: Info) -> Sequence[models.Wizard]:
    viewer = info.context.viewer
    async with info.context.reading() as work:
        return await work.wizards.list(viewer.user.community_id)


async def _wizard(info: Info, id: Id) -> models.Wizard | None:
    wizard: models.Wizard | None = await found(info.context, id, _NOUN)
    return wizard


@strawberry.type
class WizardQueries:
    """Wizards."""

    wizards: list[Wizard] = resolved(_wizards, "Your community's wizards, the oldest first; at most 200.")
    wizard: Wizard | None = resolved(_wizard, "The wizard with this id, if it is your community's.")


@strawberry.input(description="A new wizard.")
class CreateWizardInput:
    """A name."""

    name: str = strawberry.field(description="What to call it: 1 to 255 characters.")


@strawberry.type(description="The wizard was made.")
class CreateWizardSuccess:
    """A wizard."""

    wizard: models.Wizard = strawberry.field(graphql_type=Wizard, description="The new wizard, without steps.")


CreateWizardResult = Annotated[
    CreateWizardSuccess | InvalidInputError | LimitReachedError,
    strawberry.union("CreateWizardResult", description="What became of making a wizard."),
]


async def _create(info: Info, input: Input[CreateWizardInput]) -> CreateWizardResult:
    made = await info.context.services.wizards.create(info.context.viewer, input.name)
    return CreateWizardSuccess(wizard=made)


@strawberry.input(description="A new name for a wizard.")
class UpdateWizardInput:
    """The wizard and its name."""

    id: strawberry.ID = strawberry.field(description="The wizard's id.")
    name: str = strawberry.field(description="The new name: 1 to 255 characters.")


@strawberry.type(description="The wizard was changed.")
class UpdateWizardSuccess:
    """A wizard."""

    wizard: models.Wizard = strawberry.field(graphql_type=Wizard, description="The wizard with its new name.")


UpdateWizardResult = Annotated[
    UpdateWizardSuccess | InvalidInputError | NotFoundError,
    strawberry.union("UpdateWizardResult", description="What became of changing a wizard."),
]


async def _update(info: Info, input: Input[UpdateWizardInput]) -> UpdateWizardResult:
    changed = await info.context.services.wizards.rename(info.context.viewer, uuid_of(_NOUN, input.id), input.name)
    return UpdateWizardSuccess(wizard=changed)


@strawberry.input(description="Which wizard to remove.")
class DeleteWizardInput:
    """A wizard."""

    id: strawberry.ID = strawberry.field(description="The wizard's id.")


@strawberry.type(description="The wizard is gone with its steps; their backgrounds stay in the library.")
class DeleteWizardSuccess:
    """What is gone."""

    deleted_id: strawberry.ID = strawberry.field(description="The id that is no more.")


DeleteWizardResult = Annotated[
    DeleteWizardSuccess | NotFoundError,
    strawberry.union("DeleteWizardResult", description="What became of removing a wizard."),
]


async def _delete(info: Info, input: Input[DeleteWizardInput]) -> DeleteWizardResult:
    await info.context.services.wizards.delete(info.context.viewer, uuid_of(_NOUN, input.id))
    return DeleteWizardSuccess(deleted_id=input.id)


@strawberry.type
class WizardMutations:
    """Wizards; for admins."""

    create_wizard: CreateWizardResult = strawberry.mutation(resolver=_create, description="Make a wizard; for admins.")
    update_wizard: UpdateWizardResult = strawberry.mutation(
        resolver=_update, description="Rename a wizard; for admins."
    )
    delete_wizard: DeleteWizardResult = strawberry.mutation(
        resolver=_delete, description="Remove a wizard and its steps; for admins."
    )
