"""Who gets the page with a token in it: somebody at this machine, asking it directly, and nobody else."""

import pytest
from starlette.requests import Request

from app.server import is_from_here


def asked(host: str = "localhost:8000", client: str | None = "127.0.0.1", **headers: str) -> Request:
    """A request for the page."""
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/graphql",
            "query_string": b"",
            "server": ("127.0.0.1", 8000),
            "client": (client, 50_000) if client else None,
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
    )


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "localhost"])
def test_a_browser_on_this_machine_is_from_here(host: str) -> None:
    """By each of the machine's own names."""
    assert is_from_here(asked(host))
    assert is_from_here(asked(host, client="::1"))


@pytest.mark.parametrize(
    "request_",
    [
        asked(client="192.0.2.7"),
        asked(client=None),
        asked("a.example.com"),
        asked("localhost.example.com"),
        asked(x_forwarded_for="127.0.0.1"),
        asked(x_forwarded_proto="https"),
        asked(x_real_ip="127.0.0.1"),
        asked(forwarded="for=127.0.0.1"),
        asked(via="1.1 proxy"),
    ],
    ids=lambda request: str(dict(request.headers)),
)
def test_anybody_else_is_not(request_: Request) -> None:
    """Another machine, another site's name that leads here, or a proxy that asks for whomever."""
    assert not is_from_here(request_)
