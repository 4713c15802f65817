"""Pictures of the gradient family."""

from __future__ import annotations

import numpy as np
import torch
from method_cases import Half, apart, ask, half, inside, near, panel, picture, share, spatial, total
from toy_models import (
    SIDE,
    SPECK,
    Bar,
    Both,
    Disc,
    Doubt,
    Marked,
    Mixed,
    Outlines,
    Rough,
    Saturating,
    Sum,
    Told,
    predictor,
    scene,
    segmenter,
)

from pellucid import Case


def two_and_a_bar() -> Case:
    """Two findings and a distractor."""
    return scene(Disc(14, 13), Disc(33, 14), Bar(24, 35))


def clear_and_faint() -> Case:
    """A finding that is clearer than it need be, and one that is just seen."""
    return scene(Disc(17, 13), Disc(30, 33, 0.79), seed=2)


def healthy(count: int) -> list[Case]:
    """Tissue alone."""
    return [scene(seed=100 + i) for i in range(count)]


@picture("saliency")
def saliency() -> tuple[Half, Half]:
    """Right for what is not saturated."""
    case = two_and_a_bar()
    found = ask(predictor(Sum("disc")), case, "saliency")
    two = clear_and_faint()
    model = predictor(Saturating("disc"))
    blind, right = ask(model, two, "saliency"), ask(model, two, "integrated_gradients")
    return (
        half(
            "The model counts discs. The gradient lights where a small change would change the score: both discs and "
            "the rings they are compared with, not the bar.",
            case, "disc", panel("saliency", found),
            fact=share(found, near(case, "disc", 5)) > 0.95 and share(found, near(case, "bar", 1)) < 0.01,
        ),
        half(
            "Each disc counts once, however clear. The clear one has more than enough, so its gradient vanishes, "
            "though it carries half of the score.",
            two, "disc", panel("saliency", blind), panel("integrated\ngradients", right),
            fact=share(blind, near(two, "disc 0")) < 0.1 and inside(right, two, "disc 0") > 0.4 * right.score,
        ),
    )  # fmt: skip


@picture("input_x_gradient")
def input_x_gradient() -> tuple[Half, Half]:
    """Right for bright things, blind for black ones."""
    case = two_and_a_bar()
    found = ask(predictor(Sum("disc")), case, "input_x_gradient")
    black = scene(Disc(15, 14, 0.0), Disc(32, 30, 0.0), seed=3)
    model = predictor(Sum("dark"))
    blind = ask(model, black, "input_x_gradient")
    right = ask(model, black, "integrated_gradients", baseline="mean")
    return (
        half(
            "The model counts bright discs and is close to linear in them: they speak for the score, their darker "
            "surround a little against it, the bar not at all.",
            case, "disc", panel("input × gradient", found),
            fact=inside(found, case, "disc", 0) > 0 and share(found, near(case, "bar", 1)) < 0.01,
        ),
        half(
            "The model counts black discs. A black pixel is 0, and 0 times any gradient is 0: "
            "the finding stays empty, the tissue around it is lit.",
            black, "disc", panel("input × gradient", blind), panel("integrated gradients,\nbaseline: mean", right),
            fact=share(blind, np.asarray(black.region("disc"))) == 0 and inside(right, black, "disc", 0) > 0.5,
        ),
    )  # fmt: skip


@picture("integrated_gradients")
def integrated_gradients() -> tuple[Half, Half]:
    """Adds up, through saturation too; all hangs on the baseline."""
    case = clear_and_faint()
    model = predictor(Saturating("disc"))
    found = ask(model, case, "integrated_gradients")
    black = scene(Disc(24, 16, 0.0), Disc(24, 34, 0.0), seed=4)
    dark = predictor(Sum("dark"))
    blind, right = ask(dark, black, "integrated_gradients"), ask(dark, black, "integrated_gradients", baseline="mean")
    return (
        half(
            f"Each disc counts once, however clear; the gradient of the clear one is zero, its share is not. The map "
            f"adds up to {total(found):.2f}, the score is {found.score:.2f}.",
            case, "disc", panel("integrated\ngradients", found), panel("saliency", ask(model, case, "saliency")),
            fact=abs(total(found) - found.score) < 0.02 * found.score and inside(found, case, "disc 0") > 0.9,
        ),
        half(
            "The model counts black discs, and the baseline is black: what is equal to the baseline gets nothing. "
            "From a baseline of tissue the discs are seen.",
            black, "disc", panel("baseline: zero", blind), panel("baseline: mean", right),
            fact=share(blind, np.asarray(black.region("disc"))) == 0 and inside(right, black, "disc", 0) > 0.5,
        ),
    )  # fmt: skip


@picture("guided_backprop")
def guided_backprop() -> tuple[Half, Half]:
    """Clean outlines, of any model."""
    case = two_and_a_bar()
    found = ask(predictor(Outlines()), case, "guided_backprop")
    random = predictor(Outlines(seed=0))
    same, other = ask(random, case, "guided_backprop"), ask(random, case, "saliency", keep_sign=True)
    plain = ask(predictor(Outlines()), case, "saliency", keep_sign=True)
    alike = np.corrcoef(spatial(found).ravel(), spatial(same).ravel())[0, 1]
    other_r = np.corrcoef(spatial(plain).ravel(), spatial(other).ravel())[0, 1]
    truth = np.asarray(case.region("disc") | case.region("bar"))
    return (
        half(
            "The model looks for edges that face each other: discs and the bar. The map shows what it responds to, "
            "clean and sharp.",
            case, truth, panel("guided\nbackprop", found),
            fact=share(found, near(case, "disc", 5) | near(case, "bar", 5)) > 0.95,
        ),
        half(
            f"All weights above the first layer redrawn at random: the map stays (r = {alike:.2f}), the plain gradient "
            f"does not (r = {other_r:.2f}). It shows edges of the picture, not reasons of the model.".replace("-", "−"),
            case, truth, panel("guided backprop", found), panel("guided backprop,\nrandom weights", same),
            panel("gradient,\nrandom weights", other),
            fact=alike > 0.9 and abs(other_r) < 0.5,
        ),
    )  # fmt: skip


@picture("expected_gradients")
def expected_gradients() -> tuple[Half, Half]:
    """Compared with usual cases, whatever those are."""
    case = scene(Disc(15, 14, 0.0), Bar(25, 34), seed=3)
    model = predictor(Sum("dark"))
    found = ask(model, case, "expected_gradients", background=healthy(6))
    same = [scene(Disc(15, 14, 0.0), Bar(25, 34), seed=200 + i) for i in range(6)]
    blind = ask(model, case, "expected_gradients", background=same)
    return (
        half(
            "The model counts black discs. Compared with six healthy cases, the finding is what makes the difference: "
            "no fill had to be chosen.",
            case, "disc", panel("expected gradients,\n6 healthy cases", found),
            fact=inside(found, case, "disc", 0) > 0.5 * found.score,
        ),
        half(
            f"Compared with six cases that have the same finding there is nothing to explain: the disc's share falls "
            f"from {inside(found, case, 'disc'):.2f} to {inside(blind, case, 'disc'):.2f}.",
            case, "disc", panel("6 cases with\nthe finding", blind), panel("6 healthy cases", found),
            fact=abs(inside(blind, case, "disc")) < 0.25 * inside(found, case, "disc"),
        ),
    )  # fmt: skip


@picture("smoothgrad")
def smoothgrad() -> tuple[Half, Half]:
    """Ripples are averaged out, and fine structure with them."""
    case = two_and_a_bar()
    model = predictor(Rough("disc"))
    found, grainy = ask(model, case, "smoothgrad"), ask(model, case, "saliency", keep_sign=True)
    specks = [(20, 20), (22, 24), (25, 21), (27, 26), (19, 27), (24, 29), (28, 22)]
    fine = scene(seed=5, noise=0.01)
    shot = fine.inputs["picture"] + torch.linspace(-0.45, 0.35, SIDE)  # one side of the picture is brighter
    mask = torch.zeros(shot.shape[1:], dtype=torch.bool)
    for r, c in specks:
        shot[0, r, c] += SPECK
        mask[r, c] = True
    fine = fine.replace(inputs={"picture": shot}, regions={"specks": mask})
    speckled = predictor(Sum("speck", one=1.0))
    wrong, right = ask(speckled, fine, "smoothgrad"), ask(speckled, fine, "saliency", keep_sign=True)
    return (
        half(
            "The model counts discs, with a ripple in its slope that hardly changes the score. The gradient is grain; "
            "the mean over noisy copies leaves the discs.",
            case, "disc", panel("smoothgrad", found), panel("gradient", grainy),
            fact=share(found, near(case, "disc", 5)) > 2 * share(grainy, near(case, "disc", 5)),
        ),
        half(
            "The model counts faint specks. The added noise is as large as they are and makes specks everywhere: "
            "the real ones drown.",
            fine, near(fine, "specks", 5), panel("smoothgrad", wrong), panel("gradient", right),
            fact=apart(share(wrong, near(fine, "specks", 5)), 0.4, 0.95, share(right, near(fine, "specks", 5))),
        ),
    )  # fmt: skip


@picture("sampled_gradients")
def sampled_gradients() -> tuple[Half, Half]:
    """What most pixels of a region depend on; nothing where each looks at its own surroundings."""
    case = scene(Disc(12, 11), Bar(14, 24, length=14))
    organ = Disc(35, 34, radius=9).mask(SIDE)
    model = segmenter(Told(organ), "organ")
    found, few = ask(model, case, "sampled_gradients"), ask(model, case, "saliency")
    three = scene(Disc(12, 10), Bar(24, 25, length=40), Bar(24, 38, length=40), seed=2)
    local = segmenter(Marked("disc", "bar"), "finding")
    blind, right = ask(local, three, "sampled_gradients"), ask(local, three, "saliency")
    truth = np.asarray(three.region("disc") | three.region("bar"))
    return (
        half(
            "Every pixel of the organ at the lower right is told by the disc, 8 of them by the bar, steeply. The sum's "
            "gradient shows the bar; the quantile, what most pixels depend on.",
            case, "disc", panel("sampled\ngradients", found), panel("saliency", few),
            fact=share(found, near(case, "disc", 5)) > 0.95 and share(few, near(case, "bar", 4)) > 0.6,
        ),
        half(
            "Every pixel looks at its own surroundings alone. Under one in ten of the segmented pixels is at the disc, "
            "so nothing there matters to one in ten drawn ones: the quantile is 0.",
            three, truth, panel("sampled\ngradients", blind), panel("saliency", right),
            fact=apart(share(blind, near(three, "disc", 5)), 1e-9, 0.05, share(right, near(three, "disc", 5)))
            and share(blind, near(three, "bar", 3)) > 0.9,
        ),
    )  # fmt: skip


@picture("vargrad")
def vargrad() -> tuple[Half, Half]:
    """Where the model bends, not where its evidence is."""
    case = scene(Disc(15, 14, 0.79), Disc(33, 16), Bar(24, 35))
    found = ask(predictor(Sum("disc")), case, "vargrad")
    mixed = scene(Disc(16, 15), Bar(24, 35))
    model = predictor(Mixed("disc", region=mixed.region("bar")))
    blind, right = ask(model, mixed, "vargrad"), ask(model, mixed, "integrated_gradients", baseline="mean")
    truth = np.asarray(mixed.region("disc") | mixed.region("bar"))
    return (
        half(
            "The model counts discs above a threshold. The gradient varies where noise carries something across that "
            "threshold: most at the faint disc, not at the bar.",
            case, "disc", panel("vargrad", found),
            fact=share(found, near(case, "disc", 6)) > 0.9,
        ),
        half(
            f"The bar's brightness counts in a straight line, {inside(right, mixed, 'bar', 1):.1f} of the score of "
            f"{right.score:.1f}. Its gradient never changes, so its variance is zero.",
            mixed, truth, panel("vargrad", blind), panel("integrated gradients,\nbaseline: mean", right),
            fact=share(blind, np.asarray(mixed.region("bar"))) < 1e-3 and inside(right, mixed, "bar", 1) > 1.5,
        ),
    )  # fmt: skip


@picture("deeplift")
def deeplift() -> tuple[Half, Half]:
    """Exact through saturation, twice the truth through a product."""
    case = clear_and_faint()
    found = ask(predictor(Saturating("disc")), case, "deeplift")
    pair = scene(Disc(24, 14), Bar(24, 35, length=13), seed=6)
    model = predictor(Both("disc", "bar"))
    wrong, right = ask(model, pair, "deeplift"), ask(model, pair, "integrated_gradients")
    truth = np.asarray(pair.region("disc") | pair.region("bar"))
    top = float(abs(spatial(wrong)).max())
    return (
        half(
            f"Each disc counts once, however clear. The clear one's gradient is zero, its share is not: the map adds "
            f"up to {total(found):.2f}, the score is {found.score:.2f}.",
            case, "disc", panel("deeplift", found),
            fact=abs(total(found) - found.score) < 0.01 * found.score and inside(found, case, "disc 0") > 0.9,
        ),
        half(
            f"The score is the product of two detections. The rule hands each of them all of it: the map adds up to "
            f"{total(wrong):.2f}, the score is {wrong.score:.2f}; it is flagged incomplete.",
            pair, truth, panel(f"deeplift,\nsum {total(wrong):.2f}", wrong, top=top),
            panel(f"integrated gradients,\nsum {total(right):.2f}", right, top=top),
            fact=total(wrong) > 1.5 * wrong.score and "incomplete" in wrong.flags,
        ),
    )  # fmt: skip


@picture("deepshap")
def deepshap() -> tuple[Half, Half]:
    """A mean over the background, which hides what it is a mean of."""
    case = scene(Disc(15, 14, 0.0), Disc(33, 33, 0.0), seed=3)
    model = predictor(Saturating("dark"))
    found = ask(model, case, "deepshap", background=healthy(6))
    first, second = scene(Disc(15, 14, 0.0), seed=300), scene(Disc(33, 33, 0.0), seed=301)
    mean = ask(model, case, "deepshap", background=[first, second])
    alone = [ask(model, case, "deepshap", background=[b]) for b in (first, second)]
    top = float(max(abs(spatial(a)).max() for a in alone))
    return (
        half(
            "The model counts black discs, each once, however clear. Compared with six healthy cases, both get their "
            "share.",
            case, "disc", panel("deepshap,\n6 healthy cases", found),
            fact=min(inside(found, case, f"disc {i}") for i in (0, 1)) > 0.9,
        ),
        half(
            "Two background cases, each with one of the findings. From each a single disc explains the score; the mean "
            "shows half of both, which is true of neither.",
            case, "disc", panel("mean of both", mean, top=top), panel("from the first", alone[0], top=top),
            panel("from the second", alone[1], top=top),
            fact=apart(abs(inside(alone[0], case, "disc 0")), 0.1, 0.9, inside(alone[0], case, "disc 1"))
            and 0.4 < inside(mean, case, "disc 0") < 0.6,
        ),
    )  # fmt: skip


@picture("lrp")
def lrp() -> tuple[Half, Half]:
    """All evidence for, none against."""
    case = clear_and_faint()
    found = ask(predictor(Saturating("disc")), case, "lrp")
    beside = scene(Disc(21.5, 13.5), Bar(22, 22, length=13), seed=7)
    model = predictor(Doubt())
    wrong, right = ask(model, beside, "lrp"), ask(model, beside, "lrp", composite="epsilon")
    truth = np.asarray(beside.region("disc") | beside.region("bar"))
    return (
        half(
            "Each disc counts once, however clear. Relevance is handed back through the saturation: both discs get "
            "their part, the clear one too.",
            case, "disc", panel("lrp", found),
            fact=min(inside(found, case, f"disc {i}") for i in (0, 1)) > 0.25 * found.score,
        ),
        half(
            "A bar near a disc lowers its score. The default rules follow positive products alone and do not show what "
            "speaks against; “epsilon” does.",
            beside, truth, panel("lrp,\nepsilon_plus", wrong), panel("lrp,\nepsilon", right),
            fact=inside(wrong, beside, "bar", 1) >= 0 > inside(right, beside, "bar", 1),
        ),
    )  # fmt: skip
