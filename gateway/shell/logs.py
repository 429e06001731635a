"""Structured logs: one JSON object a line in a file or on stderr, or readable lines on a terminal."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TextIO

import structlog

from gateway.shell.clock import utc_now

Log = structlog.typing.FilteringBoundLogger

# Libraries that tell every reconnect themselves; our own links say it once.
_CHATTY = ("asyncua", "pymodbus", "pymodbus.logging", "aiomqtt", "amqtt", "transitions", "paho", "mqtt")


def _stamp(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["at"] = utc_now()
    return event


def set_up(file: Path | None = None, *, json: bool | None = None, level: str = "info") -> TextIO:
    """Send all logs to `file` (appended to) or stderr; JSON unless it is a terminal. Returns the open stream."""
    stream: TextIO = file.open("a", encoding="utf-8") if file else sys.stderr
    as_json = (not stream.isatty()) if json is None else json
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=True)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _stamp, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    # Libraries write through the standard module: to the same stream, and only what is serious.
    logging.basicConfig(stream=stream, level=logging.ERROR, format="%(name)s %(message)s", force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return stream


def get() -> Log:
    log: Log = structlog.get_logger()
    return log
