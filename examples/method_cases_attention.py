"""Pictures of the methods that read attention."""

from __future__ import annotations

import numpy as np
from method_cases import Half, apart, ask, half, inside, near, panel, picture, share, spatial
from toy_models import Asking, Bar, Disc, Looking, predictor, scene

from pellucid import Case, Predictor

CLASSES = ((1.0, 0.0), (0.0, 1.0))


def disc_and_bar(seed: int = 31) -> Case:
    """A finding and a bar, in the middle of tokens."""
    return scene(Disc(19.5, 11.5), Bar(28, 36, length=23), seed=seed)


def of_two(case: Case) -> Case:
    """Two pictures: tissue with a disc, and the case's."""
    other = scene(Disc(27.5, 27.5), seed=40).inputs["picture"]
    return case.replace(inputs={"t1": other, "t2": case.inputs["picture"]})


@picture("attention")
def attention() -> tuple[Half, Half]:
    """Where a token looks, whatever is made of it."""
    discs = scene(Disc(11.5, 11.5), Disc(35.5, 27.5), seed=30)
    found = ask(predictor(Looking([[1.0, 0.0]])), discs, "attention")
    case = disc_and_bar()
    model = predictor(Looking(CLASSES), "disc", "bar")
    wrong, other = (ask(model, case, "attention", target=t) for t in ("disc", "bar"))
    right = ask(model, case, "gradient_rollout", target="disc")
    return (
        half(
            "Where the class token looks: at the two discs, from which it makes the score.",
            discs, "disc", panel("attention", found),
            fact=share(found, near(discs, "disc", 6)) > 0.8,
        ),
        half(
            "The class “disc” is explained. The token looks at the disc and at the bar, which speaks for the other "
            "class; attention is the same for both.",
            case, "disc", panel("attention, “disc”", wrong), panel("attention, “bar”", other),
            panel("gradient rollout,\n“disc”", right),
            fact=bool((spatial(wrong) == spatial(other)).all())
            and apart(share(right, near(case, "bar", 3)), 0.05, 0.3, share(wrong, near(case, "bar", 5))),
        ),
    )  # fmt: skip


@picture("attention_rollout")
def attention_rollout() -> tuple[Half, Half]:
    """From where tokens were mixed, used or not."""
    case = scene(Disc(27.5, 27.5), seed=32)
    relay = predictor(Looking([[1.0, 0.0]], relay=True))
    found, last = ask(relay, case, "attention_rollout"), ask(relay, case, "attention")
    both = disc_and_bar(33)
    unused = predictor(Looking([[1.0, 0.0]]))
    wrong, right = ask(unused, both, "attention_rollout"), ask(unused, both, "gradient_rollout")
    disc = near(case, "disc", 6)
    return (
        half(
            "The token in the corner collects from the disc, the class token looks at that corner. Rollout follows "
            "both steps; the last attention alone shows the corner.",
            case, "disc", panel("attention\nrollout", found), panel("attention,\nlast layer", last),
            fact=apart(share(last, disc), 0.05, 0.3, share(found, disc)),
        ),
        half(
            "The class token looks at disc and bar, but the score uses the disc alone: the bar's value is multiplied "
            "by 0. Rollout does not see values.",
            both, "disc", panel("attention\nrollout", wrong), panel("gradient\nrollout", right),
            fact=apart(share(right, near(both, "bar", 3)), 0.05, 0.3, share(wrong, near(both, "bar", 5))),
        ),
    )  # fmt: skip


@picture("gradient_rollout")
def gradient_rollout() -> tuple[Half, Half]:
    """A transformer's map for a class; nothing against it."""
    case = disc_and_bar(34)
    model = predictor(Looking(CLASSES), "disc", "bar")
    as_disc, as_bar = (ask(model, case, "gradient_rollout", target=t) for t in ("disc", "bar"))
    against = predictor(Looking([[1.0, -1.0]]))
    wrong, right = ask(against, case, "gradient_rollout"), ask(against, case, "integrated_gradients", baseline="mean")
    truth = np.asarray(case.region("disc") | case.region("bar"))
    return (
        half(
            "The class token looks at disc and bar alike; one speaks for one class, one for the other. Each class gets "
            "its own map.",
            case, truth, panel("gradient rollout,\n“disc”", as_disc), panel("gradient rollout,\n“bar”", as_bar),
            fact=share(as_disc, near(case, "disc", 6)) > 0.8 and share(as_bar, near(case, "bar", 6)) > 0.8,
        ),
        half(
            "The disc speaks for the score, the bar against it. Negative products are cut off: the bar is not seen.",
            case, truth, panel("gradient\nrollout", wrong), panel("integrated\ngradients", right),
            fact=share(wrong, near(case, "bar", 3)) < 0.05 and inside(right, case, "bar", 1) < 0,
        ),
    )  # fmt: skip


@picture("cross_attention")
def cross_attention() -> tuple[Half, Half]:
    """What one picture asks of another, used or not."""
    one, both = of_two(scene(Disc(19.5, 19.5), seed=35)), of_two(disc_and_bar(36))

    def model() -> Predictor:
        return Predictor(Asking([1.0, 0.0]).eval(), inputs=["t1", "t2"], task="regression")

    found = ask(model(), one, "cross_attention")
    wrong, right = ask(model(), both, "cross_attention"), ask(model(), both, "gradient_rollout")
    return (
        half(
            "The tokens of t1 look for things in t2: the map of t2 shows the disc that they take from it.",
            one, "disc", panel("cross-attention,\nt2", found),
            fact=share(found, near(one, "disc", 6)) > 0.6,
        ),
        half(
            "They look at disc and bar, but only the disc's value is used. Being asked is not being used.",
            both, "disc", panel("cross-attention,\nt2", wrong), panel("gradient rollout,\nt2", right),
            fact=apart(share(right, near(both, "bar", 3)), 0.1, 0.3, share(wrong, near(both, "bar", 5))),
        ),
    )  # fmt: skip
