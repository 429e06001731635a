"""What a look at one device from outside found: for `stellwerk doctor` and `stellwerk browse`.

Every protocol has a `probe.py` with `examine` and `browse`; what they share stands here: name resolution, a TCP
connection, the shape of the findings. A probe only reads.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from gateway.contract import DeviceId, Scalar, Struct

Step = Literal["name", "tcp", "handshake", "security", "identity", "signals", "latency", "clock"]
Verdict = Literal["good", "doubtful", "bad", "skipped"]
SAMPLES = 50
"""Round trips that are timed for the latency figures."""


class Check(Struct, frozen=True):
    """One step: what was found, and where it is not good what to do about it, in words for whoever stands there."""

    step: Step
    verdict: Verdict
    found: str
    next_step: str = ""


class Reading(Struct, frozen=True):
    """One declared signal, read once. `where`: its register, node or topic; `problem` is empty where it is good."""

    signal: str
    where: str
    value: Scalar
    problem: str = ""


class Examination(Struct, frozen=True):
    """All that was found at one device. Times in ms; `clock_offset_ms` is the device's clock minus ours."""

    device: DeviceId
    protocol: str
    address: str
    checks: tuple[Check, ...]
    readings: tuple[Reading, ...] = ()
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    clock_offset_ms: float | None = None

    @property
    def is_good(self) -> bool:
        """Nothing is bad; a doubtful or skipped step does not count."""
        return not any(check.verdict == "bad" for check in self.checks) and not any(r.problem for r in self.readings)


class Found(Struct, frozen=True):
    """One thing that `browse` shows: a node, a register, a topic; `depth` indents it under what it belongs to."""

    depth: int
    what: str
    kind: str
    value: str = ""


async def reach(host: str, port: int, timeout_s: float) -> list[Check]:
    """Resolve the name and open a TCP connection; ends with the first step that is bad."""
    try:
        # getaddrinfo can't be stopped; the resolver's own limit ends the thread.
        async with asyncio.timeout(timeout_s):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as exc:
        why = "no answer from the name server" if isinstance(exc, TimeoutError) else (exc.strerror or str(exc))
        return [Check("name", "bad", f"{host} can't be resolved: {why}", "check the name, or write the IP address")]
    addresses = sorted({str(entry[4][0]) for entry in found})
    checks = [Check("name", "good", f"{host} is {', '.join(addresses)}")]
    begun_ns = time.monotonic_ns()
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        text = f"{host}:{port} did not answer within {timeout_s:g} s"
        step = "is it switched on, plugged in, and does a firewall or another network lie between?"
        return [*checks, Check("tcp", "bad", text, step)]
    except ConnectionRefusedError:
        step = "the machine is there but nothing listens: check the port, and that its server is switched on"
        return [*checks, Check("tcp", "bad", f"{host}:{port} refused the connection", step)]
    except OSError as exc:
        step = "check cable, network mask and route"
        return [*checks, Check("tcp", "bad", f"{host}:{port} can't be reached: {exc.strerror or exc}", step)]
    took_ms = (time.monotonic_ns() - begun_ns) / 1e6
    writer.close()
    return [*checks, Check("tcp", "good", f"{host}:{port} took the connection in {took_ms:.1f} ms")]


def quantiles_ms(samples_ns: Sequence[int]) -> tuple[float, float]:
    """p50 and p99 of at least one round trip, by nearest rank, in ms."""
    in_order = sorted(samples_ns)

    def rank(share: float) -> float:
        return in_order[min(len(in_order) - 1, int(share * len(in_order)))] / 1e6

    return rank(0.5), rank(0.99)


def as_json(examinations: Sequence[Examination]) -> bytes:
    """All findings, for programs."""
    return msgspec.json.format(msgspec.json.encode(list(examinations)), indent=2) + b"\n"
