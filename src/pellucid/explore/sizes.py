"""Whether the cases fit together: shapes, spacings, constant pictures, the same picture or patient on two sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from pellucid.core.case import Case
from pellucid.explore.cohort import Cohort

FEW = 5  # cases named
SAME = 0.02  # of a spacing: what is nearer is no other spacing
COLUMNS = ["check", "found", "n", "of", "sentence"]


def checks(cohort: Cohort, pictures: pd.DataFrame, cases: Sequence[Case]) -> pd.DataFrame:
    """One row for everything that was looked for, with a sentence that says what was found.

    Args:
        cohort: all cases.
        pictures: rows of :func:`pellucid.explore.pictures.picture_rows`, of the cases that were looked at.
        cases: all cases, for which inputs are missing.

    Returns:
        ``check``; ``found``, whether it is something to look at; ``n`` and ``of``, how many of how many; ``sentence``.
    """
    rows = [*_people(cohort), *_truth(cohort), *_missing(cases), *_pictures(pictures)]
    return pd.DataFrame(rows, columns=COLUMNS)


Row = tuple[str, bool, int, int, str]


def _people(cohort: Cohort) -> Iterator[Row]:
    sides = cohort.frame.groupby("group")["part"].nunique()
    n, of = int((sides > 1).sum()), len(sides)
    said = "No patient is in two parts." if not n else f"{n} of {of} patients are in more than one part: a leak."
    yield "patient_in_two_parts", n > 0, n, of, said
    if len(cohort) == 1:
        yield "one_case", True, 1, 1, "There is one case: nothing can be compared, and no number has an interval."


def _truth(cohort: Cohort) -> Iterator[Row]:
    known, of = int(cohort.known.sum()), len(cohort)
    if cohort.kind == "none":
        yield "truth", True, of, of, "No case has a truth: classes are not described, and nothing can be trained on it."
        return
    if known < of:
        yield "truth", True, of - known, of, f"{of - known} of {of} cases have no truth; they are in no class."
    if cohort.kind == "score":
        return
    empty = [name for k, name in enumerate(cohort.classes) if not (cohort.has[:, k] == 1).any()]
    if empty:
        said = f"No case has {', '.join(empty)}: nothing can be learnt or measured of it."
        yield "class_without_cases", True, len(empty), len(cohort.classes), said
    present = len(cohort.classes) - len(empty)
    if cohort.kind == "exclusive" and present == 1:
        only = next(name for name in cohort.classes if name not in empty)
        yield "single_class", True, 1, len(cohort.classes), f"All cases are {only}: there is nothing to tell apart."
    if cohort.kind == "labels":
        full = [name for k, name in enumerate(cohort.classes) if (cohort.has[cohort.known, k] == 1).all()]
        if full:
            said = f"Every case has {', '.join(full)}: there is nothing to tell apart."
            yield "single_class", True, len(full), len(cohort.classes), said


def _missing(cases: Sequence[Case]) -> Iterator[Row]:
    for name in dict.fromkeys(name for c in cases for name in c.missing):
        n = sum(name in c.missing for c in cases)
        yield "missing_input", True, n, len(cases), f"{n} of {len(cases)} cases lack the input {name}."


def _pictures(pictures: pd.DataFrame) -> Iterator[Row]:
    if not len(pictures):
        return
    of = pictures["case"].nunique()
    looked = f"of the {of} cases looked at"
    constant = pictures[pictures["constant"]]
    n = constant["case"].nunique()
    said = f"{n} {looked} have a constant picture: {_named(constant['case'])}." if n else f"None {looked} is constant."
    yield "constant_picture", n > 0, n, of, said
    shapes = {str(name): own["shape"] for name, own in pictures.groupby("input", sort=False)}
    for name, own in shapes.items():
        if own.nunique() > 1:
            of_it = f" of {name}" if len(shapes) > 1 else ""
            yield "shape", True, *_kinds(own.value_counts(), f"Pictures{of_it} have", "sizes")
    spacings = pictures.drop_duplicates("case")["spacing"].value_counts()
    if len(spacings) > 1 and _apart(spacings.index):
        yield "spacing", True, *_kinds(spacings, "Pictures have", "spacings")
    once = pictures.drop_duplicates("case")
    double = once[once.duplicated("hash", keep=False)]
    sides = double.groupby("hash")
    extra, across = len(double) - len(sides), int((sides["part"].nunique() > 1).sum())
    said = f"No two {looked} have the same pictures."
    if extra:
        said = f"{extra} {looked} repeat another's pictures, value by value: {_named(double['case'])}."
    yield "duplicate_picture", extra > 0, extra, of, said
    if extra:
        said = "None of them is in another part."
        if across:
            are = "picture is" if across == 1 else "pictures are"
            said = f"{across} {are} in more than one part: a leak, whatever the patients are called."
        yield "duplicate_across_parts", across > 0, across, of, said


def _kinds(kinds: pd.Series, start: str, word: str) -> tuple[int, int, str]:
    """How many are not of the commonest kind, of how many, and which kinds there are."""
    most = ", ".join(f"{k} ({v})" for k, v in kinds.head(3).items())
    more = f" and {len(kinds) - 3} more" if len(kinds) > 3 else ""
    return int(kinds.iloc[1:].sum()), int(kinds.sum()), f"{start} {len(kinds)} {word}: {most}{more}."


def _apart(kinds: Iterable[str]) -> bool:
    """Whether two of these spacings differ along an axis by more than rounding."""
    axes = [[float(v) for v in kind.split("×")] for kind in kinds]
    if len({len(a) for a in axes}) > 1:
        return True
    return any(max(along) > (1 + SAME) * min(along) for along in zip(*axes))


def _named(cases: pd.Series) -> str:
    names = list(dict.fromkeys(cases))
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
