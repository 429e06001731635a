"""What others follow while it happens: snapshots and diffs over a WebSocket."""

from gateway.host.live.live import Live
from gateway.host.live.topics import MAPS, Topic

__all__ = ["MAPS", "Live", "Topic"]
