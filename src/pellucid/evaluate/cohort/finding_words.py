"""The sentences of the findings: what was seen, in how many cases, by how much, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.evaluate.cohort.moved import Effect, Filled, Tested

ANSWER = {
    "probability": "the probability of the explained class",
    "mean probability": "the mean probability of the explained region", "sd": "the score",
}  # fmt: skip


def amount(value: float, unit: str) -> str:
    """``0.41``, or ``0.41 sd`` (of the predictions)."""
    return f"{value:.2f}" + (" sd" if unit == "sd" else "")


def count(n: int, noun: str) -> str:
    """``1 case``, ``3 cases``."""
    return f"{n} {noun}" + ("s" if n != 1 else "")


def shortcut(
    t: Tested, e: Effect, *, concerned: Sequence[Filled], of: int, unit: str, orientation: str | None, frame: bool
) -> str:
    """What was found at a place."""
    n, flips = len(concerned), sum(f.flips for f in concerned)
    down = sum(bool(f.change[0] > 0) for f in concerned)
    where = "at the border of the picture" if frame else "outside the body"
    end = (
        "In some or all pictures no outline of the patient was found, so the place may hold anatomy: look at it before "
        "calling it a shortcut."
        if frame else "The model probably uses a mark that is no part of the patient."
    )  # fmt: skip
    falls = f"it falls in {down}" if down >= n / 2 else f"it rises in {n - down}"
    mine = amount(float(np.mean([f.size[0] for f in concerned])), unit)
    flipped = f", and the answer flips in {flips}" if flips else ""
    held = f"{100 * t.held[t.methods[0]]:.0f} % of the map of {t.methods[0]}"
    pointing = count(len(t.filled), "case")
    change = f"{amount(e.value, unit)} [{e.low:.2f}, {e.high:.2f}]"
    return (
        f"In {n} of {of} cases the answer hangs on evidence {where}: {t.spot.place.words(orientation)}. In the "
        f"{pointing} whose maps point there it holds {held}. With that place filled with what is around it "
        f"{ANSWER[unit]} changes in these by {change}, in the {n} by {mine} ({falls}{flipped}); the same fill at "
        f"{_matches(t)} changes it by {amount(e.control, unit)}. {end}"
    )


def nothing(
    *, cases: int, patients: int, framed: int, found: int, tested: Sequence[tuple[Tested, Effect]], unit: str,
    orientation: str | None, margin: float, dense: float,
) -> str:  # fmt: skip
    """What was looked for in vain."""
    looked = f"Evidence outside the patient was looked for in {count(cases, 'case')} of {count(patients, 'patient')}"
    if framed:
        some = f"in {framed} of them" if framed < cases else "in them"
        looked += f" ({some} no outline was found, and the outer tenth and small bright marks were looked at)"
    if not tested and not found:
        return f"{looked}, and none was found: no map holds anything there, so nothing was put to the model."
    if not tested:
        return f"{looked}; what the maps point at has no other place of its size outside to be compared with."
    t, e = max(tested, key=lambda pair: np.nan_to_num(pair[1].difference, nan=-1.0))
    place = t.spot.place.words(orientation)
    why = (
        f"maps point at {'one place' if len(tested) == 1 else f'{len(tested)} places'} there, "
        f"{'' if len(tested) == 1 else 'the one that matters most '}the {place}"
        if t.methods else f"no map holds {dense:g} times its share of any place there; the densest is the {place}"
    )  # fmt: skip
    moved = [f.case for f in t.filled if f.side > 0]
    moves = f"changes by {amount(margin, unit)} more there than at the control"
    moves += " or flips there alone" if unit == "probability" else ""
    least = next(k for k in range(1, 99) if 0.5**k * len(tested) < 0.05)
    few = (
        f"In {count(len(moved), 'case')} it {moves}, too few to tell from chance; look at them: {', '.join(moved)}. "
        if moved else ""
    )  # fmt: skip
    span = f" [{e.difference_low:.2f}, {e.difference_high:.2f}]" if np.isfinite(e.difference_low) else ""
    return (
        f"{looked}, and none was found: {why}. With it filled with what is around it {ANSWER[unit]} changes by "
        f"{amount(e.value, unit)}, and by {amount(e.control, unit)} with the same fill at {_matches(t)} (difference "
        f"{e.difference:.2f}{span}, {count(len(t.filled), 'case')}). {few}{least} patients whose answer "
        f"{'does' if moved else moves}, and none in whom the reverse holds, would have been reported."
    )


def no_maps(n: int) -> str:
    """Maps of tables only, or all of them empty or not finite."""
    return f"Evidence outside the patient was not looked for: none of the {count(n, 'case')} has a map of a picture."


def too_few(n: int, patients: int, least: int) -> str:
    """No cohort."""
    return (
        f"Evidence outside the patient was not looked for: there {'is' if n == 1 else 'are'} {count(n, 'case')} of "
        f"{count(patients, 'patient')}, and what recurs can be told from chance with {least} patients or more."
    )


def no_pictures(n: int) -> str:
    """Nothing to look at."""
    return f"Evidence outside the patient was not looked for: {count(n, 'case')} without a picture."


def second_fill(t: Tested, unit: str) -> str:
    """The same with the other fill, all cases that point there."""
    return (
        f"Filled with the picture's mean instead: {amount(float(t.column('size', 1).mean()), unit)} at the place, "
        f"{amount(float(t.column('control', 1).mean()), unit)} at the control."
    )


def about(
    how: Mapping[Any, Sequence[str]], held: Sequence[tuple[str, float, float]], methods: Sequence[str],
    controls: Sequence[str],
) -> str:  # fmt: skip
    """How the outlines were found, and what share of the maps lies outside, by method."""
    outline = "; ".join(text[0] if len(how) == 1 else f"{count(len(text), 'case')}: {text[0]}" for text in how.values())
    outline = outline[:1].upper() + outline[1:]
    if not held:
        return f"{outline}. No map of a picture to look at."
    rows = [
        f"{name} {100 * float(np.mean([v for m, v, _ in held if m == name])):.0f} %"
        for name in [*methods, *(c for c in controls if any(m == c for m, _, _ in held))]
    ]
    share = 100 * float(np.mean([s for _, _, s in held]))
    return f"{outline}. Outside is {share:.0f} % of the picture; it holds of the maps: {', '.join(rows)}."


def _matches(t: Tested) -> str:
    place = t.spot.place
    *rest, (a, b) = place.box
    mirror = (*rest, (place.shape[-1] - b, place.shape[-1] - a))
    one = "the mirrored place" if t.controls[0].box == mirror else "a place of the same size"
    return one if len(t.controls) == 1 else f"{one} and one more"
