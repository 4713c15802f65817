"""The dear verdicts, ``stable``, ``sane`` and ``better``: they need the map to be made again, or the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.refiner import base_of
from pellucid.core.verdict import Verdict, not_tested
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.maths import likeness, vector
from pellucid.evaluate.shared.curves import between
from pellucid.evaluate.stability.stability_pearson import stability_pearson
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View
from pellucid.types import Status

HALF = 0.5**0.5  # the correlation at which two maps share half of their variance: between it and the limit, a warning
FLAGS = {"stable": "unstable", "sane": "not_sane", "better": "not_better"}


def untested(a: Attribution) -> Attribution:
    """The Attribution with the dear verdicts noted as not tested; those that were tested stay."""
    open_ = {
        "stable": not_tested("stable", 'Noisy copies were not explained; checks="full" does it.'),
        "sane": not_tested("sane", 'A model with random weights was not explained; checks="full" does it.'),
        "better": not_tested("better", 'It was not compared with a random map and with edges; checks="full" does it.'),
    }
    return a.replace(checks={**open_, **a.checks})


def full(evidence: Evidence) -> list[Attribution]:
    """The maps of the evidence with the dear verdicts added, and the flags of those that did not pass.

    ``stable``: passes from the threshold (Pearson r), warns down to √½, fails below. ``sane``: passes up to the
    threshold (Spearman ρ of the magnitudes), warns up to √½, fails above. ``better``: passes where the area between
    its insertion and deletion curves is larger than that of both controls by more than the threshold, warns where it
    beats the first only (the random map), fails where it does not beat that one.
    """
    return [_judged(evidence.view(i)) for i in range(len(evidence.maps))]


def _judged(view: View) -> Attribution:
    verdicts = [_stable(view), _sane(view), _better(view)]
    a = view.attribution
    kept = tuple(f for f in a.flags if f not in FLAGS.values())
    new = tuple(FLAGS[v.name] for v in verdicts if v.status in ("warn", "fail"))
    return a.replace(checks={**a.checks, **{v.name: v for v in verdicts}}, flags=kept + new)


def _stable(view: View) -> Verdict:
    limit = view.evidence.limits.stable
    try:
        clean, noisy = view.vector, [vector(a) for a in view.noisy]
        r = stability_pearson(clean, noisy)
    except Undefined as reason:
        return not_tested("stable", f"Stability has no value: {reason}.")
    if _same(clean, noisy):
        return Verdict(
            "stable", "pass",
            "The map is exactly the same under noise: stable, as is any map that does not look at the input.", r, limit,
        )  # fmt: skip
    if r >= limit:
        return Verdict("stable", "pass", f"The map hardly changes under slight noise (r = {r:.3f}).", r, limit)
    status: Status = "warn" if r >= HALF else "fail"
    degree = "somewhat" if status == "warn" else "strongly"
    return Verdict(
        "stable", status, f"The map changes {degree} under slight noise (r = {r:.3f}).", r, limit
    )  # fmt: skip


def _sane(view: View) -> Verdict:
    limit = view.evidence.limits.sane
    try:
        clean, random = view.vector.abs(), vector(view.randomised).abs()
        if clean.max() > clean.min() and random.max() == random.min():
            return Verdict(
                "sane", "pass", "On a model with random weights the method finds nothing, so the map needs the model.",
                None, limit,
            )  # fmt: skip
        rho = likeness(clean, random)
    except Undefined as reason:
        return not_tested("sane", f"Similarity to a random model's map has no value: {reason}.")
    if _same(clean, [random]):
        return Verdict(
            "sane", "fail", "The map is exactly that of a model with random weights: it does not depend on the model.",
            rho, limit,
        )  # fmt: skip
    if rho <= limit:
        return Verdict(
            "sane", "pass", f"The map changes when the model's weights are made random (ρ = {rho:.2f}).", rho, limit
        )
    status: Status = "warn" if rho <= HALF else "fail"
    part = "part" if status == "warn" else "most"
    return Verdict(
        "sane", status,
        f"A model with random weights gives a similar map (ρ = {rho:.2f}): {part} of it comes from the picture or the "
        "architecture, not from what was learned.",
        rho, limit,
    )  # fmt: skip


def _better(view: View) -> Verdict:
    limit, rivals = view.evidence.limits.better, view.evidence.controls
    if base_of(view.attribution.method) in rivals:
        return not_tested("better", "It is a control itself: what other maps have to beat.")
    if not rivals:
        return not_tested("better", "There were no controls to compare with.")
    try:
        own = between(view.curves)
        gaps = {name: own - between(c) for name, c in view.evidence.control_curves(view.place).items()}
    except Undefined as reason:
        return not_tested("better", f"Its curves cannot be compared with those of the controls: {reason}.")
    said = ", ".join(f"{gap:+.3f} against {name}" for name, gap in gaps.items())
    measure = "area between the insertion and the deletion curve"
    value, first = min(gaps.values()), next(iter(gaps))
    if value > limit:
        return Verdict(
            "better", "pass", f"More faithful than its controls in this case ({measure}: {said}).", value, limit
        )
    beaten = " and ".join(name for name, gap in gaps.items() if gap <= limit)
    status: Status = "warn" if gaps[first] > limit else "fail"
    return Verdict(
        "better", status, f"No more faithful than the control {beaten} in this case ({measure}: {said}).", value, limit
    )  # fmt: skip


def _same(clean: Tensor, others: Sequence[Tensor]) -> bool:
    return all(torch.equal(clean, other) for other in others)
