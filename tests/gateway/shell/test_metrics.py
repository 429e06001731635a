"""The links' figures as Prometheus reads them, over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from drivers.meter import Meter
from gateway.shell import logs
from gateway.shell.metrics import LinkMetrics, serve


class Time:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def meter(clock: Time) -> Meter:
    return Meter("C1", "modbus", clock)


@pytest.fixture
async def scrape(meter: Meter, free_port: Callable[[], int]) -> AsyncIterator[Callable[[], object]]:
    """Serves the figures of `meter`; the callable reads them once, as samples by name and bucket."""
    port = free_port()
    metrics = LinkMetrics(lambda: [meter.figures()])
    task = asyncio.create_task(serve(metrics, "127.0.0.1", port, logs.get()))
    await asyncio.sleep(0)

    async def read() -> dict[tuple[str, str], float]:
        metrics.renew()
        body = await asyncio.to_thread(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        )
        samples = {}
        for family in text_string_to_metric_families(body):
            for sample in family.samples:
                assert sample.labels["device"] == "C1"
                assert sample.labels["protocol"] == "modbus"
                samples[sample.name, sample.labels.get("le", "")] = sample.value
        return samples

    yield read
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_counters_buckets_and_age_are_read_as_they_stand(scrape, meter, clock):
    meter.requests, meter.errors, meter.connects, meter.bad_values = 5, 2, 3, 1
    meter.answered(1_500_000)
    meter.answered(80_000_000)
    meter.answered(9_000_000_000)
    meter.heard()
    clock.now_ns = 2_000_000_000
    samples = await scrape()
    names = ("requests", "errors", "connects", "bad_values", "messages_in")
    assert [samples[f"stellwerk_link_{name}_total", ""] for name in names] == [5, 2, 3, 1, 1]
    bucket = "stellwerk_link_latency_seconds_bucket"
    assert [samples[bucket, le] for le in ("0.001", "0.002", "0.05", "0.1", "5", "+Inf")] == [0, 1, 1, 2, 2, 3]
    assert samples["stellwerk_link_latency_seconds_count", ""] == 3
    assert samples["stellwerk_link_latency_seconds_sum", ""] == pytest.approx(9.0815)
    assert samples["stellwerk_link_data_age_seconds", ""] == 2.0


async def test_a_device_that_never_said_anything_has_no_age(scrape):
    assert ("stellwerk_link_data_age_seconds", "") not in await scrape()


async def test_an_answer_on_a_bound_counts_below_it(scrape, meter):
    meter.answered(1_000_000)
    assert (await scrape())["stellwerk_link_latency_seconds_bucket", "0.001"] == 1


async def test_a_port_that_is_taken_is_an_error(meter, free_port):
    port = free_port()
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    with pytest.raises(OSError, match="in use"):
        await serve(LinkMetrics(lambda: [meter.figures()]), "127.0.0.1", port, logs.get())
    taken.close()
    await taken.wait_closed()
