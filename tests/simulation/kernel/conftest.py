"""Lets the tests here import `planted` beside them."""

from __future__ import annotations

import sys
from pathlib import Path

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))
