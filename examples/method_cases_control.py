"""Pictures of the controls: maps that know nothing of the model."""

from __future__ import annotations

import numpy as np
from method_cases import Half, apart, ask, half, near, panel, picture, share, spatial
from toy_models import Bar, Disc, Sum, predictor, scene


@picture("random")
def random() -> tuple[Half, Half]:
    """Chance level; the same for any model."""
    case = scene(Disc(14, 13), Disc(33, 14), Bar(24, 35))
    truth = np.asarray(case.region("disc"))
    model, other = predictor(Sum("disc")), predictor(Sum("bar"))
    chance, real = ask(model, case, "random"), ask(model, case, "integrated_gradients")
    blind = ask(other, case, "random")
    return (
        half(
            f"The level to beat. The model counts discs, which fill {truth.mean():.0%} of the picture; the random map "
            f"has {share(chance, truth):.0%} of its mass there, integrated gradients {share(real, truth):.0%}.",
            case, "disc", panel("random", chance), panel("integrated\ngradients", real),
            fact=apart(abs(share(chance, truth) - truth.mean()), 0.02, 0.3, share(real, truth)),
        ),
        half(
            "Taken for a method: a model that counts discs and one that counts bars get the same map, "
            "and some bright pixel always lies on the finding.",
            case, "disc", panel("random,\nmodel counts discs", chance), panel("random,\nmodel counts bars", blind),
            fact=bool((spatial(chance) == spatial(blind)).all()),
        ),
    )  # fmt: skip


@picture("edge")
def edge() -> tuple[Half, Half]:
    """The picture's outlines; the same for any model."""
    case = scene(Disc(14, 13), Disc(33, 14), seed=1)
    model = predictor(Sum("disc"))
    drawn = ask(model, case, "edge")
    mixed = scene(Disc(24, 13, 0.8), Bar(24, 35, 1.0), seed=1)
    faint = predictor(Sum("disc"))
    edges, real = ask(faint, mixed, "edge"), ask(faint, mixed, "integrated_gradients")
    other = ask(predictor(Sum("bar")), mixed, "edge")
    bar = near(mixed, "bar")
    return (
        half(
            "The outlines of whatever stands out, the model not asked. A map that looks like this has yet to show that "
            "it knows more.",
            case, "disc", panel("edge", drawn),
            fact=share(drawn, near(case, "disc")) > 0.5,
        ),
        half(
            "The model counts discs alone; the edges are strongest on the bar, and the same for every model. "
            "Outlines look like an explanation without being one.",
            mixed, "disc", panel("edge", edges), panel("integrated\ngradients", real),
            fact=apart(share(real, bar), 0.2, 0.5, share(edges, bar))
            and bool((spatial(edges) == spatial(other)).all()),
        ),
    )  # fmt: skip
