"""The subscription to a profile's levels: asked for in full, looked at as the server revised it, rebuilt when dead.

Not asyncua's own `Subscription`: that one wraps each change in three objects and a queue, and its watchdog recreates
in one call whatever the server's limits are. Here a change goes straight from the Publish response to `take` (signal,
value, status code), and the next Publish request leaves when all of it has been taken: nothing queues up on our side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError

from drivers.link import LinkLostError
from drivers.opcua.calls import Calls
from drivers.opcua.notifications import Changes
from drivers.opcua.values import plain
from drivers.signals import BadValueError, Bound

LIFE_MS = 30_000
KEEP_ALIVE_MS = 1_000
NOTIFICATIONS_MAX = 1_000
"""Changes in one Publish response; more come in the next."""
REVISED_FACTOR_MAX = 2
"""What the server makes of our settings may differ by so much before a person is told."""
_U32 = 2**32
_FILTER_REFUSED = frozenset(
    {
        StatusCodes.BadMonitoredItemFilterUnsupported, StatusCodes.BadMonitoredItemFilterInvalid,
        StatusCodes.BadFilterNotAllowed, StatusCodes.BadDeadbandFilterInvalid,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of the server. Deadbands by signal name, in the node's own (raw) unit."""

    publishing_ms: int
    sampling_ms: int
    queue_size: int
    deadbands: Mapping[str, float]


class Subscription:
    """Calls `take` for every change, `refuse` for a signal that can't be watched and `wake` after each batch.

    `told` hears what the server revised beyond a factor of 2: what, the value, and the sentence.
    """

    def __init__(
        self,
        calls: Calls,
        where: str,
        settings: Settings,
        *,
        take: Callable[[Bound, Any, int], None],
        refuse: Callable[[BadValueError], None],
        told: Callable[[str, object, str], None],
        wake: Callable[[], None],
    ) -> None:
        self.has_gap = False
        """A message of the server is missing: what it said has to be read. The owner clears it."""
        self._calls = calls
        self._where = where
        self._settings = settings
        self._take = take
        self._refuse = refuse
        self._told = told
        self._wake = wake
        self._watched: Sequence[tuple[Bound, ua.NodeId]] = ()
        self._id: int | None = None
        self._generation = 0
        self._next: int | None = None
        self._ended: ua.StatusCode | None = None
        self._failure: Exception | None = None

    async def open(self, watched: Sequence[tuple[Bound, ua.NodeId]]) -> None:
        """Create it with all its items. Raises what asyncua raises."""
        self._watched = watched
        await self.rebuild()

    async def rebuild(self) -> None:
        """Give up what there is, if it still is, and create it anew; every item then tells its present value."""
        self._generation += 1
        self._next, self._ended, self.has_gap = None, None, False
        if self._id is not None:
            # Most often the server knows it no longer; where it does, it must not go on talking.
            with suppress(UaError):
                await self._calls.client.uaclient.delete_subscriptions([self._id])
        params = self._parameters(self._settings.publishing_ms)
        session = self._calls.client.uaclient.session
        result = await session.create_subscription(params, partial(self._published, self._generation))
        self._id = result.SubscriptionId
        await self._look(params, result)
        await self._create(list(range(len(self._watched))), with_deadband=True)

    def require_alive(self) -> None:
        """Raises LinkLostError once the server has ended it, and what went wrong while changes were taken."""
        if self._failure is not None:
            raise self._failure
        if self._ended is not None:
            raise LinkLostError(f"{self._where}: the connection broke ({self._ended.name}): is the PLC on the network?")

    # --- asking for it ---

    def _parameters(self, interval_ms: float) -> ua.CreateSubscriptionParameters:
        """Keep-alive and lifetime are counted in intervals, so they follow from the interval."""
        return ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=interval_ms,
            RequestedLifetimeCount=max(300, int(LIFE_MS / interval_ms)),
            RequestedMaxKeepAliveCount=max(10, int(KEEP_ALIVE_MS / interval_ms)),
            MaxNotificationsPerPublish=NOTIFICATIONS_MAX,
            PublishingEnabled=True,
            Priority=0,
        )

    async def _look(self, asked: ua.CreateSubscriptionParameters, result: ua.CreateSubscriptionResult) -> None:
        """Tell of a revised interval, and fit keep-alive and lifetime to it: they are counts of intervals."""
        interval_ms = result.RevisedPublishingInterval
        self._judge("the publishing interval", "ms", asked.RequestedPublishingInterval, interval_ms)
        if interval_ms <= 0 or interval_ms == asked.RequestedPublishingInterval:
            return
        fitting = self._parameters(interval_ms)
        params = ua.ModifySubscriptionParameters(
            SubscriptionId=result.SubscriptionId,
            RequestedPublishingInterval=interval_ms,
            RequestedLifetimeCount=fitting.RequestedLifetimeCount,
            RequestedMaxKeepAliveCount=fitting.RequestedMaxKeepAliveCount,
            MaxNotificationsPerPublish=NOTIFICATIONS_MAX,
            Priority=0,
        )
        # A server that refuses this keeps its longer times: noticed later, but noticed, by the heartbeat.
        with suppress(UaError):
            await self._calls.client.uaclient.session.update_subscription(params)

    async def _create(self, handles: list[int], *, with_deadband: bool) -> None:
        """Create items; those whose deadband is refused once more without it."""
        assert self._id is not None, "a subscription comes before its items"
        requests = [self._request(handle, with_deadband=with_deadband) for handle in handles]
        again, made = [], []
        for handle, result in zip(handles, await self._calls.create_items(self._id, requests), strict=True):
            signal = self._watched[handle][0]
            if result.StatusCode.is_good():
                made.append(result)
            elif with_deadband and result.StatusCode.value in _FILTER_REFUSED and self._deadband(signal):
                again.append(handle)
            else:
                problem = f"node {signal.node} can't be subscribed"
                self._refuse(BadValueError(signal.name, result.StatusCode.name, problem))
        self._look_at_items(made)
        if again:
            first = self._watched[again[0]][0].name
            problem = f"the server refuses the deadband of {len(again)} signals, {first} for one: watched without it"
            self._told("a deadband", self._deadband(self._watched[again[0]][0]), problem)
            await self._create(again, with_deadband=False)

    def _look_at_items(self, made: Sequence[ua.MonitoredItemCreateResult]) -> None:
        """Tell of the shortest queue and the slowest sampling: one word for all items."""
        if not made:
            return
        self._judge("the queue size", "", self._settings.queue_size, min(r.RevisedQueueSize for r in made))
        sampling_ms = max(result.RevisedSamplingInterval for result in made)
        if self._settings.sampling_ms and sampling_ms > 0:
            self._judge("the sampling interval", "ms", self._settings.sampling_ms, sampling_ms)

    def _request(self, handle: int, *, with_deadband: bool) -> ua.MonitoredItemCreateRequest:
        signal, node = self._watched[handle]
        parameters = ua.MonitoringParameters(
            ClientHandle=handle,
            SamplingInterval=self._settings.sampling_ms,
            QueueSize=self._settings.queue_size,
            DiscardOldest=True,
        )
        deadband = self._deadband(signal)
        if deadband and with_deadband:
            parameters.Filter = ua.DataChangeFilter(
                Trigger=ua.DataChangeTrigger.StatusValue,
                DeadbandType=ua.DeadbandType.Absolute.value,
                DeadbandValue=deadband,
            )
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=parameters,
        )

    def _deadband(self, signal: Bound) -> float:
        return self._settings.deadbands.get(signal.name, 0.0)

    def _judge(self, what: str, unit: str, asked: float, given: float) -> None:
        if not asked / REVISED_FACTOR_MAX <= given <= asked * REVISED_FACTOR_MAX:
            text = f"{what} was asked for as {asked:g} {unit}".rstrip()
            given_text = f"{given:g} {unit}".rstrip()
            self._told(what, given, f"{text}, the server made it {given_text}: see its limits, or ask for that")

    # --- what it says ---

    def _published(self, generation: int, result: ua.PublishResult) -> None:
        """asyncua's publish loop calls this, and logs what it raises; so nothing is raised here but kept."""
        if generation != self._generation:
            return
        try:
            self._note(result.NotificationMessage)
        except Exception as exc:  # noqa: BLE001
            # Its fate: `require_alive` raises it in the driver's own task.
            self._failure = exc
        self._wake()

    def _note(self, message: ua.NotificationMessage) -> None:
        parts: Sequence[Any] = message.NotificationData or ()
        number = message.SequenceNumber
        if number:  # 0 is a message that asyncua made up: the connection is gone
            # A keep-alive carries the number that the next message will have.
            self.has_gap = self.has_gap or (self._next is not None and 0 < (number - self._next) % _U32 < _U32 // 2)
            self._next = number % (_U32 - 1) + 1 if parts else number
        capture, take = self._calls.capture, self._take
        for part in parts:
            if isinstance(part, Changes):
                self._calls.meter.heard()
                watched = self._watched
                for handle, value, status in part.items:
                    take(watched[handle][0], value, status)
            elif isinstance(part, ua.DataChangeNotification):
                self._calls.meter.heard()
                for item in part.MonitoredItems:
                    signal, node = self._watched[item.ClientHandle]
                    if capture is not None:
                        self._calls.note_value("in", "change", node, item.Value)
                    take(signal, *plain(item.Value))
            elif isinstance(part, ua.StatusChangeNotification):
                self._ended = part.Status
