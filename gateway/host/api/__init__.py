"""The HTTP API of the gateway: what hosts, people's screens and scripts ask for, under /api/v1."""

from gateway.host.api.application import SCHEMA, build
from gateway.host.api.guarded import NoRole
from gateway.host.api.parts import Hook, HookAnswer, LiveFeed, Outbound, Parts
from gateway.host.api.server import BadCertificate, PortTaken, Server

__all__ = [
    "SCHEMA",
    "BadCertificate",
    "Hook",
    "HookAnswer",
    "LiveFeed",
    "NoRole",
    "Outbound",
    "Parts",
    "PortTaken",
    "Server",
    "build",
]
