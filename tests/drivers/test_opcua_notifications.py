"""`read_plain` against asyncua's own encoder and decoder: the same, or left to asyncua."""

from __future__ import annotations

import datetime
import struct
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.opcua.notifications import Changes, read_plain
from drivers.opcua.values import plain

KINDS = ua.VariantType
WHOLE = {
    KINDS.SByte: (-(2**7), 2**7), KINDS.Byte: (0, 2**8), KINDS.Int16: (-(2**15), 2**15), KINDS.UInt16: (0, 2**16),
    KINDS.Int32: (-(2**31), 2**31), KINDS.UInt32: (0, 2**32), KINDS.Int64: (-(2**63), 2**63),
    KINDS.UInt64: (0, 2**64),
}  # fmt: skip
TIMES = st.none() | st.datetimes(
    datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC)
)
VALUES = st.one_of(
    st.builds(lambda value: ua.Variant(value, KINDS.Boolean), st.booleans()),
    *(
        st.builds(lambda value, kind=kind: ua.Variant(value, kind), st.integers(low, end - 1))
        for kind, (low, end) in WHOLE.items()
    ),
    st.builds(lambda value: ua.Variant(value, KINDS.Double), st.floats(allow_nan=False)),
    st.builds(lambda value: ua.Variant(value, KINDS.Float), st.floats(width=32, allow_nan=False)),
    st.builds(lambda value: ua.Variant(value, KINDS.String), st.none() | st.text()),
)
STATUSES = st.sampled_from([ua.StatusCodes.Good, ua.StatusCodes.BadSensorFailure, ua.StatusCodes.GoodClamped])


@st.composite
def items(draw: Any) -> ua.MonitoredItemNotification:
    value = ua.DataValue(
        draw(VALUES), ua.StatusCode(ua.UInt32(draw(STATUSES))), draw(TIMES), draw(TIMES),
        draw(st.none() | st.integers(0, 9999)), draw(st.none() | st.integers(0, 9999)),
    )  # fmt: skip
    return ua.MonitoredItemNotification(draw(st.integers(0, 2**32 - 1)), value)


def response(parts: list[Any], number: int = 7) -> ua.PublishResponse:
    made = ua.PublishResponse()
    made.Parameters.SubscriptionId = 78
    made.Parameters.AvailableSequenceNumbers = [5, 6, 7]
    made.Parameters.NotificationMessage = ua.NotificationMessage(number, datetime.datetime.now(datetime.UTC), parts)
    made.Parameters.Results = [ua.StatusCode()]
    return made


def changes(*notified: ua.MonitoredItemNotification) -> ua.DataChangeNotification:
    return ua.DataChangeNotification(list(notified))


def slowly(data: bytes) -> list[tuple[int, Any, int]]:
    (part,) = struct_from_binary(ua.PublishResponse, Buffer(data)).Parameters.NotificationMessage.NotificationData
    return [(item.ClientHandle, *plain(item.Value)) for item in part.MonitoredItems]


@settings(max_examples=150, deadline=None)
@given(st.lists(items(), max_size=8), st.integers(1, 2**32 - 1))
def test_plain_changes_are_read_as_asyncua_reads_them(notified: list[Any], number: int) -> None:
    data = struct_to_binary(response([changes(*notified)], number))
    found = read_plain(data)
    assert found is not None
    assert found.Parameters.SubscriptionId == 78
    message = found.Parameters.NotificationMessage
    assert message.SequenceNumber == number
    (part,) = message.NotificationData
    assert isinstance(part, Changes)
    assert part.items == slowly(data)
    assert [type(value) for _, value, _ in part.items] == [type(value) for _, value, _ in slowly(data)]


@settings(max_examples=150, deadline=None)
@given(st.lists(items(), min_size=1, max_size=3), st.data())
def test_broken_bytes_are_left_to_asyncua_or_read_the_same(notified: list[Any], data: Any) -> None:
    whole = struct_to_binary(response([changes(*notified)]))
    cut = data.draw(st.integers(0, len(whole)))
    flipped = bytearray(whole[:cut] + data.draw(st.binary(max_size=6)) + whole[cut + data.draw(st.integers(0, 6)) :])
    found = read_plain(bytes(flipped))
    if found is None:
        return
    (part,) = found.Parameters.NotificationMessage.NotificationData
    try:
        seen = slowly(bytes(flipped))
    except (ua.UaError, ValueError, TypeError, struct.error, OverflowError):
        return  # times that are none, or what follows the notification: nothing that we read
    assert repr(part.items) == repr(seen)


def test_what_is_not_plain_is_left_to_asyncua() -> None:
    good = ua.MonitoredItemNotification(1, ua.DataValue(ua.Variant(1, KINDS.UInt16)))
    array = ua.MonitoredItemNotification(1, ua.DataValue(ua.Variant([1, 2], KINDS.UInt16)))
    moment = ua.MonitoredItemNotification(1, ua.DataValue(ua.Variant(datetime.datetime.now(datetime.UTC))))
    ended = ua.StatusChangeNotification(ua.StatusCode(ua.UInt32(ua.StatusCodes.BadTimeout)))
    for parts in ([], [ended], [changes(good), ended], [changes(good, array)], [changes(moment, good)]):
        assert read_plain(struct_to_binary(response(parts))) is None
    refused = response([changes(good)])
    refused.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNoSubscription))
    assert read_plain(struct_to_binary(refused)) is None
    assert read_plain(b"") is None
