"""Plans: what communities may use in a month."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette_admin.actions import row_action
from starlette_admin.fields import IntegerField, StringField

from app.admin.fields import Link, Moment
from app.admin.limits import LIMIT_FIELDS, asked_limits, limit_fields
from app.admin.records import PlanRecord
from app.admin.sign_in import acting_in, signed_in
from app.admin.views import REMOVE, RecordsView
from app.wiring import Atelier
from domain.quotas import MAX_PRIORITY
from domain.users import Viewer
from storage.database.tables import plan


class PlansView(RecordsView):
    """Sets of limits."""

    key = "plans"
    menu_label = "Plans"
    display_name = "plan"
    icon = "fa-solid fa-scale-balanced"
    ids = (plan.c.id, plan.c.community_id)
    texts = (plan.c.name,)
    sortable_fields = ("name", "created_at")
    searchable_fields = ("created_at",)
    fields_default_sort = ("name",)
    made_of = ("name", "community", *LIMIT_FIELDS, "priority")
    changeable = ("name", *LIMIT_FIELDS, "priority")

    def __init__(self, atelier: Atelier) -> None:
        self.fields = [
            StringField("id", "Id", exclude_from_list=True),
            StringField("name", required=True),
            Link("community", "For", key="communities", help_text="Leave empty for a plan for every community."),
            *limit_fields(),
            IntegerField(
                "priority",
                required=True,
                default=1,
                min=1,
                max=MAX_PRIORITY,
                help_text="How many times as many places its communities get when a provider is busy: "
                f"1 to {MAX_PRIORITY}. It holds for what is asked for from now on.",
            ),
            Moment("created_at", "Made (UTC)"),
        ]
        super().__init__(PlanRecord, atelier)

    async def make(self, request: Request, data: dict[str, Any]) -> UUID:
        """A new plan."""
        community_id = UUID(data["community"]) if data["community"] else None
        made = await self.atelier.quotas.create_plan(
            _planning(request, community_id),
            data["name"],
            asked_limits(data),
            priority=data["priority"],
            for_all=community_id is None,
        )
        return made.id

    async def change(self, request: Request, record: Any, data: dict[str, Any]) -> None:
        """Another name, other limits, another priority."""
        viewer = _planning(request, record.community_id)
        await self.atelier.quotas.update_plan(
            viewer, record.id, name=data["name"], limits=asked_limits(data), priority=data["priority"]
        )

    @row_action(
        name=REMOVE,
        text="Remove",
        confirmation="A plan that no community is on can be removed.",
        icon_class="fa-solid fa-trash",
        submit_btn_text="Remove",
        exclude_from_list=True,
    )
    async def remove(self, request: Request, pk: Any) -> None:
        """Remove a plan that nobody is on."""
        record = await self.found(request, pk)
        await self.atelier.quotas.delete_plan(_planning(request, record.community_id), record.id)


def _planning(request: Request, community_id: UUID | None) -> Viewer:
    """Who plans for the community, or for all of them."""
    return acting_in(request, community_id or signed_in(request).community_id)
