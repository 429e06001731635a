"""How hypothesis looks for trouble here: without a time limit an example, which only a busy machine would break."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
