"""Guards over the house: what may import what, what starting up may load, and where tests may connect to."""

import ast
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported_packages(source: str) -> set[str]:
    """The top-level packages that a module imports anywhere in its text."""
    packages: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add("domain" if node.level else str(node.module).partition(".")[0])
    return packages


@pytest.mark.parametrize("path", sorted((ROOT / "domain").rglob("*.py")), ids=lambda path: path.stem)
def test_the_rules_know_the_standard_library_only(path: Path) -> None:
    """A module of domain/ imports nothing but the standard library and other rules."""
    assert imported_packages(path.read_text()) - sys.stdlib_module_names - {"domain"} == set()


def test_starting_up_leaves_the_sdks_out() -> None:
    """Importing main loads no vendor's SDK: adapters import them when they are first used."""
    code = "import main, sys; print(*sorted({'openai', 'google.genai', 'boto3', 'botocore'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "\n", "")


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org"])
def test_tests_reach_this_machine_only(host: str, outside_calls: list[str]) -> None:
    """A connection to any other machine is refused before a packet leaves, and noted."""
    with pytest.raises(RuntimeError, match=f"not {host}"):
        socket.create_connection((host, 80), timeout=1)
    assert outside_calls == [host]
    outside_calls.clear()
