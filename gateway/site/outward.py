"""What the gateway tells others by itself."""

from __future__ import annotations

from gateway.site.spec import Spec


class OutwardSpec(Spec):
    """Whom the gateway tells what happens."""
