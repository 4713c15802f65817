"""Pictures of the Shapley family."""

from __future__ import annotations

import numpy as np
from method_cases import Half, apart, ask, half, inside, near, panel, picture, share, spatial, total
from toy_models import Bar, Disc, Either, Every, Saturating, Sum, predictor, scene


@picture("gradient_shap")
def gradient_shap() -> tuple[Half, Half]:
    """Compared with usual cases; adds up on average only."""
    case = scene(Disc(15, 14, 0.0), Disc(33, 33, 0.0), Bar(13, 36, length=14), seed=60)
    usual = [scene(seed=100 + i) for i in range(6)]
    found = ask(predictor(Sum("dark")), case, "gradient_shap", background=usual, samples=100)
    faint = scene(Disc(15, 14, 0.0), Disc(33, 33, 0.12), seed=61)
    model = predictor(Saturating("dark", steep=6))
    wrong = ask(model, faint, "gradient_shap", background=usual, samples=4)
    right = ask(model, faint, "expected_gradients", background=usual)
    top = float(max(abs(spatial(a)).max() for a in (wrong, right)))
    return (
        half(
            "The model counts black discs. Compared with six healthy cases, the discs are what makes the difference.",
            case, "disc", panel("gradient shap,\n100 samples", found),
            fact=share(found, near(case, "disc")) > 0.9,
        ),
        half(
            f"Four samples: the score is {wrong.score:.2f}, the map adds up to {total(wrong):.2f}, and which disc gets "
            f"more is chance. All places on all paths give {total(right):.2f}.",
            faint, "disc", panel("gradient shap,\n4 samples", wrong, top=top),
            panel("expected gradients", right, top=top),
            fact=apart(abs(total(right) / right.score - 1), 0.05, 0.15, abs(total(wrong) / wrong.score - 1)),
        ),
    )  # fmt: skip


@picture("kernel_shap")
def kernel_shap() -> tuple[Half, Half]:
    """A fair share; noise where samples are few."""
    case = scene(Disc(14, 13), Disc(33, 14), Bar(24, 35), seed=62)
    model = predictor(Either("disc"))
    found = ask(model, case, "kernel_shap")
    nothing = ask(model, case, "occlusion")
    four = scene(Disc(12, 12), Disc(12, 36), Disc(36, 12), Disc(36, 36), seed=56)
    every = predictor(Every("disc"))
    few = ask(every, four, "kernel_shap", samples=150, force=True)
    many = ask(every, four, "kernel_shap", samples=2500)
    noise = share(few, ~near(four, "disc"))
    error, less = (float(a.notes["relative_error"]) for a in (few, many))
    return (
        half(
            "One disc is enough for this model, so that hiding either changes nothing. A fair share over all orders in "
            "which superpixels appear: a half for each.",
            case, "disc", panel("kernel shap", found), panel("occlusion", nothing),
            fact=min(inside(found, case, f"disc {i}") for i in (0, 1)) > 0.3 and abs(spatial(nothing)).max() < 1e-6,
        ),
        half(
            f"All four discs are needed. From 150 coalitions of {int(few.notes['features'])} superpixels, {noise:.0%} "
            "of the map lies where nothing is; it says itself that it is chance. From 2500 it is a map.",
            four, "disc", panel(f"150 coalitions,\nchance {error:.0%}", few),
            panel(f"2500 coalitions,\nchance {less:.0%}", many),
            fact=noise > 0.5 > share(many, ~near(four, "disc")) and error > 0.5 > less and "uncertain" in few.flags,
        ),
    )  # fmt: skip


@picture("partition_shap")
def partition_shap() -> tuple[Half, Half]:
    """Finer where it matters; cut along straight lines."""
    case = scene(Disc(17.5, 17.5), Disc(41.5, 29.5), Bar(16, 36), seed=63)
    found = ask(predictor(Either("disc")), case, "partition_shap")
    cut = scene(Disc(23.5, 23.5), Disc(9, 38), seed=64)
    model = predictor(Sum("disc"))
    wrong = ask(model, cut, "partition_shap", evaluations=172)
    right = ask(model, cut, "kernel_shap")
    return (
        half(
            "One disc is enough for this model. Halves are split where the effect is largest: half of the score for "
            "each disc, and it adds up.",
            case, "disc", panel("partition shap", found),
            fact=min(inside(found, case, f"disc {i}", 4) for i in (0, 1)) > 0.3
            and abs(total(found) - found.score) < 0.02,
        ),
        half(
            "172 evaluations: what is not split yet is spread evenly over its block, and the middle disc, cut in four "
            "by the first halvings, is drawn as blocks.",
            cut, "disc", panel("partition shap,\n172 evaluations", wrong), panel("kernel shap,\nsuperpixels", right),
            fact=share(wrong, np.asarray(cut.region("disc"))) < share(right, np.asarray(cut.region("disc"))),
        ),
    )  # fmt: skip
