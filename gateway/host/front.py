"""The side of the gateway that hosts, people and SCADA see, put together from what the site says."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import apsw
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Effect, LinkFigures, Ns
from gateway.host import api
from gateway.host.access import Access, link
from gateway.host.api.server import Server
from gateway.host.channels import book
from gateway.host.channels.assembly import Tells, channels_for, those_who_tell
from gateway.host.gate import Gate, Listener
from gateway.host.live import Live
from gateway.host.outward import Outward
from gateway.host.plans import Plans
from gateway.host.store import Store
from gateway.site import Site

Figures = Callable[[], Sequence[LinkFigures]]
Part = tuple[str, Callable[[], Awaitable[None]]]
Missed = Iterable[tuple[int, int, Ns, Effect]]


def store_path(data: Path) -> Path:
    """Where accounts, audit, sort plans and what is to be told to others are kept."""
    return data / "host" / "host.db"


class Unusable(Exception):
    """The file of this floor can't be opened."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(
            f"{path}, where accounts and what others are to be told are kept, can't be used ({error}): give the "
            "gateway's user the right to write there, or put the file of a backup in its place"
        )


class Front:
    """Open with `open` before the gate takes its first input; run its `parts`; close after the gate's last snapshot."""

    def __init__(
        self, store: Store, parts: list[Part], server: Server | None, access: Access | None, keepers: list[Tells]
    ) -> None:
        self.parts = parts
        """What has to run, each for ever, by name."""
        self.server = server
        self.access = access
        """Both None where the site has no `http`."""
        self.listeners: list[Listener] = [keeper.heard for keeper in keepers]
        """Are to hear every effect from now on."""
        self.keepers = [keeper.flush for keeper in keepers]
        """To be awaited before every snapshot of the kernel."""
        self._store = store

    @classmethod
    async def open(
        cls, site: Site, data: Path, gate: Gate, missed: Missed, log: Log, version: str, figures: Figures
    ) -> Front:
        """`missed`: what the replayed inputs drew; it is durable when this returns.

        Raises Unusable where the file can't be used, OSError where a channel's folder can't be made.
        """
        schemas = (Access.SCHEMA, Plans.SCHEMA, api.SCHEMA, Outward.SCHEMA, book.SCHEMA)
        path = store_path(data)
        try:
            store = await Store.open(path, *schemas)
        except (OSError, apsw.Error) as error:
            raise Unusable(path, error) from error
        try:
            return await cls._on(store, site, data, gate, missed, log, version, figures)
        except BaseException:  # fate: raised again, with nothing left open
            await store.close()
            raise

    @classmethod
    async def _on(
        cls, store: Store, site: Site, data: Path, gate: Gate, missed: Missed, log: Log, version: str, figures: Figures
    ) -> Front:
        outward = await Outward.open(store, site.outward, site, gate, log)
        channels, hooks = channels_for(site, data, gate.ask, log, store, gate.now_ns)
        keepers: list[Tells] = [outward, *those_who_tell(channels)]
        for effect in missed:
            for keeper in keepers:
                keeper.heard(*effect)
        for keeper in keepers:
            await keeper.flush()
        parts: list[Part] = [("outward", outward.run)]
        parts += [(f"channel {channel.client}", channel.run) for channel in channels]
        server = access = None
        if site.http is not None:
            access = await Access.open(store, site.http, time.time_ns)
            live = Live(gate, gate.now_ns, figures=figures, version=version)
            app = api.build(
                api.Parts(
                    gate=gate,
                    access=access,
                    store=store,
                    plans=Plans(store, gate),
                    spec=site.http,
                    log=log,
                    site_name=site.site.name,
                    version=version,
                    live=live,
                    outward=outward,
                    hooks=hooks,
                    figures=figures,
                )
            )
            server = Server(app, site.http, log, partial(_offer, await access.first_token(), log))
            parts += [("live", live.run), ("api", server.run)]
        return cls(store, parts, server, access, keepers)

    async def close(self) -> None:
        """Write what waits, then close."""
        await self._store.close()


def _offer(token: str | None, log: Log, url: str) -> None:
    if token is not None:
        told = "nobody has an account yet: make the first one at this address, which is good once"
        log.warning(told, url=link.address(url, token))
