"""Pictures of the methods that take parts of the input away."""

from __future__ import annotations

from method_cases import Half, ask, half, inside, near, panel, picture, share, spatial
from toy_models import Bar, Disc, Either, Every, Sum, predictor, scene

from pellucid import Case


def in_blocks(seed: int) -> Case:
    """Two findings, each within one block of 8 × 8 pixels, and a bar."""
    return scene(Disc(11.5, 11.5), Disc(35.5, 11.5), Bar(24, 35), seed=seed)


@picture("occlusion")
def occlusion() -> tuple[Half, Half]:
    """What if this were gone; the fill may be a finding."""
    case = scene(Disc(14, 13), Disc(33, 14), Bar(24, 35), seed=50)
    found = ask(predictor(Sum("disc")), case, "occlusion", window=8, stride=4)
    black = scene(Disc(17, 17, 0.0), Bar(24, 36), seed=51)
    model = predictor(Sum("dark"))
    wrong = ask(model, black, "occlusion", window=7, stride=3, fill="zero")
    right = ask(model, black, "occlusion", window=7, stride=3)
    return (
        half(
            "The model counts discs. Where a window hides one, the score falls; hiding the bar changes nothing.",
            case, "disc", panel("occlusion", found),
            fact=share(found, near(case, "disc", 8)) > 0.9 and inside(found, case, "disc 1") > 0,
        ),
        half(
            "The model counts black discs, and the window is filled with black: it looks like a disc itself and raises "
            "the score nearly everywhere. A fill of tissue does not.",
            black, "disc", panel("occlusion,\nfill: zero", wrong), panel("occlusion,\nfill: mean", right),
            fact=(spatial(wrong) < 0).mean() > 0.5 and share(right, near(black, "disc", 8)) > 0.9,
        ),
    )  # fmt: skip


@picture("hierarchical_occlusion")
def hierarchical_occlusion() -> tuple[Half, Half]:
    """Small windows where large ones mattered; what cancels in a large one is not looked into."""
    case = scene(Disc(14, 13), Disc(33, 14), Bar(24, 35), seed=57)
    levels = {"levels": ((24, 6), (12, 3), (6, 1)), "min_window": 6}
    found = ask(predictor(Sum("disc")), case, "hierarchical_occlusion", budget=0.1, **levels)
    asked, dense = int(found.notes["evaluations"]), int(found.notes["dense_evaluations"])
    close = scene(Disc(22, 21), Bar(23, 28, length=12), seed=58)
    model = predictor(Sum("disc", "bar", weights=((1.0, -1.5),)))
    coarse = {"levels": ((16, 16), (4, 2)), "min_window": 4, "budget": None}
    wrong = ask(model, close, "hierarchical_occlusion", sign="for", **coarse)
    right = ask(model, close, "hierarchical_occlusion", **coarse)
    return (
        half(
            f"The model counts discs. Large windows say where to look, small ones look there: {asked} windows were "
            f"filled in place of {dense}.",
            case, "disc", panel("hierarchical\nocclusion", found),
            fact=share(found, near(case, "disc", 8)) > 0.7 and asked <= 0.1 * dense
            and min(inside(found, case, f"disc {i}") for i in (0, 1)) > 0.2 * float(spatial(found).sum()),
        ),
        half(
            "The disc speaks for, the bar beside it against. The large window over both raises the score; following "
            "only what lowers it, nobody looks inside. Following both signs finds both.",
            close, "disc", panel("sign: for", wrong, top=spatial(right).max()), panel("sign: both", right),
            fact=spatial(wrong).max() < 0.05 * spatial(right).max()
            and spatial(right)[close.region("disc")].mean() > 0 > spatial(right)[close.region("bar")].mean(),
        ),
    )  # fmt: skip


@picture("feature_ablation")
def feature_ablation() -> tuple[Half, Half]:
    """Each part alone; parts stand in for each other."""
    case = in_blocks(52)
    found = ask(predictor(Sum("disc")), case, "feature_ablation", side=8)
    model = predictor(Either("disc"))
    nothing = ask(model, case, "feature_ablation", side=8)
    right = ask(model, case, "kernel_shap", groups="blocks", side=8)
    return (
        half(
            "The model counts discs. Each block is taken away once: without a disc the score falls by what that disc "
            "counts.",
            case, "disc", panel("feature ablation", found),
            fact=share(found, near(case, "disc", 8)) > 0.9,
        ),
        half(
            "One disc is enough for this model. Without either the other stands in for it, so neither seems to matter. "
            "Shapley values give each its half.",
            case, "disc", panel("feature ablation", nothing), panel("kernel shap", right),
            fact=abs(spatial(nothing)).max() < 1e-6
            and min(inside(right, case, f"disc {i}", 4) for i in (0, 1)) > 0.3 * right.score,
        ),
    )  # fmt: skip


@picture("rise")
def rise() -> tuple[Half, Half]:
    """Sees what is redundant; needs many masks, and blurs."""
    case = in_blocks(53)
    model = predictor(Either("disc"))
    found, nothing = ask(model, case, "rise"), ask(model, case, "occlusion")
    small = scene(Disc(23.5, 19), Disc(23.5, 29), seed=54)
    counts = predictor(Sum("disc"))
    blurred = ask(counts, small, "rise")
    right = ask(counts, small, "occlusion", window=5, stride=1)
    middle = spatial(blurred)[24, 24] / spatial(blurred).max()
    return (
        half(
            "One disc is enough for this model: no single window matters, occlusion is blank. Half of all masks hide "
            "the other disc, and then this one counts.",
            case, "disc", panel("rise", found), panel("occlusion", nothing),
            fact=min(spatial(found)[11, 11], spatial(found)[35, 11]) > 0.6 * spatial(found).max()
            and abs(spatial(nothing)).max() < 1e-6,
        ),
        half(
            f"Cells of 7 pixels: two findings become one blob, at {middle:.0%} of its height where there is nothing. A "
            "small window tells them apart.",
            small, "disc", panel("rise", blurred), panel("occlusion,\nwindow 5", right),
            fact=middle > 0.7 and spatial(right)[24, 24] < 0.5 * spatial(right).max(),
        ),
    )  # fmt: skip


@picture("lime")
def lime() -> tuple[Half, Half]:
    """A linear rule, where the model is one."""
    case = scene(Disc(14, 13), Disc(33, 14), Bar(24, 35), seed=55)
    found = ask(predictor(Sum("disc")), case, "lime")
    four = scene(Disc(12, 12), Disc(12, 36), Disc(36, 12), Disc(36, 36), seed=56)
    model = predictor(Every("disc"))
    wrong = ask(model, four, "lime", samples=1500)
    right = ask(model, four, "feature_ablation", groups="parts")
    fit, well = (float(a.notes["r2_held_out"]) for a in (wrong, found))
    return (
        half(
            f"The model counts discs, a linear rule: the surrogate fits (R² {well:.2f}), and the superpixels of the "
            "discs get the weight.",
            case, "disc", panel("lime", found),
            fact=well > 0.5 and share(found, near(case, "disc", 3)) > 0.6,
        ),
        half(
            f"All four discs are needed: without any one the score falls from 1 to 0. No linear rule fits (R² "
            f"{fit:.2f}, and it is flagged): each disc gets {inside(wrong, four, 'disc 0', 2):.2f} in place of 1.",
            four, "disc", panel("lime", wrong), panel("feature ablation,\neach disc", right),
            fact=fit < 0.5 and "surrogate_does_not_fit" in wrong.flags and inside(wrong, four, "disc 0", 2) < 0.5,
        ),
    )  # fmt: skip
