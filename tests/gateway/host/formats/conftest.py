"""Messages as hosts send them, in samples/: written for these tests, with the oddities of the field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture(scope="session")
def sample() -> Callable[[str], bytes]:
    def bytes_of(name: str) -> bytes:
        return (SAMPLES / name).read_bytes()

    return bytes_of
