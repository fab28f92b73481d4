"""Servers that speak S3: moto as a process of its own, and one that gives whatever answer a test wants."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from storage.objects.s3 import S3Settings
from storage.objects.s3_client import connect

REGION = "eu-west-1"
ACCESS_KEY_ID = "AKIATESTTESTTESTTEST"
SECRET_ACCESS_KEY = "very-secret-very-secret-very-secret-very"


def s3_settings(bucket: str, endpoint_url: str) -> S3Settings:
    """How to reach a bucket on a server of the tests."""
    return S3Settings(bucket, REGION, ACCESS_KEY_ID, SECRET_ACCESS_KEY, endpoint_url=endpoint_url)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def moto(bucket: str) -> Iterator[S3Settings]:
    """A moto server with one empty bucket, and how to reach it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            settings = s3_settings(bucket, f"http://127.0.0.1:{port}")
            client = connect(settings)
            client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            client.close()
            yield settings
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@dataclass
class Canned:
    """A server that gives the same (status, body) answers in turn, the last one for ever, and keeps what it got."""

    answers: Sequence[tuple[int, bytes]]
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""


@contextmanager
def canned(*answers: tuple[int, bytes]) -> Iterator[Canned]:
    """Run a `Canned` server."""
    script = Canned(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, reply = script.answers[min(len(script.bodies), len(script.answers) - 1)]
            script.bodies.append(body)
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
