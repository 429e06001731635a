"""`python -m plc_simulators SITE`: the plant as a process of its own.

`python -m plc_simulators playback FILE`: one recorded device. Either prints one JSON line on stdout when it is ready,
and runs until stdin is closed, SIGTERM, or (the plant) `stop` on the control channel. Everything else goes to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

import aiomqtt

from plc_simulators.layout import LayoutError
from plc_simulators.playback import command
from plc_simulators.rig import Rig
from plc_simulators.servers.tasks import end


def main() -> int:
    """Run the command line; 0 for an ordinary end, 2 for a site, a capture or a broker that can't be used."""
    is_playback = sys.argv[1:2] == ["playback"]
    try:
        return _play_back(sys.argv[2:]) if is_playback else _simulate()
    except (LayoutError, OSError, ValueError, aiomqtt.MqttError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2


def _simulate() -> int:
    parser = argparse.ArgumentParser(prog="plc_simulators", description="Simulated plant on the real wire.")
    parser.epilog = "A recorded device: plc_simulators playback FILE (see playback --help)."
    parser.add_argument("site", type=Path, help="folder with the site's YAML files")
    parser.add_argument("--seed", type=int, default=1, help="seed of all chance (default 1)")
    parser.add_argument("--speed", type=float, default=1.0, help="plant seconds per real second (default 1)")
    parser.add_argument("--mqtt-port", type=int, default=None, help="use this broker on 127.0.0.1")
    arguments = parser.parse_args()
    _set_up_log()
    asyncio.run(_run(arguments.site, arguments.seed, arguments.speed, arguments.mqtt_port))
    return 0


def _play_back(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="plc_simulators playback", description="A recorded device on the real wire.")
    command.add_arguments(parser)
    arguments = parser.parse_args(argv)
    _set_up_log()
    asyncio.run(_run_playback(command.playback_of(arguments)))
    return 0


def _set_up_log() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    # Closed connections are what a simulator is for; the libraries' reports of them say nothing new.
    for chatty in ("amqtt", "asyncua", "pymodbus", "mqtt"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


async def _run_playback(device: command.Playback) -> None:
    """Runs on when all has been played; a playback that fails ends it with its error."""
    stop_asked = asyncio.Event()
    async with device:
        parent = _watch_for_the_end(stop_asked)
        _tell_ready(address=device.address)
        asked = asyncio.create_task(stop_asked.wait(), name="stop asked")
        played = asyncio.create_task(device.finished(), name="played")
        await asyncio.wait((asked, played), return_when=asyncio.FIRST_COMPLETED)
        if played.done():
            played.result()
            await asked
        await end(parent, asked, played)


async def _run(site: Path, seed: int, speed: float, mqtt_port: int | None) -> None:
    async with Rig(site, seed=seed, speed=speed, mqtt_port=mqtt_port) as rig:
        parent = _watch_for_the_end(rig.stop_asked)
        _tell_ready(environment=rig.environment, control_port=rig.control_port)
        await rig.finished()
        await end(parent)


def _tell_ready(**what: object) -> None:
    sys.stdout.write(json.dumps({"ready": True, **what}) + "\n")
    sys.stdout.flush()


def _watch_for_the_end(stop_asked: asyncio.Event) -> asyncio.Task[None]:
    """Have `stop_asked` set by a signal or the end of stdin; gives the task that watches stdin."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_asked.set)
    return asyncio.create_task(_parent_gone(stop_asked), name="stdin")


async def _parent_gone(stop_asked: asyncio.Event) -> None:
    """Stdin is held open by whoever started this; its end means that nobody is left to stop it."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while await reader.read(1024):
            pass
        stop_asked.set()
    finally:
        transport.close()


if __name__ == "__main__":
    sys.exit(main())
