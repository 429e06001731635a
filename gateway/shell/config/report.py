"""What `stellwerk check` prints."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.shell.config.loader import load
from gateway.shell.config.render import as_json, as_text

FORMATS = ("text", "json")


def run_check(path: Path, format: str) -> tuple[int, str]:
    """Check the site at `path` against the process's environment; exit code 0 or 1 and what to print.

    `format`: text or json; another one gives exit code 2.
    """
    if format not in FORMATS:
        return 2, f"unknown format '{format}': use {' or '.join(FORMATS)}\n"
    loaded = load(path, os.environ)
    code = 1 if loaded.problems else 0
    if format == "json":
        return code, as_json(loaded.problems)
    if loaded.site is None:
        return code, as_text(loaded.problems, loaded.sources)
    site = loaded.site
    size = f"{len(site.devices)} devices, {len(site.locations)} locations, {len(site.map.nodes)} nodes"
    return code, f"{path}: no errors. Site '{site.site.id}': {size}, {len(site.profiles)} profiles\n"
