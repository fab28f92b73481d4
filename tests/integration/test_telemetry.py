"""Traces, as a collector gets them: one from the operation to the provider's call, and nothing in it that is private."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from app.telemetry import Discreet
from tests.e2e.harness import ADMIN, ROOT, Server, free_port
from tests.wire.server import WireServer

SECRET = "a secret of at least thirty-two characters"
KEY = "sk-an-unmistakable-key"
PROMPT = "an unmistakable lighthouse [refuse-output:2]"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
DRAW = """
mutation Draw($wanted: GenerateImageInput!) {
  generateImage(input: $wanted) { ... on GenerateImageSuccess { generation { id } } ... on UserError { message } }
}
"""
SOON_S = 60.0


@dataclass(frozen=True)
class Seen:
    """A span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]


def spans(collector: WireServer) -> list[Seen]:
    """All that have arrived so far."""
    return [
        Seen(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            {pair.key: pair.value.string_value or str(pair.value.int_value) for pair in span.attributes},
        )
        for received in collector.received
        for resource in ExportTraceServiceRequest.FromString(received.body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


async def arrival(collector: WireServer, *names: str) -> list[Seen]:
    """Every span, once those of the names are among them."""
    async with asyncio.timeout(SOON_S):
        while not set(names) <= {span.name for span in spans(collector)}:
            collector.arrived.clear()
            await collector.arrived.wait()
    return spans(collector)


async def draw(server: Server) -> None:
    """Ask for two pictures within a trace of the caller's."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{server.url}/graphql",
            json={"query": DRAW, "variables": {"wanted": {"prompt": PROMPT, "options": {"n": 2}}}},
            headers={
                "authorization": f"Bearer {server.token}",
                "traceparent": f"00-{TRACE}-{CALLER}-01",
                "baggage": "email=somebody@example.org",
            },
        )
    assert "errors" not in answer.json(), answer.text


def check_one_trace(seen: Sequence[Seen]) -> None:
    """Everything the request led to is in the caller's trace, below what caused it."""
    ours = [span for span in seen if span.trace == TRACE]
    named = {span.name: span for span in ours}
    parents = {
        "POST /graphql": CALLER,
        "mutation Draw": named["POST /graphql"].id,
        "generate": named["mutation Draw"].id,
        "prepare": named["generate"].id,
        "finish": named["generate"].id,
    }
    assert {name: named[name].parent for name in parents} == parents
    steps = {span.id: span for span in ours if span.name == "make"}
    assert {step.parent for step in steps.values()} == {named["generate"].id}
    calls = [span for span in ours if span.name == "call OFFLINE"]
    assert {call.parent for call in calls} == set(steps)
    assert sorted(call.attributes["atelier.outcome"] for call in calls) == ["REFUSED_OUTPUT", "SUCCEEDED"]
    assert {call.attributes["gen_ai.request.model"] for call in calls} == {"placeholder-1"}
    assert all(call.attributes["atelier.provider.request_id"].startswith("offline-") for call in calls)
    assert named["mutation Draw"].attributes == {"graphql.operation.type": "mutation", "graphql.operation.name": "Draw"}
    workflow = named["generate"].attributes["dbos.operation.workflow_id"]
    assert {step.attributes["dbos.operation.workflow_id"] for step in steps.values()} == {workflow}


def check_private(collector: WireServer, *secrets: str) -> None:
    """Nothing that a person wrote or that opens anything has left."""
    sent = b"".join(received.body for received in collector.received)
    private = ["lighthouse", "wanted", "generateImage(", "somebody@example.org", ADMIN, KEY, SECRET, *secrets]
    assert [word for word in private if word.encode() in sent] == []
    assert {received.path for received in collector.received} == {"/v1/traces"}


async def test_one_process(tmp_path: Path) -> None:
    """The embedded way to run."""
    async with WireServer() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        async with Server(tmp_path, OPENAI_API_KEY=KEY, SECRET_KEY=SECRET, **settings) as server:
            await server.start()
            await draw(server)
            check_one_trace(await arrival(collector, "generate"))
            check_private(collector, server.token, server.password)
            server.stop()
        assert "logger provider" not in server.log.read_text()


async def test_two_processes(tmp_path: Path, postgresql_url: str) -> None:
    """The trace goes on in the worker; what is still unsent when it stops is sent."""
    async with WireServer() as collector:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "DATABASE_URL": postgresql_url,
            "SECRET_KEY": SECRET,
            "SEED_SAMPLES": "true",
        }
        async with (
            Server(tmp_path, **settings, OTEL_BSP_SCHEDULE_DELAY="100") as api,
            Server(tmp_path, name="worker", **settings, OTEL_BSP_SCHEDULE_DELAY="600000") as worker,
        ):
            migrated = await asyncio.to_thread(api.command, "migrate")
            assert migrated.returncode == 0, migrated.stderr
            await api.start("serve", "--no-worker")
            await worker.start_worker()
            await draw(api)
            await arrival(collector, "mutation Draw")
            async with asyncio.timeout(SOON_S):
                while '"state":"SUCCEEDED"' not in worker.log.read_text():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
            stopping = asyncio.create_task(asyncio.to_thread(worker.stop))
            check_one_trace(await arrival(collector, "generate"))
            assert await stopping == 0
        check_private(collector, api.token)


async def test_a_collector_that_is_away(tmp_path: Path) -> None:
    """Pictures are made, and the log says it once."""
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    async with Server(tmp_path, **settings) as server:
        await server.start()
        for _ in range(2):
            id = await server.generate(prompt="a house [slow:2]")
            states = [event["state"] async for event in server.follow(id)]
            assert states[-1] == "SUCCEEDED"
        server.stop()
        log = server.log.read_text()
    assert log.count("traces can't be delivered") == 1
    assert '"level":"error"' not in log


def test_nothing_is_loaded_that_nobody_asked_for(tmp_path: Path) -> None:
    """Without the settings a process that serves pays for neither metrics nor traces, not even at its start."""
    program = """
import sys
from pathlib import Path
import app.commands, app.server, app.health, app.side_port
from app.settings import load_settings
from app.wiring import compose
compose(load_settings({"ATELIER_DATA_DIR": sys.argv[1]}, Path("no.env")), is_watched=True)
print([name for name in ("app.metrics", "app.telemetry", "prometheus_client", "opentelemetry.sdk") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, check=False)
    assert ran.stdout.decode().strip() == "[]", ran.stderr.decode()


class Moody(SpanExporter):
    """Takes spans or doesn't."""

    def __init__(self) -> None:
        self.takes = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Say whether it took them."""
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """And its end."""
    caplog.set_level(logging.INFO, "app.telemetry")
    moody = Moody()
    discreet = Discreet(moody)
    for moody.takes in (True, False, False, False, True, True, False):
        discreet.export([])
    away, back = "traces can't be delivered", "traces are delivered again"
    assert [record.message for record in caplog.records] == [away, back, away]


def test_nothing_leaves_that_is_not_on_the_list() -> None:
    """No attribute, event, link or word of an error, whoever wrote it; the rest is as it was."""
    kept = InMemorySpanExporter()
    spans = TracerProvider(shutdown_on_exit=False)
    spans.add_span_processor(SimpleSpanProcessor(Discreet(kept)))
    tracer = spans.get_tracer("test")
    attributes = {"dbos.user.name": "ada@example.org", "db.statement": "SELECT 1", "atelier.outcome": "TIMEOUT"}
    with tracer.start_as_current_span("outer"):
        inner = tracer.start_span("inner", attributes=attributes)
        inner.add_event("a prompt", {"prompt": "a house"})
        inner.set_status(StatusCode.ERROR, "a prompt")
        inner.end()
    spans.shutdown()
    found = {span.name: span for span in kept.get_finished_spans()}
    inside, outside = found["inner"], found["outer"]
    assert dict(inside.attributes or {}) == {"atelier.outcome": "TIMEOUT"}
    assert (inside.events, inside.links, inside.status.description) == ((), (), None)
    assert inside.status.status_code is StatusCode.ERROR
    assert inside.parent
    assert inside.parent.span_id == outside.context.span_id
    assert inside.end_time == inner.end_time  # type: ignore[attr-defined]  # the API's span doesn't say that it has one
