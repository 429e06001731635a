"""The HTTP API: where it listens, and who may come in."""

from __future__ import annotations

from gateway.site.spec import Port, Spec


class HttpSpec(Spec):
    """Where the API and the live view are offered."""

    host: str = "127.0.0.1"
    port: Port = 8080
