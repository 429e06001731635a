"""What tests of several floors share."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Under xdist the controlling process loads this file alone: the list of peers at the end of a run is printed here.
sys.path.insert(0, str(Path(__file__).parent / "drivers"))

from peers_report import pytest_terminal_summary as pytest_terminal_summary


@pytest.fixture
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def outside_broker(request: pytest.FixtureRequest) -> Callable[[], int]:
    """The port of a broker that is not ours, from STELLWERK_TEST_MQTT=127.0.0.1:1883; skips, or fails, without."""
    import peers  # only where it is wanted: it brings the drivers with it

    def port() -> int:
        found = peers.outside_broker(request.node)
        peers.met(request.node, "Mosquitto, with our simulated vehicles")
        return found

    return port
