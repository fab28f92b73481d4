"""How Alembic sees the database: our tables, and nothing of the job engine's, which live beside them.

It is only run by `storage.database.migrate`. To draft a revision from what `tables.py` has and a database has not:

    run(url, lambda config: command.revision(config, "what it does", autogenerate=True))

Indexes on tables that may be large are made by `migrations/online.py`, in a migration of their own.
"""

from typing import Any

from alembic import context

from storage.database.tables import METADATA


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    return kind != "table" or name in METADATA.tables


def _is_made_here(item: Any, _name: str | None, kind: str, is_reflected: bool, _other: Any) -> bool:
    """Alembic doesn't ask `ddl_if`: an index of one dialect alone is none of the others'."""
    return (
        kind != "index" or is_reflected or item.info.get("dialect", connection.dialect.name) == connection.dialect.name
    )


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    include_name=_is_ours,
    include_object=_is_made_here,
    # SQLite can't change a table: it is copied into a changed one.
    render_as_batch=connection.dialect.name == "sqlite",
    autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
    # Each is kept when it is done, where the connection isn't in a transaction already: no lock is held for the next.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
