"""The image and the example of a deployment name what there is: no engine that runs containers is needed to see that."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings, setting_keys

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
# Not ours: Python's, the shell's, and those of OpenTelemetry's SDK, as which they are documented.
OTHERS = re.compile(r"PATH|PYTHON[A-Z]+|OTEL_[A-Z_]+")
# What the example asks of .env for itself.
OF_THE_EXAMPLE = {"ATELIER_VERSION", "POSTGRES_PASSWORD", "STORE_RPC_SECRET"}
STOPS_IN_S = 20
"""How much longer than the drain a process may take to stop: cutting off, farewells, the last traces."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The example, read."""
    yaml = importlib.import_module("yaml")
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read


def ours(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that run the image."""
    return {name: service for name, service in compose["services"].items() if "build" in service}


def test_every_setting_of_the_image_exists() -> None:
    """A key that is misspelt would be passed over in silence."""
    final_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    names = {
        name for line in re.findall(r"^ENV (.*)$", final_stage, re.MULTILINE) for name in re.findall(r"(\w+)=", line)
    }
    assert {name for name in names if not OTHERS.fullmatch(name)} <= set(setting_keys())


def test_every_setting_of_the_example_exists(compose: dict[str, Any]) -> None:
    """Those that it gives, and those that it takes from .env."""
    for name, service in ours(compose).items():
        assert set(service["environment"]) <= set(setting_keys()), name
        Settings.model_validate(
            {
                **{key: str(value) for key, value in service["environment"].items() if "${" not in str(value)},
                "DATABASE_URL": "postgresql://atelier@postgres/atelier",
                "SECRET_KEY": "a secret of at least thirty-two characters",
                "STORAGE_ACCESS_KEY_ID": "an-id",
                "STORAGE_SECRET_ACCESS_KEY": "a-secret",
            }
        )
    taken = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    assert taken - OF_THE_EXAMPLE <= set(setting_keys())


def test_the_roles(compose: dict[str, Any]) -> None:
    """Two that answer, two that work, and one that migrates before any of them begins."""
    services = compose["services"]
    commands = {name: " ".join(service["command"]) for name, service in ours(compose).items()}
    assert commands == {
        "api-1": "serve --no-worker",
        "api-2": "serve --no-worker",
        "worker": "worker",
        "migrate": "migrate",
    }
    assert services["worker"]["deploy"]["replicas"] == 2
    for name in ("api-1", "api-2", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_a_worker_is_given_the_time_to_drain(compose: dict[str, Any]) -> None:
    """And some more, before it is killed."""
    worker = compose["services"]["worker"]
    grace_s = int(worker["stop_grace_period"].removesuffix("s"))
    assert grace_s >= worker["environment"]["WORKER_DRAIN_SECONDS"] + STOPS_IN_S


def test_only_the_proxy_is_reached_from_outside(compose: dict[str, Any]) -> None:
    """Not the metrics, the database or the store."""
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["proxy"]


def test_the_image_has_what_the_server_imports() -> None:
    """Every package that is there, and what the build may not see stays out of it."""
    packages = {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists()} - {"tests", "bench"}
    copied = set(re.findall(r"^COPY (\S+) \1$", DOCKERFILE, re.MULTILINE))
    assert packages | {"migrations"} <= copied
    allowed = {line[1:] for line in IGNORED if line.startswith("!")}
    assert IGNORED[1] == "*"
    assert {path for path in copied if path not in allowed and not path.startswith("web/")} == set()
    assert not any(path.startswith((".", "data")) for path in allowed)


def test_the_image_runs_as_nobody_special_and_stops_politely() -> None:
    """As a user without rights, started without a shell, which would keep signals for itself."""
    final_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    said = dict(re.findall(r"^(USER|STOPSIGNAL|ENTRYPOINT|CMD) (.*)$", final_stage, re.MULTILINE))
    assert int(said["USER"]) > 0
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert [*json.loads(said["ENTRYPOINT"]), *json.loads(said["CMD"])] == ["python", "main.py", "serve"]
    health = re.search(r"HEALTHCHECK .*\\\n\s+CMD (\[.*\])", final_stage)
    assert health
    compile(json.loads(health[1])[2], "the health check", "exec")
