"""Uploading a 12 MP photo as a reference image: multipart, checked whole, hashed, stored with three variants.

The floor streams the raw body to disk and decodes it once at the scale of the largest variant.
"""

import asyncio
import io
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
from PIL import Image

from bench.measuring import percentile
from bench.processes import Client, Load, Served, load, load_on_second_core, post, process
from tests.e2e.harness import ADMIN, ROOT

ROUNDS = 5
SECONDS = 4.0
BOUNDARY = "atelier-bench"
CREATE = "mutation { createReferenceImage(input: {}) { ... on CreateReferenceImageSuccess { referenceImage { id } } } }"
UPLOAD = """mutation($input: UploadReferenceImageInput!) { uploadReferenceImage(input: $input) {
  ... on UploadReferenceImageSuccess { referenceImage { image { sha256 } } } ... on UserError { message } } }"""


async def run() -> None:
    """Measure with one client and with four."""
    photo = _photo()
    with tempfile.TemporaryDirectory() as folder:
        environ = {"ATELIER_DATA_DIR": folder, "LOG_LEVEL": "WARNING"}
        async with process(["main.py", "serve", "--no-worker"], environ) as ours:
            token, slot = await _slot(ours, environ)
            floor_environ = {"FLOOR_URL": f"sqlite:///{Path(folder) / 'none.db'}", "FLOOR_OWNER": "0" * 32}
            async with process(["-m", "bench.floors"], floor_environ, "/nothing") as floor:
                print(f"a JPEG of 12 MP, {len(photo) / 1e6:.1f} MB; server on one core")
                for clients in (1, 4):
                    with load_on_second_core():
                        await _measure(ours, _upload(token, slot, photo), floor, post("/", photo), clients)


async def _measure(ours: Served, request: bytes, floor: Served, floor_request: bytes, clients: int) -> None:
    rounds = [
        (await load(ours, request, clients, SECONDS), await load(floor, floor_request, clients, SECONDS))
        for _ in range(ROUNDS)
    ]
    print(f"  {clients} at once")
    _report("atelier", [mine for mine, _ in rounds])
    _report("floor  ", [lowest for _, lowest in rounds])
    cpu = statistics.median(mine.cpu_s / lowest.cpu_s for mine, lowest in rounds)
    throughput = statistics.median(mine.per_second / lowest.per_second for mine, lowest in rounds)
    print(f"    atelier / floor: {throughput:.2f} of its throughput, {cpu:.2f} x its CPU", flush=True)


def _report(name: str, loads: list[Load]) -> None:
    per_second = statistics.median(one.per_second for one in loads)
    cpu_ms = statistics.median(one.cpu_s for one in loads) * 1000
    p50 = statistics.median(percentile(one.waits_s, 50) for one in loads) * 1000
    print(f"    {name}: {per_second:5.1f} uploads/s, {cpu_ms:5.1f} ms CPU each, p50 {p50:.0f} ms")


async def _slot(ours: Served, environ: dict[str, str]) -> tuple[str, str]:
    """A token of the samples' admin, and the id of a slot to upload to."""
    command = [sys.executable, "main.py", "user", "token", ADMIN]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=True
    )
    token = done.stdout.strip()
    client = await Client.connect(ours.port)
    body = orjson.dumps({"query": CREATE})
    _, answer = await client.send(
        post("/graphql", body, Authorization=f"Bearer {token}", Content_Type="application/json")
    )
    client.close()
    return token, orjson.loads(answer)["data"]["createReferenceImage"]["referenceImage"]["id"]


def _upload(token: str, slot: str, photo: bytes) -> bytes:
    operations = orjson.dumps({"query": UPLOAD, "variables": {"input": {"id": slot, "file": None}}})
    parts = (
        (b'name="operations"', operations),
        (b'name="map"', b'{"0": ["variables.input.file"]}'),
        (b'name="0"; filename="photo.jpg"\r\nContent-Type: image/jpeg', photo),
    )
    mark = f"--{BOUNDARY}".encode()
    body = b"".join(
        mark + b"\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    return post("/graphql", body + mark + b"--\r\n", Authorization=f"Bearer {token}", Content_Type=content_type)


def _photo() -> bytes:
    noise = Image.effect_noise((4000, 3000), 60)
    body = io.BytesIO()
    Image.merge("RGB", (noise, noise, noise)).save(body, "JPEG", quality=80)
    return body.getvalue()
