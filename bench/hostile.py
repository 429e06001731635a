"""Requests that nobody should send, by the hundred thousand, to the process that a site runs.

Each must be answered with a 4xx, or be cut off where it cuts itself off; none with a 5xx, none without an end; and the
process must not grow. `python -m bench.hostile [--requests 100000] [--seed 1] [--json FILE]`, keys `hostile.*`. Exit
code 1 where one of these does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil

from bench.crash_gateway import DEMO_SITE, STELLWERK

CONNECTIONS = 16
ANSWER_S_MAX = 40.0
START_S_MAX = 60.0
SLOW_EVERY = 500
"""A slow one holds its connection for some seconds: one in so many is enough."""
GROWN_MIB_MAX = 48
_MIB = 2**20
_AWAY = {"STELLWERK_C1_PORT": "2", "STELLWERK_C2_PORT": "3", "STELLWERK_MQTT_PORT": "6", "STELLWERK_HTTP_PORT": "0"}

Kind = Callable[[random.Random, str], bytes]


def _post(path: str, key: str, body: bytes, *, kind: str = "application/json", more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: {kind}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _deep(rng: random.Random, key: str) -> bytes:
    depth = rng.randint(200, 20_000)
    return _post("/api/v1/orders", key, b"[" * depth + b"]" * depth)


def _types(rng: random.Random, key: str) -> bytes:
    odd: object = rng.choice([None, True, -1, 1e308, 2**70, "", "x" * 5_000, [], {}, [[]], {"a": {}}, "\x00", "\ud800"])
    whole = {"order": "A", "priority": 3, "steps": [{"step": "s", "kind": "sort", "load": "L", "to": "BERLIN"}]}
    place = rng.choice(["order", "priority", "steps", "step"])
    if place == "step":
        whole["steps"] = [{**dict.fromkeys(("step", "kind", "load", "to"), "x"), rng.choice(("kind", "load")): odd}]
    else:
        whole[place] = odd
    return _post("/api/v1/orders", key, json.dumps(whole).encode("utf-8", "surrogatepass"))


def _encoding(rng: random.Random, key: str) -> bytes:
    text = '{"order": "Größe", "steps": []}'
    body = rng.choice([text.encode("utf-16"), text.encode("latin-1"), b"\xff\xfe\xfa" * 20, b"\x00" * 64])
    return _post(rng.choice(["/api/v1/orders", "/api/v1/sort-plans"]), key, body)


def _huge(rng: random.Random, key: str) -> bytes:
    return _post("/api/v1/orders", key, b" " * rng.randint(2**20 + 1, 2**20 + 2_000))


def _noise(rng: random.Random, key: str) -> bytes:
    return _post("/api/v1/orders", key, rng.randbytes(rng.randint(0, 2_000)))


def _paths(rng: random.Random, key: str) -> bytes:
    path = rng.choice(["/api/v1/orders/" + "%2e%2e%2f" * 20, "/api/v1/" + "a" * 3_000, "/%00", "/web/../../etc/passwd"])
    method = rng.choice(["GET", "DELETE", "PUT", "PATCH", "BREW"])
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def _headers(rng: random.Random, key: str) -> bytes:
    odd = rng.choice([
        "X: " + "a" * 70_000, "Idempotency-Key: " + "k" * 300, "If-Match: nonsense", "Content-Length: 12, 13",
        "Transfer-Encoding: chunked, chunked", "Authorization: Bearer swk_" + "0" * 40, "Host: evil.example",
    ])  # fmt: skip
    return _post("/api/v1/orders", key if rng.random() < 0.5 else "wrong", b"{}", more=f"{odd}\r\n")


def _no_http(rng: random.Random, key: str) -> bytes:  # noqa: ARG001 - one shape for all kinds
    return rng.choice([b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"NOT HTTP AT ALL\r\n\r\n"])


def _cut_off(rng: random.Random, key: str) -> bytes:
    whole = _post("/api/v1/orders", key, b'{"order": "A", "steps": []}')
    return whole[: rng.randrange(1, len(whole))]


KINDS: dict[str, Kind] = {
    "deep": _deep, "types": _types, "encoding": _encoding, "huge": _huge, "noise": _noise, "paths": _paths,
    "headers": _headers, "no HTTP": _no_http, "cut off": _cut_off,
}  # fmt: skip


async def _one(port: int, sent: bytes, *, cut: bool, slow: bool) -> str:
    """What came back: the class of the status, or how the connection ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            if slow:
                # The rest never comes: it is the gateway that has to lose patience.
                for byte in sent[:3]:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.2)
            else:
                writer.write(sent)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            if cut:
                return "cut off"
            line = await reader.readline()
    except ConnectionError:
        return "closed"
    except TimeoutError:
        return "no end"
    finally:
        writer.close()
    return f"{line.split()[1][:1].decode()}xx" if line.startswith(b"HTTP/1.1 ") else "closed"


@contextlib.asynccontextmanager
async def _gateway(data: Path) -> AsyncIterator[tuple[int, str, psutil.Process]]:
    """A running gateway: its port, a key, its process."""
    log = data / "gateway.log"
    process = await asyncio.create_subprocess_exec(
        STELLWERK, "run", DEMO_SITE, "--data", data, "--log-file", log, env={**os.environ, **_AWAY}
    )
    try:
        async with asyncio.timeout(START_S_MAX):
            while not log.exists() or "API offered" not in log.read_text("utf-8"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        url = next(line["url"] for line in lines if line["event"] == "API offered")
        adding = await asyncio.create_subprocess_exec(
            STELLWERK, "access", "key-add", "hostile", "--data", data,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = await adding.communicate()
        await asyncio.sleep(1.5)  # a key that is made beside the gateway is known to it after a second
        yield int(url.split(":")[2].split("/")[0]), out.decode().split()[-1], psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _run(requests: int, seed: int, data: Path) -> dict[str, object]:
    rng = random.Random(seed)
    answers: dict[str, Counter[str]] = {name: Counter() for name in KINDS}
    left = iter(range(requests))
    async with _gateway(data) as (port, key, process):

        async def send() -> None:
            for number in left:
                name = rng.choice(list(KINDS))
                slow = number % SLOW_EVERY == 0
                ended = await _one(port, KINDS[name](rng, key), cut=name == "cut off", slow=slow)
                answers[name][ended] += 1
                if number == requests // 5:
                    rss.append(process.memory_info().rss)

        rss: list[int] = []
        began_s = time.monotonic()
        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        rss.append(process.memory_info().rss)
        took_s = time.monotonic() - began_s
        alive = await _one(port, b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n", cut=False, slow=False)
    figures: dict[str, object] = {f"hostile.{name}": dict(counts) for name, counts in answers.items()}
    errors = sum(counts[bad] for counts in answers.values() for bad in ("5xx", "no end", "2xx"))
    figures |= {
        "hostile.requests": requests, "hostile.seconds": round(took_s, 1), "hostile.wrong": errors,
        "hostile.alive": alive == "2xx", "hostile.rss_first_mib": rss[0] / _MIB, "hostile.rss_last_mib": rss[-1] / _MIB,
    }  # fmt: skip
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Print what came of each kind; exit code 1 where one was answered as it should not be."""
    parser = argparse.ArgumentParser(prog="bench.hostile", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-hostile-") as scratch:
        figures = asyncio.run(_run(options.requests, options.seed, Path(scratch)))
    for name in KINDS:
        print(f"{name:10} {figures[f'hostile.{name}']}")
    first, last = float(str(figures["hostile.rss_first_mib"])), float(str(figures["hostile.rss_last_mib"]))
    print(f"{options.requests} requests in {figures['hostile.seconds']} s, {figures['hostile.wrong']} answered wrongly")
    print(f"memory {first:.1f} MiB after a fifth, {last:.1f} MiB at the end; alive: {figures['hostile.alive']}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    good = not figures["hostile.wrong"] and figures["hostile.alive"] and last - first < GROWN_MIB_MAX
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
