"""`python -m plc_simulators SITE`: the plant as a process of its own.

Prints one JSON line on stdout when it is ready, and runs until stdin is closed, SIGTERM, or `stop` on the control
channel. Everything else goes to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from plc_simulators.layout import LayoutError
from plc_simulators.rig import Rig
from plc_simulators.servers.tasks import end


def main() -> int:
    """Run the command line; 0 for an ordinary end, 2 for a site or a broker that can't be used."""
    parser = argparse.ArgumentParser(prog="plc_simulators", description="Simulated plant on the real wire.")
    parser.add_argument("site", type=Path, help="folder with the site's YAML files")
    parser.add_argument("--seed", type=int, default=1, help="seed of all chance (default 1)")
    parser.add_argument("--speed", type=float, default=1.0, help="plant seconds per real second (default 1)")
    parser.add_argument("--mqtt-port", type=int, default=None, help="use this broker on 127.0.0.1")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    # Closed connections are what a simulator is for; the libraries' reports of them say nothing new.
    for chatty in ("amqtt", "asyncua", "pymodbus", "mqtt"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    try:
        asyncio.run(_run(arguments.site, arguments.seed, arguments.speed, arguments.mqtt_port))
    except (LayoutError, OSError, ValueError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    return 0


async def _run(site: Path, seed: int, speed: float, mqtt_port: int | None) -> None:
    async with Rig(site, seed=seed, speed=speed, mqtt_port=mqtt_port) as rig:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, rig.stop_asked.set)
        parent = asyncio.create_task(_parent_gone(rig), name="stdin")
        ready = {"ready": True, "environment": rig.environment, "control_port": rig.control_port}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await rig.finished()
        await end(parent)


async def _parent_gone(rig: Rig) -> None:
    """Stdin is held open by whoever started this; its end means that nobody is left to stop it."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while await reader.read(1024):
            pass
        rig.stop_asked.set()
    finally:
        transport.close()


if __name__ == "__main__":
    sys.exit(main())
