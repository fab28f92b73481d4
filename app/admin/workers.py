"""Workers: the processes that make generations, by the signs of life that they give. Embedded there are none."""

from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette_admin.fields import BooleanField, StringField

from app.admin.fields import Moment
from app.admin.records import WorkerRecord
from app.admin.views import RecordsView
from app.wiring import Atelier
from storage.database.tables import worker


class WorkersView(RecordsView):
    """Processes at work, and those that died a while ago."""

    key = "workers"
    menu_label = "Workers"
    display_name = "worker"
    icon = "fa-solid fa-gears"
    texts = (worker.c.id,)
    sortable_fields = ("started_at", "seen_at")
    searchable_fields = ("started_at", "seen_at")
    fields_default_sort = (("seen_at", True),)

    def __init__(self, atelier: Atelier) -> None:
        self.fields = [
            StringField("id", "Host, process and its own id"),
            Moment("started_at", "Started (UTC)"),
            Moment("seen_at", "Last seen (UTC)"),
            BooleanField("is_alive", "Alive", getter=self._is_alive),
        ]
        super().__init__(WorkerRecord, atelier)

    def can_view_detail(self, request: Request) -> bool:
        """Never: a line in the list is all there is."""
        return False

    def _is_alive(self, _request: Request, record: Any) -> bool:
        silent_for = self.atelier.clock.now() - record.seen_at
        return bool(silent_for < timedelta(seconds=self.atelier.settings.worker_dead_seconds))
