"""Buckets and delays, in made-up time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.host.access.rates import FORGIVEN_AFTER_S, FREE_TRIES, Buckets, Throttle

pauses = st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 20), pauses)
def test_no_window_lets_more_through_than_burst_and_rate(per_s: int, burst: int, waits: list[float]) -> None:
    buckets = Buckets(per_s, burst)
    now_s, passed = 0.0, []
    for wait_s in waits:
        now_s += wait_s
        for _ in range(3):
            if buckets.take("a", now_s) is None:
                passed.append(now_s)
    for first, begin_s in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + (passed[last] - begin_s) * per_s + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 60))
def test_whoever_comes_back_when_told_gets_in(per_s: int, burst: int, count: int) -> None:
    buckets = Buckets(per_s, burst)
    now_s = 100.0
    for _ in range(count):
        wait_s = buckets.take("a", now_s)
        if wait_s is not None:
            assert 0 < wait_s <= 1 / per_s + 1e-9
            now_s += wait_s + 1e-9
            assert buckets.take("a", now_s) is None


def test_each_key_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(1, 2)
    assert [buckets.take(key, 0.0) is None for key in "aabbab"] == [True, True, True, True, False, False]


def test_many_newcomers_share_one_bucket_and_free_nobody() -> None:
    buckets = Buckets(1, 2, counted_max=10)
    for name in range(10):
        assert buckets.take(f"old {name}", 0.0) is None
        assert buckets.take(f"old {name}", 0.0) is None
    passed = [buckets.take(f"new {name}", 0.5) is None for name in range(1_000)]
    assert passed.count(True) == 2
    assert len(buckets) <= 11
    assert buckets.take("old 3", 0.5) is not None
    # When the old ones have their tokens back there is nothing to remember of them.
    assert [buckets.take(f"later {name}", 9.0) is None for name in range(5)] == [True] * 5
    assert len(buckets) <= 11


def test_delays_grow_up_to_a_bound_and_are_forgiven() -> None:
    throttle = Throttle(30.0)
    now_s, delays = 0.0, []
    for _ in range(12):
        wait_s = throttle.wait_s("bob", now_s)
        delays.append(wait_s)
        now_s += wait_s
        throttle.failed("bob", now_s)
    assert delays[:FREE_TRIES] == [0.0] * FREE_TRIES
    assert all(before <= after for before, after in pairwise(delays))
    assert delays[FREE_TRIES : FREE_TRIES + 4] == [1.0, 2.0, 4.0, 8.0]
    assert max(delays) == 30.0
    assert throttle.wait_s("eve", now_s) == 0.0
    assert throttle.wait_s("bob", now_s + FORGIVEN_AFTER_S) == 0.0
    throttle.forgive("bob")
    assert throttle.wait_s("bob", now_s) == 0.0


def test_a_million_names_take_no_memory() -> None:
    throttle = Throttle(30.0, counted_max=100)
    for _ in range(FREE_TRIES + 3):
        throttle.failed("bob", 0.0)
    for name in range(5_000):
        throttle.failed(str(name), 0.0)
    assert len(throttle) <= 101
    assert throttle.wait_s("bob", 0.0) > 0  # nobody has pushed him out
    assert throttle.wait_s("somebody new", 0.0) == pytest.approx(30.0)


def test_a_try_that_did_not_fail_is_taken_back() -> None:
    throttle = Throttle(30.0)
    for _ in range(50):
        throttle.failed("10.0.0.1", 0.0)
        throttle.took_back("10.0.0.1")
    assert throttle.wait_s("10.0.0.1", 0.0) == 0.0
    assert len(throttle) == 0
