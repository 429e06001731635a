"""What the gateway tells others by itself, at least once and in order per order; see docs/outward.md."""

from gateway.host.outward.outbox import DeadLetter
from gateway.host.outward.outward import NotKept, Outward
from gateway.host.outward.target import TargetFigures

__all__ = ["DeadLetter", "NotKept", "Outward", "TargetFigures"]
