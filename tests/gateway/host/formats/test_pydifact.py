"""What pydifact does on its own, and why only its tokenizer is used: pinned, so that a new version tells."""

from __future__ import annotations

import pytest
from pydifact.control.characters import Characters
from pydifact.exceptions import EDISyntaxError
from pydifact.parser import Parser
from pydifact.segmentcollection import Interchange

pytestmark = pytest.mark.filterwarnings("ignore::pydifact.exceptions.MissingImplementationWarning")
UNB = "UNB+UNOA:3+A+B+261125:1000+R1'"


def tags(text: str) -> list[str]:
    return [segment.tag for segment in Parser().parse(text)]


def test_una_is_looked_for_anywhere_and_what_is_before_it_is_dropped() -> None:
    assert tags(f"{UNB}UNH+1+ORDERS'UNA:+.? 'BGM+220+1'") == ["UNA", "BGM"]


def test_no_release_character_eats_blanks() -> None:
    segments = list(Parser().parse("UNA:+.  'BGM+two words'"))
    assert segments[1].elements == ["twowords"]


def test_a_segment_cut_off_after_a_separator_is_dropped() -> None:
    assert tags("BGM+220'UNT+3+") == ["BGM"]


def test_an_empty_segment_goes_into_the_next_tag() -> None:
    with pytest.raises(EDISyntaxError):
        tags("BGM+220''UNT+3'")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("bgm+1'", ValueError),
        ("UNB'", IndexError),
        ("B M+1'", EDISyntaxError),
    ],
)
def test_errors_are_of_many_kinds(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        tags(text)


def test_counts_are_not_checked() -> None:
    text = f"{UNB}UNH+1+ORDERS:D:96A:UN'BGM+220+1'UNT+99+7'UNZ+5+other'"
    assert len(list(Interchange.from_str(text).get_messages())) == 1


def test_its_tokens_are_good() -> None:
    """Release characters and empty components, which is what we use it for."""
    from pydifact.tokenizer import Tokenizer

    tokens = Tokenizer().get_tokens("FTX+a?+b?:c??:::d+'", Characters())  # type: ignore[no-untyped-call]
    assert list(Parser().convert_tokens_to_raw_segments(tokens)) == [["FTX", ["a+b:c?", "", "", "d"], ""]]
