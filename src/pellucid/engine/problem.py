"""What a method is given: a batch of cases, what to explain of each, and an engine to ask."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from pellucid.core.background import weights_of
from pellucid.core.case import Case
from pellucid.core.cost import Cost
from pellucid.core.fill import Fill
from pellucid.core.predictor import Predictor
from pellucid.core.target import Bound, Objective, Target
from pellucid.engine.chance import draw_planes, generator
from pellucid.engine.engine import Engine, Gradients
from pellucid.engine.layers import Layer
from pellucid.engine.stream import Stream, shape_of
from pellucid.errors import InputError, ModelError

V = TypeVar("V")


@dataclass(eq=False)
class _Kept:
    """A result that methods share, what it took for each case, and the last account that it was put on."""

    value: Any
    by_case: dict[int, Cost]
    turn: int


@dataclass(eq=False)
class Problem:
    """B cases of one shape and T targets.

    Everything random is drawn per case from ``(seed, case id, purpose, copy)``: it depends neither on the batch nor
    on the chunks, so that a batch equals its cases one by one.

    Attributes:
        engine: runs the model.
        cases: the batch.
        targets: what is explained of each.
        seed: of everything random.
        background: cases that stand for "a usual input", for methods that compare with a cohort; a
            :class:`~pellucid.core.background.Background` gives them weights.
        frozen: targets that are bound already, one list per case: for perturbed copies of a case, whose class and
            region must stay those of the clean one.
    """

    engine: Engine
    cases: Sequence[Case]
    targets: Sequence[Target]
    seed: int = 0
    background: Sequence[Case] = ()
    frozen: Sequence[list[Bound]] = ()
    objective: Objective = field(init=False)
    inputs: dict[str, Tensor] = field(init=False)
    _scores: Tensor | None = field(init=False, default=None)
    _turn: int = field(init=False, default=0)
    _background_turn: int = field(init=False, default=-1)
    _scores_turn: int = field(init=False, default=0)
    _kept: dict[Hashable, _Kept] = field(init=False, default_factory=dict)
    _borrowed: dict[int, Cost] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Stack the cases on the engine's device; the engine is that of the inputs that they have."""
        self.engine = self.engine.without(self.cases)
        self.inputs = self.engine.stack(self.cases)
        self.objective = Objective(self.predictor, self.cases, self.targets)
        if self.frozen:
            self.objective.bound = list(self.frozen)

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def predictor(self) -> Predictor:
        """Whose model is explained."""
        return self.engine.predictor

    @property
    def flags(self) -> tuple[str, ...]:
        """Words for how the model ran, which every map of the problem carries."""
        engine = self.engine
        twice = engine.overlap == "sum" and engine.windowed(self.inputs)
        said = {"random_model": engine.random, "mixed_batch": bool(engine.mixes), "overlap_counted_twice": twice}
        return tuple(word for word, is_so in said.items() if is_so)

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the inputs with spatial axes."""
        return tuple(k for k, v in self.inputs.items() if v.ndim > 2)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tabular inputs."""
        return tuple(k for k, v in self.inputs.items() if v.ndim == 2)

    # -- passes ----------------------------------------------------------------------------------------------

    @cached_property
    def clean(self) -> Stream:
        """The cases themselves."""
        return Stream.of(self.inputs, clean=True)

    @property
    def scores(self) -> Tensor:
        """``f(x)``, ``(B, T)``: one forward per case, none if any clean pass has been made."""
        if self._scores is None:
            self.learn(self.engine.scores(self.clean, self.objective))
        elif self._scores_turn != self._turn:
            self._scores_turn = self._turn
            forwards = self.engine.forwards_of(self.inputs)
            self._borrow({b: Cost(forwards=forwards) for b in range(len(self))})
        assert self._scores is not None
        return self._scores

    def once(self, key: Hashable, make: Callable[[], V], *, clean: bool = False) -> V:
        """What ``make`` returns, run once for all methods of the problem that ask for the same ``key``.

        A method that takes over another's result is charged for it, so that its cost is what it would be alone.

        Args:
            key: names the result and everything that it depends on beside the problem (samples, noise, layer …).
            make: runs the passes.
            clean: whether ``make`` runs the cases themselves and hands their scores to :meth:`learn`; else the
                targets are bound first, outside of the account.
        """
        kept = self._kept.get(key)
        if kept is None:
            if not clean:
                self.bind()
            with self.engine.measure() as meter:
                value = make()
            self._kept[key] = _Kept(value, meter.by_case, self._turn)
            return value
        if kept.turn != self._turn:
            kept.turn = self._turn
            self._borrow(kept.by_case)
            if clean:
                self._scores_turn = self._turn
        return kept.value

    @property
    def gradient(self) -> Gradients:
        """The gradients at the cases themselves: one forward and T backwards per case, once for all methods."""

        def make() -> Gradients:
            found = self.engine.gradients(self.clean, self.objective)
            self.learn(found.scores)
            return found

        return self.once("gradient", make, clean=True)

    def activations(
        self, names: Sequence[str], *, gradients: bool = True
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Layer outputs ``(B, C, *grid)`` and gradients ``(B, T, C, *grid)`` of the cases themselves.

        Once for all methods that ask for the same layers; without ``gradients`` there is one forward and no backward.
        """

        def make() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            scores, acts, grads = self.engine.activations(self.clean, self.objective, names, gradients=gradients)
            self.learn(scores)
            return acts, grads

        return self.once(("activations", gradients, *sorted(names)), make, clean=True)

    def multipliers(
        self, starts: dict[str, Tensor], which: Tensor, rule: Callable[[], Any], share: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Gradients under a pairing backward rule times ``x − x'``, the mean over R baselines of each case.

        The output under the rule is compared with the plain one: of all cases where that is known, else of one, once.

        Args:
            starts: input name to ``(M, …)``, the baselines.
            which: ``(B, R)``, those of each case.
            rule: makes the rule's context; the batch that runs inside is ``[x; x']``.
            share: ``(R,)``, of each baseline in the mean, adding up to one; all alike if None.

        Returns:
            maps ``(B, T, *shape)``, and ``f(x) − mean f(x')`` ``(B, T)``.

        Raises:
            ModelError: the model gives another output beside a baseline than alone.
        """
        b, r = which.shape
        owner, row = torch.arange(b).repeat_interleave(r), which.reshape(-1)
        share = torch.full((r,), 1 / r, dtype=torch.float64) if share is None else share

        def cases(index: Tensor) -> dict[str, Tensor]:
            return {k: v[owner[index].to(v.device)] for k, v in self.inputs.items()}

        def baselines(index: Tensor) -> dict[str, Tensor]:
            return {k: v[row[index].to(v.device)] for k, v in starts.items()}

        def times_change(index: Tensor, grads: dict[str, Tensor]) -> dict[str, Tensor]:
            x, base = cases(index), baselines(index)
            return {k: g * (x[k] - base[k])[:, None] for k, g in grads.items()}

        got = self.engine.gradients(
            Stream(owner, cases, clean=True, shape=shape_of(self.inputs)), self.objective, rule=rule,
            reference=Stream(owner, baselines), weights=share.float().repeat(b), transform=times_change,
        )  # fmt: skip
        assert got.reference_scores is not None
        scores = got.scores.view(b, r, -1).mean(1)
        change = scores - mean_over(got.reference_scores.view(b, r, -1), share)
        self.prove(
            scores, rule, change, "beside a baseline: it mixes the cases of a batch or draws at random, so that their "
            "difference cannot be followed through it; use integrated_gradients, or mend the model"
        )  # fmt: skip
        self.learn(scores)
        return got.sums, change

    def prove(self, scores: Tensor, rule: Hashable, change: Tensor | None = None, otherwise: str = "") -> None:
        """Compare the output under a backward rule with the plain one: of all cases where that is known, else of one.

        The plain pass is set-up, made once for a rule and a shape of inputs.

        Args:
            scores: ``(B, T)``, under the rule.
            rule: names it.
            change: ``(B, T)``, what the scores are compared with in size, beside themselves.
            otherwise: how the sentence goes on after the two numbers.

        Raises:
            ModelError: the output is another one, so that the rule would explain another model.
        """
        plain = self._scores
        if plain is None:
            key = (rule, shape_of(self.inputs))
            if key in self.engine.proven:
                return
            plain = self.engine.plain_scores(self.inputs, self.objective)
            self.engine.proven.add(key)
        share = 1e-3 if self.engine.precision in ("float32", "float64") else 0.05
        found = scores[: len(plain)]
        size = plain.abs() if change is None else torch.maximum(plain.abs(), change[: len(plain)].abs())
        wrong = (found - plain).abs() > share * size + 1e-6
        if wrong.any():
            b, t = (int(i) for i in wrong.nonzero()[0])
            raise ModelError(
                f"{self.predictor.name} gives {float(plain[b, t]):.6g} for case {self.cases[b].id} alone and "
                f"{float(found[b, t]):.6g} {otherwise}"
            )

    def next_method(self) -> None:
        """Start a new account: the next method is charged for what it takes over from another."""
        self._turn += 1
        self._borrowed = {}

    def borrowed(self, b: int) -> Cost:
        """The passes of case ``b`` that the method took over from another, since :meth:`next_method`."""
        return self._borrowed.get(b, Cost())

    def _borrow(self, by_case: Mapping[int, Cost]) -> None:
        for b, cost in by_case.items():
            self._borrowed[b] = self.borrowed(b) + Cost(cost.forwards, cost.backwards)

    def learn(self, scores: Tensor) -> None:
        """Keep the scores ``(B, T)`` of the cases themselves, which a clean pass has just given."""
        self._scores, self._scores_turn = scores, self._turn

    def bind(self) -> None:
        """Make sure that the targets are fixed, by a clean pass if none has been made."""
        if not self.objective.ready:
            _ = self.scores

    def stream(self, owner: Tensor, make: Callable[[Tensor], dict[str, Tensor]]) -> Stream:
        """A stream of perturbed copies; the targets are bound first."""
        self.bind()
        return Stream(owner, make, shape=shape_of(self.inputs), base=self.inputs)

    def copies(self, count: int) -> tuple[Tensor, Tensor]:
        """``(owner, copy)`` of ``count`` inputs per case, case by case: two ``(B · count,)`` index tensors."""
        owner = torch.arange(len(self)).repeat_interleave(count)
        return owner, torch.arange(count).repeat(len(self))

    def score_of(self, inputs: dict[str, Tensor]) -> Tensor:
        """The explained scalars ``(B, T)`` of other inputs, one per case."""
        self.bind()
        stream = self.stream(torch.arange(len(self)), Stream.of(inputs).make)
        return self.engine.scores(stream, self.objective)

    def layer(self, input_name: str, name: str | None = None) -> Layer:
        """The layer of an input on which a class activation map is made."""
        return self.engine.layer_for(input_name, self.inputs, name)

    # -- stand-ins and chance --------------------------------------------------------------------------------

    def fill(self, fill: Fill) -> dict[str, Tensor]:
        """The stand-in of every input, ``(B, …)``."""
        usual = self.usual if fill.kind == "cohort" and self.background else {}
        return {
            k: fill.of(
                k, v, self.predictor, [self.generator(b, f"fill {k}") for b in range(len(self))], usual.get(k),
                weights_of(self.background),
            ).to(v)
            for k, v in self.inputs.items()
        }

    @property
    def usual(self) -> dict[str, Tensor]:
        """The inputs of the background cases, ``(R, …)``, each of the shape of the cases'.

        Raises:
            InputError: a background case of another shape.
        """
        self._background_turn = self._turn
        return self._usual

    @property
    def used_background(self) -> bool:
        """Whether the method of this account has looked at the background cases."""
        return self._background_turn == self._turn

    @property
    def usual_share(self) -> Tensor:
        """``(R,)`` float64, what each background case counts for in a mean; they add up to one."""
        count, weights = len(self.background), weights_of(self.background)
        return torch.full((count,), 1 / count, dtype=torch.float64) if weights is None else weights

    @cached_property
    def _usual(self) -> dict[str, Tensor]:
        for case in self.background:
            self.predictor.check(case)
            for name, x in self.inputs.items():
                shape, wanted = tuple(case.inputs[name].shape), tuple(x.shape[1:])
                if shape != wanted:
                    raise InputError(
                        f"background case {case.id}: input {name!r} is {shape}, that of case {self.cases[0].id} is "
                        f"{wanted}; resample the background to it, or give cases of its shape"
                    )
        return self.engine.stack(self.background)

    def generator(self, b: int, purpose: str, copy: int = 0) -> torch.Generator:
        """A CPU generator seeded by ``(seed, case id, purpose, copy)``."""
        return generator(self.seed, self.cases[b].id, purpose, copy)

    def draw(self, kind: str, name: str, owner: Tensor, copy: Tensor, purpose: str) -> Tensor:
        """Standard normal (``"normal"``) or uniform (``"uniform"``) values of the shape of an input, one per item.

        Of a model with windows plane by plane (:func:`pellucid.engine.chance.draw_planes`), so that some planes alone
        can be drawn again.
        """
        sample = torch.randn if kind == "normal" else torch.rand
        x = self.inputs[name]
        drawn = zip(owner.tolist(), copy.tolist())
        if self.predictor.windows is not None and x.ndim > 2:
            rows = [
                draw_planes(
                    kind, tuple(x.shape[1:]), seed=self.seed, case=self.cases[b].id, purpose=f"{purpose} {name}", copy=c
                )
                for b, c in drawn
            ]
        else:
            rows = [
                sample(x.shape[1:], generator=self.generator(b, f"{purpose} {name}", c)) for b, c in drawn
            ]
        return torch.stack(rows).to(x)

    def draw_numbers(self, count: int, purpose: str) -> Tensor:
        """``(B, count)`` uniform numbers in [0, 1)."""
        return torch.stack(
            [torch.rand(count, generator=self.generator(b, purpose)) for b in range(len(self))]
        ).to(self.engine.device, self.engine.dtype)

    def scale(self, name: str) -> Tensor:
        """The range of an input, ``(B, …)`` broadcastable: max − min of a picture; of a table, the range of its
        standardised values, times each column's standard deviation.
        """
        x = self.inputs[name]
        if x.ndim > 2:
            dims = tuple(range(1, x.ndim))
            return x.amax(dims, keepdim=True) - x.amin(dims, keepdim=True)
        unit = self.predictor.unit(name, x)
        z = (x - self.predictor.reference(name, x)) / unit
        return (z.amax(1, keepdim=True) - z.amin(1, keepdim=True)) * unit

    def per_sd(self, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gradients ``(B, T, …)``, a table's per standard deviation of each column: no column gains by its unit."""
        return {
            k: g * self.predictor.unit(k, self.inputs[k])[:, None] if k in self.tables else g
            for k, g in grads.items()
        }

    def noisy(self, share: float, purpose: str) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        """A function ``(owner, copy) → inputs`` that adds ``N(0, (share · scale)²)`` to every input."""

        def make(owner: Tensor, copy: Tensor) -> dict[str, Tensor]:
            at = owner.to(self.engine.device)
            return {
                k: v[at] + share * self.scale(k)[at] * self.draw("normal", k, owner, copy, purpose)
                for k, v in self.inputs.items()
            }

        return make

    def describe_layers(self, chosen: dict[str, Layer]) -> dict[str, Any]:
        """Layer names and grids, for provenance, and whether some of the input's evidence goes around the layer."""
        return {
            k: {"layer": v.name, "grid": list(v.grid), "bypassed": k not in v.carries} for k, v in chosen.items()
        }


def mean_over(scores: Tensor, share: Tensor) -> Tensor:
    """The mean ``(B, T)`` of ``(B, R, T)`` scores, each of the R counting for its share; the shares add up to one."""
    alike = bool((share == share[0]).all())
    return scores.mean(1) if alike else torch.einsum("brt,r->bt", scores, share.to(scores))
