"""Prompt templates: their versions, new ones, and which are used."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette_admin.actions import row_action
from starlette_admin.fields import BooleanField, IntegerField, StringField, TextAreaField

from app.admin.fields import Choice, Link, Moment
from app.admin.records import PromptRecord
from app.admin.sign_in import acting_in
from app.admin.views import RecordsView
from app.wiring import Atelier
from domain.prompts import ContextKey, PromptType
from storage.database.tables import prompt


class PromptsView(RecordsView):
    """Versions of templates."""

    key = "prompts"
    menu_label = "Prompts"
    display_name = "prompt version"
    icon = "fa-solid fa-message"
    ids = (prompt.c.id, prompt.c.community_id, prompt.c.author_id)
    texts = (prompt.c.name,)
    sortable_fields = ("type", "version", "created_at")
    searchable_fields = ("type", "is_active", "created_at")
    fields_default_sort = (("created_at", True),)
    made_of = ("name", "community", "type", "body", "required_context_keys", "is_active")

    def __init__(self, atelier: Atelier) -> None:
        self.fields = [
            StringField("id", "Id", exclude_from_list=True),
            Choice("type", enum=PromptType, required=True, default=PromptType.IMAGE_GENERATION),
            IntegerField("version"),
            StringField("name", required=True),
            Link("community", key="communities", required=True),
            BooleanField("is_active", "Active", default=True),
            TextAreaField("body", rows=16, required=True, exclude_from_list=True),
            Choice(
                "required_context_keys",
                "Required placeholders",
                enum=ContextKey,
                multiple=True,
                exclude_from_list=True,
                detail_template="fields/detail/tags.html",
            ),
            Link("author", key="users", exclude_from_list=True),
            Moment("created_at", "Made (UTC)"),
        ]
        super().__init__(PromptRecord, atelier)

    async def make(self, request: Request, data: dict[str, Any]) -> UUID:
        """The next version; the rules check its body."""
        made = await self.atelier.prompts.create(
            acting_in(request, UUID(data["community"])),
            type=PromptType(data["type"]),
            name=data["name"],
            body=data["body"].replace("\r\n", "\n"),  # as forms send lines
            required_context_keys=tuple(map(ContextKey, data["required_context_keys"])),
            activate=data["is_active"],
        )
        return made.id

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        """The built-in version stays as it is; the others are turned on or off, whichever they aren't."""
        if name in {"activate", "deactivate"}:
            return obj.community_id is not None and obj.is_active == (name == "deactivate")
        return await super().is_row_action_allowed_for_obj(request, name, obj)

    @row_action(name="activate", text="Activate", icon_class="fa-solid fa-toggle-on", exclude_from_list=True)
    async def activate(self, request: Request, pk: Any) -> None:
        """Use the version."""
        await self._set_active(request, pk, is_active=True)

    @row_action(name="deactivate", text="Deactivate", icon_class="fa-solid fa-toggle-off", exclude_from_list=True)
    async def deactivate(self, request: Request, pk: Any) -> None:
        """Stop using the version."""
        await self._set_active(request, pk, is_active=False)

    async def _set_active(self, request: Request, pk: Any, *, is_active: bool) -> None:
        record = await self.found(request, pk)
        await self.atelier.prompts.set_active(acting_in(request, record.community_id), record.id, is_active)
