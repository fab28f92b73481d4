"""Images as tokens and lists as queries for tokens: the same ones on both databases, whose own parsers see none of them.

Tokens are words as `domain/search.py` makes them, of letters and digits alone; private words with a mark before them;
and keys with another mark. PostgreSQL has them in `image.search`, SQLite in the table `image_search`.
"""

from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Dialect,
    FromClause,
    String,
    Text,
    TypeDecorator,
    Uuid,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.images import Image, ImageList
from domain.search import is_beginning
from domain.tags import Tag

# PostgreSQL takes lexemes of 2046 bytes, and a character may have four.
MAX_TOKEN_CHARS = 500

_PRIVATE = "§"
_IMAGE, _OWNER, _COMMUNITY, _PUBLIC, _TAG = "¶i", "¶o", "¶c", "¶p", "¶t"


@dataclass(frozen=True, slots=True)
class Term:
    """Any of these tokens, or with `is_beginning` any that begins with one of them."""

    tokens: tuple[str, ...]
    is_beginning: bool = False


Query = tuple[Term, ...]
"""Every one of the terms."""


def _key(mark: str, id: UUID) -> str:
    return f"{mark}{id.hex}"


def _tag_key(tag: Tag) -> str:
    kind, value = tag.key
    return _TAG + sha256(f"{kind}:{value}".encode()).hexdigest()[:32]


def tokens_of(image: Image) -> list[str]:
    """What the image is found by."""
    text = image.search_text()
    found = {word[:MAX_TOKEN_CHARS] for word in text.open}
    found |= {_PRIVATE + word[:MAX_TOKEN_CHARS] for word in text.private}
    found |= {_tag_key(tag) for tag in image.tags}
    found |= {_key(_OWNER, image.owner_id), _key(_COMMUNITY, image.community_id)}
    if image.is_public:
        found.add(_key(_PUBLIC, image.community_id))
    return sorted(found)


def query_for(wanted: ImageList) -> Query:
    """Whose list it is, every word and every tag."""
    keys = [_key(_PUBLIC if wanted.is_public else _COMMUNITY, wanted.community_id)]
    if wanted.owner_id:
        keys.append(_key(_OWNER, wanted.owner_id))
    keys += [_tag_key(tag) for tag in wanted.filter.tags]
    return (*(Term((key,)) for key in keys), *(_word(word, wanted) for word in wanted.filter.words))


def _word(word: str, wanted: ImageList) -> Term:
    token = word[:MAX_TOKEN_CHARS]
    return Term((token,) if wanted.is_public else (token, _PRIVATE + token), is_beginning(word))


class QueryText(TypeDecorator[Query]):
    """A query in the database's own language."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Query | None, dialect: Dialect) -> str | None:
        """The text, every token quoted."""
        if value is None:
            return None
        return _match(value) if dialect.name == "sqlite" else _tsquery(value)


def _tsquery(query: Query) -> str:
    def quoted(token: str) -> str:
        return "'" + token.replace("\\", "\\\\").replace("'", "''") + "'"

    return " & ".join(
        f"({' | '.join(quoted(token) + ':*' * term.is_beginning for token in term.tokens)})" for term in query
    )


def _match(query: Query) -> str:
    def quoted(token: str) -> str:
        return '"' + token.replace('"', '""') + '"'

    return " AND ".join(
        f"({' OR '.join(quoted(token) + '*' * term.is_beginning for token in term.tokens)})" for term in query
    )


_image_search = table(
    "image_search", column("image_id", Uuid), column("tokens"), column("image_search"), column("rowid")
)
_c = _image_search.c


def _matched(value: ColumnElement[Query]) -> ColumnElement[bool]:
    return _c.image_search.op("MATCH", is_comparison=True)(value)


def found(rows: FromClause, is_sqlite: bool) -> ColumnElement[bool]:
    """Whether the rows are found by the query of the parameter `query`."""
    query = bindparam("query", type_=QueryText)
    if is_sqlite:
        return rows.c.id.in_(select(_c.image_id).where(_matched(query)))
    return rows.c.search.op("@@", is_comparison=True)(cast(query, TSQUERY))


def search_column(image: Image, is_sqlite: bool) -> ColumnElement[str] | None:
    """What goes into the column `search`; on SQLite nothing does."""
    if is_sqlite:
        return None
    return func.array_to_tsvector(literal(tokens_of(image), ARRAY(Text)))


def table_tokens(image: Image) -> str:
    """What goes into SQLite's table: the image's own key too, by which its row is found again."""
    return " ".join([_key(_IMAGE, image.id), *tokens_of(image)])


async def put_into_table(connection: AsyncConnection, image: Image) -> None:
    """Have SQLite find the image by what it is now."""
    own = Term((_key(_IMAGE, image.id),))
    old = select(_c.rowid).where(_matched(literal((own,), QueryText)))
    await connection.execute(delete(_image_search).where(_c.rowid.in_(old)))
    await connection.execute(insert(_image_search).values(image_id=image.id, tokens=table_tokens(image)))
