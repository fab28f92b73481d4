"""Generations: what was asked for, and everything that became of it."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette_admin.actions import row_action
from starlette_admin.fields import StringField, TextAreaField

from app.admin.fields import Choice, Document, Link, Moment, Money, Pictures, Rows, Table
from app.admin.limits import dollars
from app.admin.pictures import picture
from app.admin.records import GenerationRecord, ImageRecord
from app.admin.sign_in import acting_in
from app.admin.usage import lines_of
from app.admin.views import RecordsView
from app.wiring import Atelier
from domain.generations import GenerationState
from domain.pictures import VariantSize
from domain.providers import ProviderKind
from storage.database.tables import generation, generation_event, image, provider_attempt

CANCEL = "cancel"


class GenerationsView(RecordsView):
    """Requests for pictures."""

    key = "generations"
    menu_label = "Generations"
    display_name = "generation"
    icon = "fa-solid fa-wand-magic-sparkles"
    ids = (generation.c.id, generation.c.owner_id)
    owner = generation.c.owner_id
    sortable_fields = ("created_at",)
    searchable_fields = ("state", "provider", "created_at")
    fields_default_sort = (("created_at", True),)

    def __init__(self, atelier: Atelier) -> None:
        self.fields = [
            StringField("id", "Id", exclude_from_list=True),
            Choice("state", enum=GenerationState),
            TextAreaField("prompt"),
            Link("owner", key="users"),
            Link("requested_by", "Asked for by", key="users", exclude_from_list=True),
            Link("community", key="communities"),
            Choice("provider", enum=ProviderKind),
            StringField("model", exclude_from_list=True),
            Money("actual_cost_micro_usd", "Cost"),
            Money("estimated_cost_micro_usd", "Estimated cost", exclude_from_list=True),
            Moment("created_at", "Asked for (UTC)"),
            Moment("finished_at", "Ended (UTC)", exclude_from_list=True),
            Pictures("images", "Pictures", getter=self._images, exclude_from_list=True),
            Document("failures", exclude_from_list=True),
            Table("attempts", "Calls to the provider", getter=_attempts, exclude_from_list=True),
            Table("usage", exclude_from_list=True),
            Table("events", getter=_events, exclude_from_list=True),
            Link("retry_of", "Asks again for", key="generations", exclude_from_list=True),
            Link("template", key="prompts", exclude_from_list=True),
            Link("parent_image", "Made from", key="images", exclude_from_list=True),
            Table("tags", exclude_from_list=True),
            Document("options", exclude_from_list=True),
            Document("structured_prompt", "Structured prompt", exclude_from_list=True),
            Document("identity", exclude_from_list=True),
        ]
        super().__init__(GenerationRecord, atelier)

    async def complete(self, session: AsyncSession, record: Any) -> None:
        """The pictures, the calls, the usage and the events."""
        made = select(ImageRecord).where(image.c.generation_id == record.id).order_by(image.c.generation_index)
        record.images = (await session.execute(made)).scalars().all()
        c = provider_attempt.c
        calls = select(provider_attempt).where(c.generation_id == record.id).order_by(c.index, c.number)
        record.attempts = (await session.execute(calls)).all()
        record.usage = await lines_of(session, record.id)
        e = generation_event.c
        events = select(e.seq, e.at, e.state, e.stage, e.index).where(e.generation_id == record.id).order_by(e.seq)
        record.events = (await session.execute(events)).all()

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        """What has ended can't be cancelled."""
        if name == CANCEL:
            return not GenerationState(obj.state).is_terminal
        return await super().is_row_action_allowed_for_obj(request, name, obj)

    @row_action(
        name=CANCEL,
        text="Cancel",
        confirmation="Pictures that are there stay. Calls to the provider that are under way may be charged all the same.",
        icon_class="fa-solid fa-ban",
        submit_btn_text="Cancel the generation",
        exclude_from_list=True,
    )
    async def cancel(self, request: Request, pk: Any) -> None:
        """End the generation."""
        record = await self.found(request, pk)
        await self.atelier.requests.cancel(acting_in(request, record.community_id), record.id)

    def _images(self, request: Request, record: Any) -> Rows:
        return [
            picture(self.atelier.objects, row, row.filename, id=row.id, size=VariantSize.MEDIUM)
            for row in record.images
        ]


def _attempts(_request: Request, record: Any) -> Rows:
    return [
        {
            "picture": call.index,
            "call": call.number,
            "began (UTC)": f"{call.started_at:%Y-%m-%d %H:%M:%S}",
            "took": f"{(call.finished_at - call.started_at).total_seconds():.1f} s" if call.finished_at else "",
            "by": f"{call.provider} {call.model}",
            "outcome": call.outcome,
            "charged": "perhaps" if call.is_charged else "",
            "cost": None if call.cost_micro_usd is None else dollars(call.cost_micro_usd),
            "known by": call.cost_basis,
            "provider's id": call.provider_request_id,
            "provider's words": call.detail,
        }
        for call in record.attempts
    ]


def _events(_request: Request, record: Any) -> Rows:
    return [
        {
            "number": event.seq,
            "at (UTC)": f"{event.at:%Y-%m-%d %H:%M:%S}",
            "state": event.state,
            "stage": event.stage,
            "picture": event.index,
        }
        for event in record.events
    ]
