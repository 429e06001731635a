"""Whose assertion it was: a bug of ours is not taken for a broken line, an assertion of a library is."""

from __future__ import annotations

import json
import types

import pytest

from drivers import link


def raised(code: str, file: str) -> AssertionError:
    """An assertion that fails in a function of `file`."""
    module = types.ModuleType("elsewhere")
    exec(compile(code, file, "exec"), module.__dict__)
    with pytest.raises(AssertionError) as caught:
        module.fail()
    return caught.value


def test_an_assertion_of_ours_is_raised_again():
    ours = raised("def fail():\n    assert False, 'a bug'\n", str(link._HOUSE / "modbus" / "driver.py"))
    with pytest.raises(AssertionError, match="a bug"):
        link.require_not_ours(ours)


def test_an_assertion_of_a_library_passes_as_an_error_of_the_wire():
    link.require_not_ours(raised("def fail():\n    assert False\n", json.__file__))


def test_any_other_error_passes():
    link.require_not_ours(ValueError("x"))
    link.require_not_ours(AssertionError("never raised"))
