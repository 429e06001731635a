"""Where requests come from beside the HTTP API."""

from __future__ import annotations

from typing import Literal

from gateway.site.spec import Id, Spec


class ChannelSpec(Spec):
    """Where requests come from. folder: JSON files dropped in `<data>/inbox/<id>/`."""

    id: Id
    kind: Literal["folder"] = "folder"
