"""What a role covers, and where requests come from."""

from __future__ import annotations

import itertools

import pytest

from gateway.host.access import ANONYMOUS, ROLES, Principal, Role, covers, permit
from gateway.host.access.peers import Proxies, is_local, neighbourhood


def test_each_role_covers_those_before_it_and_no_other() -> None:
    for (mine, role), (theirs, needed) in itertools.product(enumerate(ROLES), repeat=2):
        assert covers(role, needed) == (mine >= theirs)


@pytest.mark.parametrize("made_up", ["", "root", "Admin", "viewer ", "admin\n"])
def test_a_role_that_does_not_exist_covers_nothing(made_up: str) -> None:
    for role in ROLES:
        assert not covers(made_up, role)  # type: ignore[arg-type]
        assert not covers(role, made_up)  # type: ignore[arg-type]
    assert not covers(made_up, made_up)  # type: ignore[arg-type]


def test_a_route_without_a_role_is_for_nobody() -> None:
    refused = permit(Principal("root", "user", "admin"), None)
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize(("needed", "status"), [("viewer", None), ("operator", 401), ("admin", 401)])
def test_anonymous_is_told_to_log_in(needed: Role, status: int | None) -> None:
    refused = permit(ANONYMOUS, needed)
    assert (refused.status if refused else None) == status


def test_a_role_that_is_too_low_is_told_which_one_it_takes() -> None:
    refused = permit(Principal("bob", "user", "operator"), "engineer")
    assert refused is not None
    assert refused.status == 403
    assert "bob is operator" in refused.reason
    assert "engineer" in refused.reason


# --- peers ---


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_local(peer: str) -> None:
    assert is_local(peer)


@pytest.mark.parametrize("peer", ["", "localhost", "10.0.0.1", "::", "0.0.0.0", "::ffff:10.0.0.1", "unix:", "127.1"])
def test_everything_else_is_not(peer: str) -> None:
    assert not is_local(peer)


@pytest.mark.parametrize(
    ("peer", "headers", "any_forwarded", "expected"),
    [
        ("10.0.0.9", [], False, ("10.0.0.9", False)),
        # A header of somebody who is no proxy of ours is not believed, but noticed.
        ("10.0.0.9", ["127.0.0.1"], True, ("10.0.0.9", True)),
        ("127.0.0.1", ["10.0.0.7"], True, ("127.0.0.1", True)),
        ("10.1.0.1", ["10.0.0.7"], True, ("10.0.0.7", False)),
        ("10.1.0.1", ["127.0.0.1, 10.0.0.7"], True, ("10.0.0.7", False)),
        ("10.1.0.1", ["127.0.0.1", "10.0.0.7, 10.1.0.2"], True, ("10.0.0.7", False)),
        ("10.1.0.1", [], True, ("10.1.0.1", True)),
        ("10.1.0.1", ["10.1.0.2"], True, ("10.1.0.1", True)),
        ("10.1.0.1", ["127.0.0.1, rubbish"], True, ("10.1.0.1", True)),
        ("10.1.0.1", [""], True, ("10.1.0.1", True)),
        ("::ffff:10.1.0.1", ["2001:db8::7"], True, ("2001:db8::7", False)),
        ("10.1.0.1", ["127.0.0.1" + ", 10.1.0.2" * 50], True, ("10.1.0.1", True)),
    ],
)
def test_the_sender_behind_proxies(
    peer: str, headers: list[str], any_forwarded: bool, expected: tuple[str, bool]
) -> None:
    proxies = Proxies(("10.1.0.0/24",))
    assert proxies.origin(peer, headers, any_forwarded=any_forwarded) == expected


def test_a_whole_ipv6_subnet_counts_as_one() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("10.0.0.1") == neighbourhood("::ffff:10.0.0.1") != neighbourhood("10.0.0.2")
