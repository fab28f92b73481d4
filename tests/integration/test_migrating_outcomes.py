"""A database in which two workers had told of one picture becomes one in which that can't be."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from storage.database.engine import sync_engine
from storage.database.migrate import run, upgrade

BEFORE = "2026_11_22"
# By number: what became of which picture. The second word on a picture goes, whatever it is; numbers have no gaps.
TOLD = [
    (None, None, None),
    (0, "image", None),
    (0, None, None),
    (1, None, "failure"),
    (0, "image", None),
    (0, None, "failure"),
    (1, "image", None),
    (2, "image", None),
    (None, None, "failure"),
    (None, None, "failure"),
]
LEFT = [*TOLD[:4], (0, None, None), (0, None, None), (1, None, None), *TOLD[7:]]


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database of the version before, with a generation of which that was told."""
    url = str(request.getfixturevalue(f"{request.param}_url"))
    run(url, lambda config: command.downgrade(config, BEFORE))
    engine = sync_engine(url, 1)
    tables = sa.MetaData()
    with engine.begin() as connection:
        tables.reflect(connection, only=["community", "user_account", "generation", "generation_event"])
        id = "0" * 31 + "1"
        now = sa.func.now() if request.param == "postgresql" else "2026-11-20T12:30:15.123456+00:00"
        common: dict[str, Any] = dict.fromkeys(
            ("id", "community_id", "owner_id", "requested_by_id", "generation_id"), id
        )
        common |= dict.fromkeys(("created_at", "tokens_valid_after", "at"), now)
        for name in ("community", "user_account", "generation"):
            connection.execute(sa.insert(tables.tables[name]).values(_filled(tables.tables[name], common)))
        events = tables.tables["generation_event"]
        for seq, (index, image_id, failure) in enumerate(TOLD, 1):
            told: dict[str, Any] = {"seq": seq, "index": index, "image_id": image_id and id, "failure": failure and {}}
            connection.execute(sa.insert(events).values(_filled(events, common | told)))
    engine.dispose()
    return url


def _filled(table: sa.Table, values: dict[str, Any]) -> dict[str, Any]:
    """A row: what is needed and not said is empty."""
    empty = {"BOOLEAN": False, "INTEGER": 0, "JSON": [], "JSONB": []}
    row = {column.name: empty.get(str(column.type), "UTC") for column in table.columns if not column.nullable}
    return row | {
        column.name: sa.null() if values[column.name] is None else values[column.name]
        for column in table.columns
        if column.name in values
    }


def test_the_first_word_on_a_picture_stays(old_url: str) -> None:
    """The events all stay, the second word on a picture doesn't, and a third can't come."""
    upgrade(old_url)
    engine = sync_engine(old_url, 1)
    with engine.begin() as connection:
        statement = 'SELECT "index", image_id, failure FROM generation_event ORDER BY seq'
        rows = [
            (index, image_id and "image", None if failure is None else "failure")
            for index, image_id, failure in connection.execute(sa.text(statement))
        ]
        assert rows == LEFT
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(
                sa.text('UPDATE generation_event SET image_id = (SELECT id FROM generation) WHERE "index" = 1')
            )
    engine.dispose()
