"""What the links have done, offered to Prometheus over HTTP.

The library serves from a thread of its own; it is given a copy that the loop renews every second, so a scrape never
touches what the loop works on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.contract import LATENCY_BOUNDS_MS, LinkFigures
from gateway.shell.logs import Log

RENEWED_S = 1.0
_LABELS = ("device", "protocol")
_COUNTERS = (
    ("requests", "Reads, writes, calls and publications to the device."),
    ("errors", "Requests that were refused, not answered, or answered with something else."),
    ("bad_values", "Values and messages of the device that could not be taken."),
    ("messages_in", "Notifications and messages that came from the device unasked."),
    ("connects", "Connections made to the device; one more than the reconnects."),
)


class LinkMetrics(Collector):
    """Names begin with `stellwerk_link_`; times are in seconds, as Prometheus has it."""

    def __init__(self, read: Callable[[], Sequence[LinkFigures]]) -> None:
        self._read = read
        self._figures: Sequence[LinkFigures] = ()

    def renew(self) -> None:
        """Take the figures as they stand now; from the loop only."""
        self._figures = self._read()

    def collect(self) -> Iterator[Metric]:
        """One family a counter, the histogram of answers by time, and the age of what is known."""
        figures = self._figures
        for name, text in _COUNTERS:
            family = CounterMetricFamily(f"stellwerk_link_{name}", text, labels=_LABELS)
            for each in figures:
                family.add_metric((each.device, each.protocol), getattr(each, name))
            yield family
        answers, silence = "Requests by time to the answer.", "Since the device last said something."
        latency = HistogramMetricFamily("stellwerk_link_latency_seconds", answers, labels=_LABELS)
        age = GaugeMetricFamily("stellwerk_link_data_age_seconds", silence, labels=_LABELS)
        for each in figures:
            latency.add_metric((each.device, each.protocol), _buckets(each), each.latency_sum_ms / 1000)
            if each.data_age_ms is not None:
                age.add_metric((each.device, each.protocol), each.data_age_ms / 1000)
        yield latency
        yield age


def _buckets(figures: LinkFigures) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound, the last without one."""
    bounds = [f"{bound_ms / 1000:g}" for bound_ms in LATENCY_BOUNDS_MS] + ["+Inf"]
    so_far, found = 0, []
    for bound, count in zip(bounds, figures.latency_buckets, strict=True):
        so_far += count
        found.append((bound, float(so_far)))
    return found


async def serve(metrics: LinkMetrics, host: str, port: int, log: Log) -> None:
    """Offer the metrics until cancelled. Raises OSError where the port can't be had."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    server, thread = start_http_server(port, host, registry)
    log.info("metrics offered", url=f"http://{host}:{server.server_port}/metrics")
    try:
        while True:
            metrics.renew()
            await asyncio.sleep(RENEWED_S)
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
