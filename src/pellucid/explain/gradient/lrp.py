"""Layer-wise relevance propagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.engine.calls import see_through
from pellucid.engine.problem import Problem
from pellucid.engine.relevance import Relevance
from pellucid.engine.relevance_first import Picture
from pellucid.engine.relevance_rules import COMPOSITES, composite
from pellucid.engine.stream import Stream, shape_of
from pellucid.errors import nearest

LEDGER, DIRECT = " absorbed", " relevance of "  # no input's name begins with a space
LEAK = 0.01


OTHERWISE = (
    "under the rules of lrp: a function that they replace gives another output here, and another model would be "
    "explained; use integrated_gradients"
)


@dataclass(frozen=True, kw_only=True)
class Lrp(Explainer):
    """The score, handed back from layer to layer: each divides what arrives among its inputs by what they contributed.

    The rules are put on functions as they are called, so that functional, reused and in-place activations and residual
    sums are seen, and no canonised copy of the model is needed (:class:`pellucid.engine.relevance.Relevance` lists
    them). Relevance is that of the input as the network sees it, ``(x − mean) / sd`` where the predictor normalises.

    Biases and the stabiliser absorb some of the score, so that a map does not add up to it. ``notes`` keep account:
    ``absorbed_by_biases``, ``absorbed_by_epsilon``, and ``leak``, the share of the score that neither the map nor these
    hold. It is rounding where every function of the model has a rule; functions without one are named in ``unknown``,
    and a map that leaks more than 1 % is flagged ``incomplete``.

    Budget: 1 forward, 1 backward per target. Source: bach2015pixel; composites: montavon2019layer,
    kohlbrenner2020towards.

    Attributes:
        composite: the rules of convolutions; dense layers have epsilon. ``"epsilon_plus"``: the positive products alone
            (α = 1, β = 0); ``"epsilon_gamma"``: they are strengthened by ``gamma``; ``"alpha2_beta1"``: twice the
            positive less once the negative; ``"epsilon"``: epsilon everywhere, which is near to input × gradient.
        epsilon: added to denominators, away from zero: small, a stabiliser; large (0.1 of a layer's usual output), it
            leaves weak and contradictory evidence out. About 1e-6 the map would hang on rounding in float32.
        gamma: of ``"epsilon_gamma"``.
        first: rule of the layer that sees a picture itself: the ``"same"`` as of the others; ``"flat"``, evenly to all
            that it sees; ``"box"``, by the distance to the pixel value that would speak least. The last two give
            relevance to pixels of any value, black ones too.
        low, high: of ``"box"``: the least and greatest possible value of a pixel, in the image's units; those of each
            channel of the picture by default.

    Raises:
        UsageError: a scripted or compiled part; ``first`` asked for where no layer sees the picture itself.
    """

    name = "lrp"
    family = "gradient"
    source = "bach2015pixel"
    passes = "1 F, T B"
    composite: Literal["epsilon_plus", "epsilon_gamma", "alpha2_beta1", "epsilon"] = "epsilon_plus"
    epsilon: float = 1e-9
    gamma: float = 0.25
    first: Literal["same", "flat", "box"] = "same"
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        require(
            self.composite in COMPOSITES,
            f"unknown composite {self.composite!r}; {nearest(str(self.composite), COMPOSITES)}",
        )
        require(self.epsilon > 0, f"epsilon={self.epsilon}: give a number above 0, such as 1e-9")
        require(self.gamma >= 0, f"gamma={self.gamma}: give 0 or more")
        require(self.first in ("same", "flat", "box"), f"first={self.first!r}: choose 'same', 'flat' or 'box'")
        limited = self.low is not None or self.high is not None
        require(not limited or self.first == "box", "low and high are limits of first='box'")
        both = self.low is not None and self.high is not None
        require(not both or self.low < self.high, f"low={self.low}, high={self.high}: low has to be under high")  # type: ignore[operator]

    def attribute(self, problem: Problem) -> Result:
        """``x ∘ G`` at the input, and the account."""
        problem.engine.refuse_windows(shape_of(problem.inputs))
        see_through(problem.engine.module, self.name)
        gradients, unknown, scores = problem.once(
            (self.name, *self.describe().values()), lambda: self._propagate(problem), clean=True
        )
        absorbed = gradients[LEDGER].clone()  # (B, T, 2): by biases, by the stabiliser
        maps, arrived = {}, torch.zeros_like(scores)
        for name, x in problem.inputs.items():
            zero = _zero(problem, name, x)
            maps[name] = (x - zero)[:, None] * gradients[name]
            if DIRECT + name in gradients:
                maps[name] = maps[name] + gradients[DIRECT + name]
            arrived += maps[name].flatten(2).sum(2)
            absorbed[..., 0] += (zero[:, None] * gradients[name]).flatten(2).sum(2)  # the predictor's own x − mean
        largest = torch.stack([scores, arrived, *absorbed.unbind(2)]).abs().amax(0)
        leak = (scores - arrived - absorbed.sum(2)).abs() / largest.clamp(min=1e-30)
        notes: dict[str, Any] = {
            "absorbed_by_biases": absorbed[..., 0], "absorbed_by_epsilon": absorbed[..., 1], "leak": leak,
            "unknown": sorted(unknown),
        }  # fmt: skip
        return Result(maps, notes=notes, flags={"incomplete": leak > LEAK})

    def _propagate(self, problem: Problem) -> tuple[dict[str, Tensor], set[str], Tensor]:
        """Modified gradients of the inputs and of the ledger, unknown functions, scores ``(B, T)``."""
        rules = composite(self.composite, epsilon=self.epsilon, gamma=self.gamma)
        unknown: set[str] = set()
        modes: list[Relevance] = []
        clean = problem.clean

        def make(index: Tensor) -> dict[str, Tensor]:
            inputs = clean.make(index)
            ledger = next(iter(inputs.values())).new_zeros(len(index), 2)
            pictures = {} if self.first == "same" else {k: self._picture(problem, k, inputs[k]) for k in problem.images}
            modes.append(Relevance(rules, ledger, unknown, list(pictures.values())))
            return {**inputs, LEDGER: ledger, **{DIRECT + k: p.relevance for k, p in pictures.items()}}

        stream = Stream(clean.owner, make, clean=True, shape=clean.shape)
        found = problem.engine.gradients(stream, problem.objective, rule=lambda: modes[-1])
        for k, p in zip(problem.images, modes[-1].pictures):
            require(
                p.used, f"lrp: first={self.first!r} needs a convolution or dense layer that sees input {k!r} itself; "
                "the model changes it before; use first='same'"
            )  # fmt: skip
        problem.prove(found.scores, (self.name, self.composite, self.first), otherwise=OTHERWISE)
        problem.learn(found.scores)
        if any(getattr(t, "on", "logit") == "probability" for t in problem.targets):
            unknown.add("probability of the target")
        return found.sums, unknown, found.scores

    def _picture(self, problem: Problem, name: str, x: Tensor) -> Picture:
        """An input whose first layer has a rule of its own; the limits as the network sees them."""
        low = high = None
        if self.first == "box":
            space = tuple(range(2, x.ndim))
            low = x.amin(space, keepdim=True) if self.low is None else x.new_full((1,) * x.ndim, self.low)
            high = x.amax(space, keepdim=True) if self.high is None else x.new_full((1,) * x.ndim, self.high)
            if name in problem.predictor.normalise:
                mean, sd = (v.to(x).view(1, -1, *[1] * len(space)) for v in problem.predictor.normalise[name])
                low, high = (low - mean) / sd, (high - mean) / sd
        return Picture(x, torch.zeros_like(x), low, high, name in problem.predictor.normalise)


def _zero(problem: Problem, name: str, x: Tensor) -> Tensor:
    """The value that the network sees as zero."""
    if name not in problem.predictor.normalise:
        return torch.zeros_like(x)
    mean, _ = problem.predictor.normalise[name]
    return mean.to(x).view(1, -1, *[1] * (x.ndim - 2)).expand_as(x)
