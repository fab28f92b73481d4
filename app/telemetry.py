"""Traces for OpenTelemetry: from the GraphQL operation through the queue to the provider's call.

Nothing leaves but what is named here: no prompt, no variable, no document, no address, and no text of an error.
"""

import logging
import threading
from collections.abc import Iterator, Sequence

from anyio import to_thread
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType
from structlog.contextvars import bind_contextvars

from app.watched import End
from domain.generations import SUCCEEDED
from domain.providers import ImageProvider, PictureRequest

FLUSH_S = 3.0
MAX_CHARS = 100
ANOTHER_MODEL = "another"
METHODS = frozenset({"GET", "POST", "OPTIONS", "HEAD"})
SERVER_ERROR = 500

SHOWN = frozenset(
    {
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "atelier.request_id",
        "graphql.operation.name",
        "graphql.operation.type",
        "dbos.executor.id",
        "dbos.operation.type",
        "dbos.operation.workflow_id",
        "dbos.queue.name",
        "atelier.provider",
        "atelier.provider.request_id",
        "atelier.picture.index",
        "atelier.outcome",
        "gen_ai.request.model",
    }
)
"""The attributes that may leave, whoever set them. A workflow's id is that of its generation."""

_log = logging.getLogger(__name__)


class Traces:
    """The process's traces, to be sent to a collector. Made once: OpenTelemetry has one of it for each process."""

    def __init__(self, endpoint: str) -> None:
        # Each failure of theirs is a line with a traceback; `Discreet` says it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        logging.getLogger("dbos").addFilter(_is_no_advice)
        self._spans = TracerProvider(
            resource=Resource({"service.name": "atelier"}).merge(OTELResourceDetector().detect()),
            span_limits=SpanLimits(max_span_attribute_length=MAX_CHARS),
            shutdown_on_exit=False,
        )
        exporter = Discreet(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"))
        self._spans.add_span_processor(BatchSpanProcessor(exporter))
        # DBOS takes its tracer from there.
        trace.set_tracer_provider(self._spans)
        self._tracer = self._spans.get_tracer("atelier")

    def requests(self, app: ASGIApp, route: str) -> ASGIApp:
        """The application with a span for each HTTP request at the route."""
        return TracedRequests(app, route, self._tracer)

    def operation(self) -> SchemaExtension:
        """What is to be among the schema's extensions."""
        return OperationSpan(self._tracer)

    def current(self) -> context.Context:
        """The present span, for who goes on with the work in another process."""
        return context.get_current()

    def called(self, provider: ImageProvider, request: PictureRequest) -> End:
        """A span for a call to a provider. Models that only their owners know are not named."""
        is_known = any(model.id == request.model for model in provider.models)
        span = self._tracer.start_span(
            f"call {provider.kind.value}",
            kind=SpanKind.CLIENT,
            attributes={
                "atelier.provider": provider.kind.value,
                "atelier.picture.index": request.index,
                "gen_ai.request.model": request.model if is_known else ANOTHER_MODEL,
            },
        )

        def ended(outcome: str, request_id: str | None) -> None:
            span.set_attribute("atelier.outcome", outcome)
            if request_id:
                span.set_attribute("atelier.provider.request_id", request_id)
            span.set_status(StatusCode.OK if outcome == SUCCEEDED else StatusCode.ERROR)
            span.end()

        return ended

    async def aclose(self) -> None:
        """Send what is still there; a collector that doesn't answer holds nobody up."""
        sending = threading.Thread(target=self._spans.shutdown, daemon=True)
        sending.start()
        await to_thread.run_sync(sending.join, FLUSH_S)


def _is_no_advice(record: logging.LogRecord) -> bool:
    # DBOS would send its logs as well, and says at every start that it doesn't know where to.
    return "logger provider not set" not in record.getMessage()


class Discreet(SpanExporter):
    """Sends spans with nothing but what may leave, and says once when nobody takes them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch. What can't be sent is lost."""
        result = self._exporter.export([_bare(span) for span in spans])
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            _log.warning("traces can't be delivered")
        elif self._is_away and not is_away:
            _log.info("traces are delivered again")
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._exporter.shutdown()


def _bare(span: ReadableSpan) -> ReadableSpan:
    """The span without events and words of errors, and without attributes that aren't known to be harmless."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={key: value for key, value in (span.attributes or {}).items() if key in SHOWN},
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class TracedRequests:
    """A span for each HTTP request, in the trace that the client's `traceparent` names."""

    def __init__(self, app: ASGIApp, route: str, tracer: Tracer) -> None:
        self._app = app
        self._route = route
        self._tracer = tracer
        # Of W3C's headers this one alone: baggage is anybody's text.
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; sockets pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        with self._tracer.start_as_current_span(
            f"{method} {self._route}",
            context=self._propagator.extract(Headers(scope=scope)),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "http.route": self._route,
                "atelier.request_id": scope.get("state", {}).get("request_id", ""),
            },
        ) as span:
            bind_contextvars(trace_id=trace.format_trace_id(span.get_span_context().trace_id))

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= SERVER_ERROR:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, watched)


class OperationSpan(SchemaExtension):
    """A span for each query and mutation, with its name and type. Subscriptions last, and have none."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def on_execute(self) -> Iterator[None]:
        """Around the execution."""
        operation = self.execution_context
        if operation.operation_type is OperationType.SUBSCRIPTION:
            yield
            return
        kind, name = operation.operation_type.value.lower(), (operation.operation_name or "")[:MAX_CHARS]
        named = {"graphql.operation.name": name} if name else {}
        with self._tracer.start_as_current_span(
            f"{kind} {name}".strip(), attributes={"graphql.operation.type": kind, **named}
        ) as span:
            yield
            if operation.result and getattr(operation.result, "errors", None):
                span.set_status(StatusCode.ERROR)
