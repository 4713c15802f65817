"""Pictures of the class activation maps."""

from __future__ import annotations

import numpy as np
from method_cases import Half, apart, ask, half, inside, near, panel, picture, share, spatial
from toy_models import (
    Bar,
    Disc,
    Doubt,
    OneClear,
    Placed,
    Rippled,
    Signed,
    Sizes,
    Spare,
    Sum,
    Together,
    predictor,
    scene,
)

from pellucid import Attribution, Case

CENTRES = [8 * i + 3.5 for i in range(6)]  # of the cells of a coarse layer


def left_and_right() -> Case:
    """A finding on each side."""
    return scene(Disc(17.5, 13.5), Disc(29.5, 37.5), seed=11)


def disc_and_bar() -> Case:
    """A finding in the middle of a cell, and a bar."""
    return scene(Disc(CENTRES[2], CENTRES[1]), Bar(24, 36), seed=12)


def at_disc(a: Attribution) -> float:
    """The map in the middle of that finding."""
    return float(spatial(a)[20, 12])


def at_bar(a: Attribution) -> float:
    """The map in the middle of the bar."""
    return float(spatial(a)[24, 36])


@picture("cam")
def cam() -> tuple[Half, Half]:
    """The score is its mean; its grid is coarse."""
    case = scene(Disc(13.5, 13.5), Disc(33.5, 13.5), Bar(24, 35))
    found = ask(predictor(Sum("disc", cell=4)), case, "cam")
    close = scene(Disc(17.5, 17.5), Disc(17.5, 29.5), seed=13)
    coarse = predictor(Sum("disc", cell=12))
    melted, right = ask(coarse, close, "cam"), ask(coarse, close, "integrated_gradients")
    middle = spatial(melted)[17, 24]
    return (
        half(
            f"The model counts discs: detections, global average pooling, a linear layer. The mean of the map is the "
            f"score, {spatial(found).mean():.2f}.",
            case, "disc", panel("cam", found),
            fact=abs(spatial(found).mean() - found.score) < 1e-3 and share(found, near(case, "disc", 6)) > 0.95,
        ),
        half(
            "The same with a last layer of 4 × 4 cells. Two findings melt into one, bright between them "
            "too, where there is nothing.",
            close, "disc", panel("cam,\nlayer of 4 × 4", melted), panel("integrated\ngradients", right),
            fact=middle > 0.85 * spatial(melted).max() and share(right, near(close, "disc", 5)) > 0.9,
        ),
    )  # fmt: skip


@picture("grad_cam")
def grad_cam() -> tuple[Half, Half]:
    """The rough place; the gradient is averaged over the grid."""
    case = scene(Disc(CENTRES[1], CENTRES[1]), Disc(CENTRES[4], CENTRES[2]), Bar(24, 36), seed=14)
    found = ask(predictor(Sum("disc", cell=8)), case, "grad_cam")
    both = left_and_right()
    model = predictor(Placed(1.0, 0.0))
    wrong, right = ask(model, both, "grad_cam"), ask(model, both, "hires_cam")
    return (
        half(
            "The model counts discs; its last layer has 6 × 6 cells. The map shows the rough place of both discs, and "
            "not the bar.",
            case, "disc", panel("grad-cam", found),
            fact=share(found, near(case, "disc", 9)) > 0.9,
        ),
        half(
            "Only discs on the left count. Grad-CAM gives the whole layer one mean weight and lights the right disc "
            "too; weights place by place do not.",
            both, "disc 0", panel("grad-cam", wrong), panel("hires-cam", right),
            fact=inside(wrong, both, "disc 1") > 0.8 * inside(wrong, both, "disc 0") > 0
            and inside(right, both, "disc 1") == 0,
        ),
    )  # fmt: skip


@picture("grad_cam_pp")
def grad_cam_pp() -> tuple[Half, Half]:
    """Small findings are seen; what speaks against is not."""
    case = scene(Disc(21, 17, radius=7.0), Disc(29, 38, radius=2.3), seed=15)
    model = predictor(Sizes())
    found, dim = ask(model, case, "grad_cam_pp"), ask(model, case, "grad_cam")
    both = left_and_right()
    against = predictor(Placed(1.0, -0.5))
    wrong, right = ask(against, both, "grad_cam_pp"), ask(against, both, "hires_cam", sign="signed")

    def dimness(m: np.ndarray) -> float:
        """The small finding's peak over the large one's."""
        return float(m[near(case, "disc 1")].max() / m[near(case, "disc 0")].max())

    return (
        half(
            "One channel for large discs, one for small. Grad-CAM weighs a channel by how much of the picture it "
            "covers and dims the small one; here both are seen.",
            case, "disc", panel("grad-cam++", found), panel("grad-cam", dim),
            fact=dimness(spatial(found)) > 2 * dimness(spatial(dim)),
        ),
        half(
            "A disc on the left speaks for, one on the right against. Negative gradients are cut off and a channel has "
            "one weight: the right disc seems to speak for.",
            both, "disc", panel("grad-cam++", wrong), panel("hires-cam, signed", right),
            fact=inside(wrong, both, "disc 1") > 0 > inside(right, both, "disc 1"),
        ),
    )  # fmt: skip


@picture("hires_cam")
def hires_cam() -> tuple[Half, Half]:
    """Every place has its own weight, and its own noise."""
    both = left_and_right()
    model = predictor(Placed(1.0, 0.0))
    found, mean = ask(model, both, "hires_cam"), ask(model, both, "grad_cam")
    places = (9.5, 9.5), (9.5, 33.5), (21.5, 21.5), (25.5, 37.5), (37.5, 9.5), (37.5, 29.5)
    many = scene(*[Disc(r, c, 0.8 + 0.03 * r % 0.2) for r, c in places], seed=16)
    rippled = predictor(Rippled())
    wrong, right = ask(rippled, many, "hires_cam", sign="signed"), ask(rippled, many, "grad_cam")
    return (
        half(
            "A flattened layer: only discs on the left count. Every place has its own weight, so the right disc stays "
            "dark, as it should.",
            both, "disc 0", panel("hires-cam", found), panel("grad-cam", mean),
            fact=inside(found, both, "disc 1") == 0 < inside(mean, both, "disc 1"),
        ),
        half(
            "A ripple on each detection hardly changes the score, but its slope swings between for and against. "
            "Nothing averages it: the clearest finding seems to speak against.",
            many, "disc", panel("hires-cam, signed", wrong), panel("grad-cam", right),
            fact=inside(wrong, many, "disc 3") < 0 and spatial(right).argmax() in np.flatnonzero(near(many, "disc 3")),
        ),
    )  # fmt: skip


@picture("xgrad_cam")
def xgrad_cam() -> tuple[Half, Half]:
    """Weights where the channel is active; a sum that cancels."""
    one = scene(Disc(25.5, 13.5), seed=17)
    model = predictor(Placed(1.0, -2.0))
    found, mean = ask(model, one, "xgrad_cam"), ask(model, one, "grad_cam")
    pair = scene(Disc(24, 13), Bar(24, 35), seed=18)
    signed = predictor(Signed())
    wrong = ask(signed, pair, "xgrad_cam")
    right = ask(signed, pair, "hires_cam")
    return (
        half(
            "A disc on the left speaks for; on the right, where there is none, one would speak against. The weight "
            "follows where the channel is active; Grad-CAM's mean drowns it.",
            one, "disc", panel("xgrad-cam", found), panel("grad-cam", mean),
            fact=share(found, near(one, "disc", 6)) > 0.9 and spatial(mean).max() == 0,
        ),
        half(
            "The disc makes nearly all of the score. Another channel has positive and negative values that nearly "
            "cancel; its weight is divided by their sum, and outweighs the disc.",
            pair, "disc", panel("xgrad-cam", wrong), panel("hires-cam", right),
            fact=apart(share(wrong, near(pair, "disc", 1)), 0.2, 0.5, share(right, near(pair, "disc", 1))),
        ),
    )  # fmt: skip


@picture("layer_cam")
def layer_cam() -> tuple[Half, Half]:
    """A fine grid; nothing against."""
    close = scene(Disc(17.5, 17.5), Disc(17.5, 29.5), seed=13)
    coarse = predictor(Sum("disc", cell=12))
    found, melted = ask(coarse, close, "layer_cam", layer="relu"), ask(coarse, close, "grad_cam")
    beside = scene(Disc(21.5, 13.5), Bar(22, 22, length=13), seed=7)
    model = predictor(Doubt())
    wrong = ask(model, beside, "layer_cam", layer="last")
    right = ask(model, beside, "hires_cam", layer="last", sign="signed")
    truth = np.asarray(beside.region("disc") | beside.region("bar"))
    return (
        half(
            "The last layer has 4 × 4 cells, in which two findings melt. Layer-CAM on the early layer, which has every "
            "pixel, keeps them apart.",
            close, "disc", panel("layer-cam,\nearly layer", found), panel("grad-cam,\nlast layer", melted),
            fact=spatial(found)[17, 24] == 0 < spatial(melted)[17, 24],
        ),
        half(
            "A bar near a disc lowers its score. Negative gradients are cut off: that the bar speaks against is not "
            "seen.",
            beside, truth, panel("layer-cam", wrong), panel("hires-cam, signed", right),
            fact=inside(wrong, beside, "bar", 1) == 0 > inside(right, beside, "bar", 1),
        ),
    )  # fmt: skip


@picture("score_cam")
def score_cam() -> tuple[Half, Half]:
    """Saturation does not matter; what counts together is not seen."""
    case = disc_and_bar()
    truth = np.asarray(case.region("disc") | case.region("bar"))
    model = predictor(OneClear())
    found, blind = ask(model, case, "score_cam"), ask(model, case, "grad_cam")
    pair = predictor(Together())
    nothing, right = ask(pair, case, "score_cam"), ask(pair, case, "grad_cam")
    return (
        half(
            "The disc makes most of the score and has more than enough, so that its gradient vanishes. Score-CAM shows "
            "the model the picture through each channel: the disc counts.",
            case, truth, panel("score-cam", found), panel("grad-cam", blind),
            fact=at_disc(found) > 2 * at_bar(found) and at_disc(blind) < 0.25 * at_bar(blind),
        ),
        half(
            "The score is discs times bars. Each channel is shown alone, without the other there is no score, and the "
            "map is empty.",
            case, truth, panel("score-cam", nothing), panel("grad-cam", right),
            fact=abs(spatial(nothing)).max() < 1e-3 < spatial(right).max(),
        ),
    )  # fmt: skip


@picture("ablation_cam")
def ablation_cam() -> tuple[Half, Half]:
    """Saturation does not matter; spare channels hide each other."""
    case = disc_and_bar()
    model = predictor(OneClear())
    truth = np.asarray(case.region("disc") | case.region("bar"))
    found, blind = ask(model, case, "ablation_cam"), ask(model, case, "grad_cam")
    spare = predictor(Spare())
    nothing, right = ask(spare, case, "ablation_cam"), ask(spare, case, "occlusion", window=8, stride=4)
    return (
        half(
            "The disc makes most of the score and has more than enough, so that its gradient vanishes. Without its "
            "channel the score falls: Ablation-CAM shows it.",
            case, truth, panel("ablation-cam", found), panel("grad-cam", blind),
            fact=at_disc(found) > 2 * at_bar(found) and at_disc(blind) < 0.25 * at_bar(blind),
        ),
        half(
            "Two channels find the same disc, and the stronger counts. Without either the other steps in: the score "
            "stays, and the map is empty. Occlusion takes both.",
            case, "disc", panel("ablation-cam", nothing), panel("occlusion", right),
            fact=spatial(nothing).max() == 0 < inside(right, case, "disc"),
        ),
    )  # fmt: skip


@picture("eigen_cam")
def eigen_cam() -> tuple[Half, Half]:
    """What a layer responds to, whatever the class."""
    discs = scene(Disc(13.5, 13.5), Disc(33.5, 17.5), Disc(25.5, 37.5), seed=19)
    case = scene(Disc(25.5, 13.5), Bar(24, 35), seed=20)
    model = predictor(Sum("disc", "bar", weights=((1.0, 0.0), (0.0, 1.0)), cell=4), "disc", "bar")
    found = ask(model, discs, "eigen_cam")
    as_disc, as_bar = (ask(model, case, "eigen_cam", target=t) for t in ("disc", "bar"))
    right = ask(model, case, "grad_cam", target="disc")
    return (
        half(
            "The strongest pattern in the layer, no class asked: here that of the discs.",
            discs, "disc", panel("eigen-cam", found),
            fact=share(found, near(discs, "disc", 6)) > 0.95,
        ),
        half(
            "The class “disc” is explained. The layer responds most to the bar, and the map shows the bar, for this "
            "class as for the other.",
            case, "disc", panel("eigen-cam, “disc”", as_disc), panel("eigen-cam, “bar”", as_bar),
            panel("grad-cam, “disc”", right),
            fact=bool((spatial(as_disc) == spatial(as_bar)).all()) and share(as_disc, near(case, "disc", 6)) < 0.05,
        ),
    )  # fmt: skip
