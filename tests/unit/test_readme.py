"""What the README and the console tell people to send is what the schema takes."""

import json
import re
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate

from app.operations import FIRST_OPERATIONS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
OPERATIONS = [
    *re.findall(r"```graphql\n(.*?)```", README, re.DOTALL),
    *(json.loads(sent)["query"] for sent in re.findall(r"'operations=(\{.*?\})' \\", README)),
    *(tab.query for tab in FIRST_OPERATIONS),
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_is_valid(operation: str) -> None:
    """By the schema that is committed."""
    schema = build_schema((ROOT / "graph" / "schema.graphql").read_text())
    assert validate(schema, parse(operation)) == []


def test_none_is_overlooked() -> None:
    """The upload by curl, fifteen operations to paste, and the console's three."""
    assert len(OPERATIONS) == 19
