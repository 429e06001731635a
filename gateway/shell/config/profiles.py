"""The profiles that come with Stellwerk: one YAML file each in `config/profiles`, named like its profile."""

from __future__ import annotations

from pathlib import Path

import gateway

SHIPPED = Path(gateway.__file__).parent.parent / "config"
"""Beside the package, in a checkout as in an installed wheel. Not looked up as a package named `config`: a
folder of that name in the working directory would be found first."""


def shipped() -> dict[str, Path]:
    """Profile name → its file."""
    return {path.stem: path for path in sorted((SHIPPED / "profiles").glob("*.yaml"))}
