"""What a cross-check finds, and how names that nearly fit are found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

Path = tuple[str | int, ...]

_LIKENESS_MIN = 0.6
_CANDIDATES_MAX = 400
"""Compared letter by letter; the rest is sieved out by length and first letters."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a site. `path`: keys and indices as in the YAML; `other`: the place it collides with."""

    path: Path
    message: str
    hint: str = ""
    other: Path | None = None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None. Deterministic, bounded work."""
    low = word.lower()
    near = [k for k in known if abs(len(k) - len(word)) <= 3 and k != word]
    if len(near) > _CANDIDATES_MAX:
        near = [k for k in near if k[:2].lower() == low[:2]][:_CANDIDATES_MAX]
    matcher = SequenceMatcher(b=low, autojunk=False)
    best, best_ratio = None, _LIKENESS_MIN
    for candidate in near:
        matcher.set_seq1(candidate.lower())
        if matcher.real_quick_ratio() < best_ratio or matcher.quick_ratio() < best_ratio:
            continue
        ratio = matcher.ratio()
        if ratio > best_ratio or (best is None and ratio == best_ratio):
            best, best_ratio = candidate, ratio
    return best


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint: the nearest known word, else `otherwise`."""
    found = nearest(word, known)
    return f"did you mean '{found}'?" if found is not None else otherwise
