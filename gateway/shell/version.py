"""Which Stellwerk this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    try:
        return version("stellwerk")
    except PackageNotFoundError:
        return "0+unknown"
