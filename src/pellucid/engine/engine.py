"""The engine owns every pass through the model."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.cost import Cost
from pellucid.core.predictor import Predictor
from pellucid.core.target import Objective
from pellucid.engine import layers as _layers
from pellucid.engine import memory, stitched
from pellucid.engine import tokens as _tokens
from pellucid.engine.layers import Layer
from pellucid.engine.prepare import chance, not_differentiable, prepared
from pellucid.engine.seeds import Seeds
from pellucid.engine.slabs import Copies, Slab, label_map, slabs
from pellucid.engine.stitched import Clean
from pellucid.engine.stream import Stream, shape_of
from pellucid.engine.sums import Sums, Transform
from pellucid.engine.tangents import jvp
from pellucid.engine.too_large import window_too_large
from pellucid.engine.windows import Plan, spatial
from pellucid.errors import InputError, ModelError, PellucidError, UsageError, nearest
from pellucid.types import Precision

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(eq=False)
class Meter:
    """What :meth:`Engine.measure` counts: everything, and the passes of each case of the batch."""

    total: Cost = field(default_factory=Cost)
    by_case: dict[int, Cost] = field(default_factory=dict)

    def of(self, b: int) -> Cost:
        """Passes of case ``b`` alone."""
        return self.by_case.get(b, Cost())


@dataclass(eq=False)
class Gradients:
    """What :meth:`Engine.gradients` returns for B cases, T targets and n inputs.

    Attributes:
        scores: ``(n, T)``, the explained scalars.
        sums: input name to ``(B, T, *shape)``: weighted sums over the inputs of each case.
        squares: the same of the squared gradients, if asked for; both are float64 then.
        reference_scores: ``(n, T)``, of the paired reference stream, if there is one.
    """

    scores: Tensor
    sums: dict[str, Tensor]
    squares: dict[str, Tensor] = field(default_factory=dict)
    reference_scores: Tensor | None = None


class Engine:
    """Runs a predictor's model: an eval-mode copy, in chunks that fit in memory, every pass counted.

    Args:
        predictor: whose module is copied; the caller's is never touched.
        device: ``"auto"`` takes a GPU where there is one.
        precision: ``"float32"``; ``"bf16"`` or ``"fp16"`` run the model under autocast (scores and sums stay
            float32); ``"float64"`` for checks.
        memory: bytes that one chunk may take; 1 GiB on a CPU, half of the free memory on a GPU by default.
        chunk: largest number of inputs in one pass, whatever fits.
        overlap: of windows: ``"exact"``, the gradient of the stitched prediction; or ``"sum"``, for comparison: every
            window's own gradient, added up without weights, so that what lies in several windows counts several times.

    Raises:
        UsageError: a device that is not there, an unknown precision or way of overlapping.
        ModelError: the module cannot be copied.

    Attributes:
        random: whether the model has drawn random numbers in a pass (a functional dropout left on): maps are flagged.
        mixes: whether a window's output was seen to depend on the windows beside it in the batch; None before a look.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        device: str = "auto",
        precision: Precision = "float32",
        memory: int | None = None,
        chunk: int | None = None,
        overlap: Literal["exact", "sum"] = "exact",
    ) -> None:
        self.predictor = predictor
        self.device = pick_device(device)
        choices = ("float32", "bf16", "fp16", "float64")
        if precision not in choices:
            raise UsageError(f"unknown precision {precision!r}; {nearest(str(precision), choices)}")
        if chunk is not None and chunk < 1:
            raise UsageError(f"chunk={chunk}: at least one input goes through the model at a time")
        if overlap not in ("exact", "sum"):
            raise UsageError(f"overlap={overlap!r}; {nearest(str(overlap), ['exact', 'sum'])}")
        self.overlap = overlap
        self.precision = precision
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        self.cost = Cost()
        self.setup = Cost()
        self._meters: list[Meter] = []
        self._budget = memory
        self._limit = chunk or 10**9
        self._per_item: dict[Any, int] = {}
        self._layers: dict[Any, list[Layer]] = {}
        self._attention: dict[Any, _tokens.Layout] = {}
        self.proven: set[Any] = set()  # backward rules under which the output was seen to be the plain one
        if predictor.module.training:
            warnings.warn(
                f"{predictor.name} is in train mode; Pellucid explains a copy in eval mode "
                "(call .eval() to silence this)",
                stacklevel=3,
            )
        self.module = prepared(predictor.module, predictor.name, self.device, self.dtype)
        self.random = False  # whether it has been seen to draw at random
        self.mixes: bool | None = None
        self._plans: dict[Any, Plan | None] = {}
        self._whole: dict[Any, Plan] = {}
        self._clean: WeakKeyDictionary[Objective, Clean] = WeakKeyDictionary()
        self._without: dict[Any, Engine] = {}

    def without(self, cases: Sequence[Case]) -> Engine:
        """The engine for cases that all lack the same inputs: the same module and account, of the other inputs alone.

        This engine itself where they lack none. See :meth:`Predictor.without`.

        Raises:
            InputError: the cases do not lack the same.
            UsageError: there is no stand-in for what they lack.
        """
        gone = [tuple(n for n in self.predictor.inputs if n in c.missing) for c in cases]
        if not any(gone):
            return self
        for case, names in zip(cases, gone):
            if names != gone[0]:
                raise InputError(
                    f"case {case.id} lacks {_named(names)}, case {cases[0].id} lacks {_named(gone[0])}; explain these "
                    "cases one by one"
                )
            self.predictor.check(case)
        key = tuple((n, tuple(cases[0].inputs[n].shape)) for n in gone[0])
        if key not in self._without:
            other = copy.copy(self)
            other.predictor = self.predictor.without(cases[0])
            other._per_item, other._layers, other._attention, other._plans, other._whole = {}, {}, {}, {}, {}
            other.proven, other._clean, other._without = set(), WeakKeyDictionary(), {}
            self._without[key] = other
        return self._without[key]

    def like(self, predictor: Predictor) -> Engine:
        """An engine for another predictor, with this one's device, precision and memory."""
        return Engine(
            predictor, device=str(self.device), precision=self.precision, memory=self._budget, chunk=self._limit,
            overlap=self.overlap,
        )  # fmt: skip

    @cached_property
    def weights(self) -> str:
        """Hash of the weights as they were when the engine was made."""
        return self.predictor.weights_hash()

    # -- the cases -------------------------------------------------------------------------------------------

    def stack(self, cases: Sequence[Case]) -> dict[str, Tensor]:
        """The model's inputs of several cases, stacked on the engine's device; the stand-in of what one lacks.

        Raises:
            InputError: a case has no such input, or the shapes differ.
            UsageError: an input of a case is missing, and the model has no stand-in for it.
        """
        for case in cases:
            self.predictor.check(case)
        out = {}
        for name in self.predictor.inputs:
            shapes = {tuple(c.inputs[name].shape) for c in cases}
            if len(shapes) > 1:
                raise InputError(
                    f"input {name!r} has different shapes in one batch: {sorted(shapes)}; "
                    "explain these cases one by one"
                )
            value = torch.stack(
                [self.predictor.stand_in(name, c.inputs[name]) if name in c.missing else c.inputs[name] for c in cases]
            )
            if self.device.type == "cuda":
                value = value.pin_memory()
            out[name] = value.to(self.device, self.dtype, non_blocking=True)
        return out

    def outputs(self, cases: Sequence[Case]) -> list[Tensor]:
        """The model's float32 output of each case, ``(K,)`` or ``(K, *spatial)``, on the CPU."""
        out: list[Tensor] = [torch.empty(0)] * len(cases)
        for places in same_shapes(cases, self.predictor.inputs):
            self.stack([cases[places[0]]])  # checks before anything is stacked
            stream = Stream(
                torch.arange(len(places)),
                lambda i, places=places: self.stack([cases[places[j]] for j in i.tolist()]),  # type: ignore[misc]
                clean=True,
                shape=tuple((n, tuple(cases[places[0]].inputs[n].shape)) for n in self.predictor.inputs),
            )
            for place, row in zip(places, self.forward(stream)):
                out[place] = row
        return out

    def predict(self, cases: Sequence[Case]) -> Tensor:
        """The model's output of all cases, ``(N, K, …)`` on the CPU; their shapes have to agree."""
        return torch.stack(self.outputs(cases))

    # -- the passes ------------------------------------------------------------------------------------------

    def forward(self, stream: Stream) -> Tensor:
        """Outputs ``(n, K[, *spatial])`` of all inputs, on the CPU, in float32 (float64 if so asked)."""
        if (plan := self.plan(stream.shape)) is not None:
            return stitched.forward(self, plan, stream)
        parts: list[Tensor] = []

        def step(index: Tensor) -> None:
            with torch.no_grad():
                parts.append(self._call(stream.make(index)).cpu())
            self._count(stream.owner[index], 1, 0)

        self._chunks(stream, step, graph=False)
        return torch.cat(parts)

    def scores(
        self, stream: Stream, objective: Objective, *, context: Callable[[Tensor], Any] | None = None
    ) -> Tensor:
        """The explained scalars ``(n, T)`` of all inputs; nothing larger is kept.

        ``context`` makes, from the indices of a chunk, a context that is active while the model runs on it: hooks
        that change a layer's output, item by item.
        """
        if (plan := self.plan(stream.shape)) is not None:
            if context is not None:
                raise self._inside()
            return stitched.scores(self, plan, stream, objective)
        parts: list[Tensor] = []

        def step(index: Tensor) -> None:
            owner = stream.owner[index]
            with torch.no_grad():
                with context(index) if context else nullcontext():
                    output = self._call(stream.make(index))
                self._bind(stream, objective, output, owner)
                parts.append(objective(output, owner))
            self._count(owner, 1, 0)

        self._chunks(stream, step, graph=False)
        return torch.cat(parts)

    def gradients(
        self,
        stream: Stream,
        objective: Objective,
        *,
        weights: Tensor | None = None,
        transform: Transform | None = None,
        square: bool = False,
        reference: Stream | None = None,
        rule: Callable[[], Any] | None = None,
    ) -> Gradients:
        """Gradients of every target to every input, summed over the inputs of each case as they come.

        Uses ``autograd.grad`` to the inputs alone: one forward and T backwards per input, no weight gradients.

        Args:
            stream: the inputs.
            objective: the targets.
            weights: ``(n,)``, of each input in its case's sum; ones by default.
            transform: ``(index, gradients (m, T, *shape)) → the same``, before the sum.
            square: whether to sum the squares as well; both sums are in float64 then.
            reference: a paired stream of as many inputs; each chunk runs as ``[inputs; references]``.
            rule: makes a context (a torch function mode) that is active during the forward pass.
        """
        if (plan := self.plan(stream.shape)) is not None:
            return stitched.gradients(
                self, plan, stream, objective, weights=weights, transform=transform, square=square,
                reference=reference, rule=rule,
            )  # fmt: skip
        count, targets = len(objective.cases), len(objective.targets)
        scores: list[Tensor] = []
        refs: list[Tensor] = []
        sums = Sums(count, weights=weights, transform=transform, square=square)

        def step(index: Tensor) -> None:
            owner = stream.owner[index]
            with torch.enable_grad():
                leaves = {k: v.requires_grad_() for k, v in stream.make(index).items()}
                inputs = leaves
                if reference is not None:
                    other = reference.make(index)
                    inputs = {k: torch.cat([v, other[k]]) for k, v in leaves.items()}
                with rule() if rule else nullcontext():
                    output = self._call({k: v.clone() for k, v in inputs.items()})
                self._bind(stream, objective, output[: len(index)], owner)
                score = objective(output[: len(index)], owner)
                grads = self._vjps(score, leaves)
                other_score = objective(output[len(index) :].detach(), owner) if reference is not None else None
            self._count(owner, 1 if reference is None else 2, targets)
            sums.add(grads, owner, index)
            if other_score is not None:
                refs.append(other_score)
            scores.append(score.detach())

        self._chunks(stream, step, graph=True, pair=reference is not None)
        return Gradients(torch.cat(scores), sums.sums, sums.squares, torch.cat(refs) if refs else None)

    def activations(
        self, stream: Stream, objective: Objective, names: Sequence[str], *, gradients: bool = True
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Layer outputs and the gradients of every target to them.

        The trunk below the layers runs without a graph: the layer's output becomes a leaf, so a backward pass
        goes no deeper than the layer.

        Returns:
            scores ``(n, T)``; layer name to ``(n, C, *grid)``; layer name to ``(n, T, C, *grid)``, empty without
            ``gradients``.
        """

        def record(held: dict[str, Tensor]) -> AbstractContextManager[Any]:
            def keep(name: str, out: Tensor) -> Tensor | None:
                if name not in names:
                    return None
                held[name] = leaf(out)
                return held[name].clone()  # what follows may work in place

            return _layers.tap(self.module, keep)

        return self.captured(stream, objective, record, gradients=gradients)

    def captured(
        self,
        stream: Stream,
        objective: Objective,
        record: Callable[[dict[str, Tensor]], AbstractContextManager[Any]],
        *,
        gradients: bool = True,
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Tensors that arise inside the model, and the gradients of every target to them.

        Args:
            stream: the inputs.
            objective: the targets.
            record: given an empty dict, makes a context that fills it while the model runs: name to a tensor whose
                first axis is the items of the chunk, made with :func:`leaf` so that gradients reach it.
            gradients: whether they are wanted; if not, nothing is kept for a backward pass.

        Returns:
            scores ``(n, T)``; name to ``(n, …)``; name to ``(n, T, …)``, empty without gradients.

        Raises:
            UsageError: the volume goes through the model in windows.
        """
        self.refuse_windows(stream.shape)
        scores: list[Tensor] = []
        values: dict[str, list[Tensor]] = {}
        grads: dict[str, list[Tensor]] = {}
        targets = len(objective.targets)

        def step(index: Tensor) -> None:
            owner = stream.owner[index]
            held: dict[str, Tensor] = {}
            with torch.set_grad_enabled(gradients):
                with record(held):
                    output = self._call(stream.make(index))
                self._bind(stream, objective, output, owner)
                score = objective(output, owner)
                got = self._vjps(score, held) if gradients and held else {}
            self._count(owner, 1, targets if gradients else 0)
            scores.append(score.detach())
            for n, v in held.items():
                values.setdefault(n, []).append(v.detach().to(self.dtype))
            for n, g in got.items():
                grads.setdefault(n, []).append(g.to(self.dtype))

        self._chunks(stream, step, graph=gradients)
        return (
            torch.cat(scores),
            {n: torch.cat(v) for n, v in values.items()},
            {n: torch.cat(v) for n, v in grads.items()},
        )

    def plain_scores(self, inputs: dict[str, Tensor], objective: Objective) -> Tensor:
        """``f(x)``, ``(1, T)``, of the first case of a batch, as a check: counted in ``setup``, not in ``cost``."""
        if (plan := self.plan(shape_of(inputs))) is not None:
            return stitched.plain(self, plan, {k: v[:1] for k, v in inputs.items()}, objective)
        with torch.no_grad():
            output = self._call({k: v[:1] for k, v in inputs.items()})
            self.setup.forwards += 1
            return objective(output, torch.zeros(1, dtype=torch.int64))

    def layers(self, inputs: dict[str, Tensor]) -> list[Layer]:
        """All layers with a spatial map, found by one pass of one case: once per shape, counted in ``setup``."""
        key = shape_of(inputs)
        self.refuse_windows(key)
        if key not in self._layers:
            axes = max(v.ndim for v in inputs.values()) - 2
            with torch.enable_grad():
                leaves = self._leaves(inputs)
                self._layers[key] = _layers.trace(
                    self.module, lambda: self._run({k: v.clone() for k, v in leaves.items()}), leaves, axes
                )
            self.setup.forwards += 1
        return self._layers[key]

    def attention(
        self, inputs: dict[str, Tensor], *, grid: tuple[int, ...] | None = None, prefix: int | None = None
    ) -> _tokens.Layout:
        """Where the model attends, and what its tokens stand for, found by one pass of one case: once per shape."""
        self.refuse_windows(shape_of(inputs))
        key = (shape_of(inputs), grid, prefix)
        if key not in self._attention:
            leaves = self._leaves(inputs)
            self.setup.forwards += 1
            self._attention[key] = _tokens.probe(
                self.module, lambda: self._run({k: v.clone() for k, v in leaves.items()}, exact=True), leaves,
                self.predictor.name, grid, prefix,
            )  # fmt: skip
        return self._attention[key]

    def _leaves(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """One case's inputs, and what stands in for those that it lacks: they too are no part of the model."""
        every = {k: inputs[k] if k in inputs else self._stand_in(k, inputs) for k in self.predictor.order}
        return {k: v[:1].detach().clone().requires_grad_() for k, v in every.items()}

    def layer_for(self, input_name: str, inputs: dict[str, Tensor], name: str | None = None) -> Layer:
        """The named layer, or the automatic one, of an input (see :func:`pellucid.engine.layers.choose`)."""
        found = self.layers(inputs)
        if not found and any(isinstance(m, torch.jit.ScriptModule) for m in self.module.modules()):
            raise UsageError(
                f"{self.predictor.name}: the module is scripted or traced (torch.jit), so its layers cannot be seen; "
                "give the plain nn.Module that it was made from, or use a method that needs no layer"
            )
        if name is not None:
            if name in dict(self.module.named_modules()) and name not in {x.name for x in found}:
                raise self._no_map(name, inputs, found)
            return _layers.named(found, name, input_name)
        return _layers.choose(
            found, input_name, task=self.predictor.task, several=len(self.predictor.order) > 1
        )

    def _no_map(self, name: str, inputs: dict[str, Tensor], found: Sequence[Layer]) -> UsageError:
        """The error for a module that is there, but whose output is no spatial map."""
        shapes: list[tuple[int, ...]] = []

        def look(called: str, out: Tensor) -> None:
            if called == name:
                shapes.append(tuple(out.shape[1:]))

        with torch.no_grad(), _layers.tap(self.module, look):
            self._run({k: v[:1] for k, v in inputs.items()})
        self.setup.forwards += 1
        what = f"returns {shapes[0]} for a case" if shapes else "returns no tensor, or is not run"
        return UsageError(
            f"layer {name!r} has no spatial map (channels, then the grid): it {what}; "
            f"layers that have one: {', '.join(x.name for x in found if not _layers.passing(x)) or 'none'}"
        )

    # -- windows ---------------------------------------------------------------------------------------------

    def plan(self, shape: Hashable) -> Plan | None:
        """The windows of a stream of this ``shape`` (:func:`shape_of`); None where inputs go through whole.

        They do where the predictor has no windows, and where the volume is one window of its own size.

        Raises:
            InputError: pictures on several grids, or another number of axes than the windows have.
        """
        options = self.predictor.windows
        if options is None:
            return None
        if shape not in self._plans:
            shapes = {k: s for k, s in shape if k in self.predictor.inputs}  # type: ignore[attr-defined]
            grid = spatial(shapes)
            self._plans[shape] = (
                None if grid == options.roi else Plan.of(options, grid, device=self.device, dtype=self.dtype)
            )
        return self._plans[shape]

    def _plan_of(self, inputs: dict[str, Tensor]) -> Plan:
        """The windows of one case's inputs, or the volume as its only one."""
        key = shape_of(inputs)
        if key not in self._whole:
            grid = spatial({k: tuple(v.shape[1:]) for k, v in inputs.items()})
            self._whole[key] = self.plan(key) or Plan.whole(grid, device=self.device, dtype=self.dtype)
        return self._whole[key]

    def label_map(self, inputs: dict[str, Tensor]) -> Tensor:
        """The predicted labels ``(*shape)`` int16 of one case, on the CPU.

        Stitched slab by slab, without all classes of the whole volume at once.

        Args:
            inputs: name to ``(1, C, *shape)``, as of :meth:`stack`.
        """
        return label_map(self, self._plan_of(inputs), inputs)

    def slabs(self, inputs: dict[str, Tensor], seeds: Seeds, *, copies: Copies | None = None) -> Iterator[Slab]:
        """Gradients of several targets to the inputs, slab by slab along the first spatial axis.

        Args:
            inputs: name to ``(1, C, *shape)``, as of :meth:`stack`.
            seeds: the targets, sums of logits over regions.
            copies: perturbed copies, whose weighted gradients are summed; the case itself by default.
        """
        return slabs(self, self._plan_of(inputs), inputs, seeds, copies)

    def jvp(self, inputs: dict[str, Tensor], tangents: dict[str, Tensor], objective: Objective) -> Tensor:
        """Directional derivatives ``(T,)`` of all targets of one case, by forward mode.

        Args:
            inputs: name to ``(1, C, *shape)``.
            tangents: the direction, of the same shapes; an input that is not named has none.
            objective: of the one case.
        """
        return jvp(self, self._plan_of(inputs), inputs, tangents, objective)

    def windowed(self, inputs: dict[str, Tensor]) -> bool:
        """Whether these inputs go through the model in windows."""
        return self.plan(shape_of(inputs)) is not None

    def forwards_of(self, inputs: dict[str, Tensor]) -> int:
        """How many forwards one case takes: its windows, or one."""
        plan = self.plan(shape_of(inputs))
        return 1 if plan is None else plan.count

    def refuse_windows(self, shape: Hashable) -> None:
        """Raise UsageError where what is asked for lies inside the network and inputs go through it in windows."""
        if self.plan(shape) is not None:
            raise self._inside()

    def _inside(self) -> UsageError:
        roi = self.predictor.windows.roi if self.predictor.windows else ()
        return UsageError(
            f"{self.predictor.name} runs in windows of {' × '.join(map(str, roi))}, and this method looks inside the "
            "network, where every window has maps of its own; use a method that needs inputs and outputs alone "
            "(smoothgrad, integrated_gradients, occlusion), or explain a volume of one window's size"
        )

    def clean_windows(self, objective: Objective) -> Clean:
        """What is known of the windows of the clean cases of an objective."""
        return self._clean.setdefault(objective, Clean())

    def _vjp(self, output: Tensor, leaves: dict[str, Tensor], seed: Tensor, *, retain: bool) -> tuple[Tensor, ...]:
        """The gradients of ``Σ seed · output`` to each leaf."""
        if not output.requires_grad:
            return tuple(torch.zeros_like(v) for v in leaves.values())
        try:
            return torch.autograd.grad(
                output, list(leaves.values()), seed, retain_graph=retain, materialize_grads=True
            )
        except RuntimeError as error:
            if memory.is_out_of_memory(error):
                raise
            raise not_differentiable(self.predictor.name, error) from error

    @contextmanager
    def measure(self) -> Iterator[Meter]:
        """Count what runs inside; seconds and peak memory are filled in when it ends."""
        meter = Meter()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        start = time.perf_counter()
        self._meters.append(meter)
        try:
            yield meter
        finally:
            self._meters.remove(meter)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
                meter.total.peak_bytes = torch.cuda.max_memory_allocated(self.device)
            meter.total.seconds = time.perf_counter() - start

    # -- inside ----------------------------------------------------------------------------------------------

    def _call(self, inputs: dict[str, Tensor]) -> Tensor:
        """One pass, its output checked and in the engine's precision."""
        return self._checked(self._run(inputs), len(next(iter(inputs.values()))))

    def _run(self, inputs: dict[str, Tensor], *, exact: bool = False) -> Tensor:
        """One pass: normalise, run, pick the output; ``exact`` without autocast."""
        shown = []
        for name in self.predictor.order:
            x = inputs[name] if name in inputs else self._stand_in(name, inputs)
            if name in self.predictor.normalise:
                mean, sd = self.predictor.normalise[name]
                view = (1, -1, *[1] * (x.ndim - 2))
                x = (x - mean.to(x).view(view)) / sd.to(x).view(view)
            shown.append(x)
        auto = self.precision in _AUTOCAST and not exact
        before = [] if self.random else chance(self.device)
        try:
            with torch.autocast(self.device.type, _AUTOCAST[self.precision]) if auto else nullcontext():
                output = self.module(*shown)
        except PellucidError:
            raise
        except Exception as error:
            if memory.is_out_of_memory(error):
                raise
            if "Checkpoint" in type(error).__name__:
                raise not_differentiable(self.predictor.name, error) from error
            shapes = ", ".join(f"{k} {tuple(inputs[k].shape[1:])}" for k in self.predictor.inputs)
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{self.predictor.name} failed on inputs {shapes}: {first}") from error
        if not all(map(torch.equal, before, chance(self.device) if before else [])):
            self.random = True
            warnings.warn(
                f"{self.predictor.name} draws random numbers in eval mode, so that its output may change from pass to "
                "pass: F.dropout needs training=self.training, or use nn.Dropout",
                stacklevel=2,
            )
        return self._picked(output)

    def _stand_in(self, name: str, inputs: dict[str, Tensor]) -> Tensor:
        """``(B, …)`` what the inputs' cases have in the place of an input that they lack."""
        first = next(iter(inputs.values()))
        value = self.predictor.absent[name].to(first)
        if self.predictor.windows is not None and value.ndim > 1:  # of one value per channel: a window of it
            grid = next(v.shape[2:] for v in inputs.values() if v.ndim > 2)
            value = value.flatten(1)[:, :1].reshape(-1, *[1] * len(grid)).expand(-1, *grid)
        return value.expand(len(first), *value.shape)

    def _picked(self, output: Any) -> Tensor:
        pick, name = self.predictor.output, self.predictor.name
        if pick is not None:
            try:
                output = output[pick]
            except (KeyError, IndexError, TypeError) as error:
                raise ModelError(f"{name} returns no output {pick!r}: {type(output).__name__}") from error
        if not isinstance(output, Tensor):
            hint = f"keys {list(output)}" if isinstance(output, dict) else "an index"
            raise ModelError(
                f"{name} returned a {type(output).__name__}, not a tensor; say which part with "
                f"Predictor(output=…) ({hint})"
            )
        return output

    def _checked(self, output: Tensor, count: int) -> Tensor:
        name = self.predictor.name
        output = output.to(self.dtype)
        if output.ndim == 1 and self.predictor.task == "regression":
            output = output[:, None]
        least = 3 if self.predictor.task == "segmentation" else 2
        if output.ndim < least or len(output) != count or (least == 2 and output.ndim != 2):
            raise ModelError(
                f"{name} returned {tuple(output.shape)} for {count} inputs; a {self.predictor.task} returns "
                + ("(B, K, *spatial)" if least == 3 else "(B, K)")
            )
        classes = self.predictor.classes
        if classes and output.shape[1] != len(classes):
            raise UsageError(
                f"{name} has {output.shape[1]} outputs, but {len(classes)} classes were named "
                f"({', '.join(classes[:5])}{'…' if len(classes) > 5 else ''}); name one per output"
            )
        if not torch.isfinite(output.detach()).all():
            bad = int((~torch.isfinite(output.detach()).flatten(1).all(1)).sum())
            raise ModelError(f"{name} returned NaN or infinite values for {bad} of {count} inputs")
        return output

    def _vjps(self, score: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
        """``(m, T)`` scores to gradients ``(m, T, *shape)`` of each leaf."""
        targets = score.shape[1]
        parts: dict[str, list[Tensor]] = {k: [] for k in leaves}
        for t in range(targets):
            if score.requires_grad:
                try:
                    got = torch.autograd.grad(
                        score[:, t].sum(), list(leaves.values()), retain_graph=t + 1 < targets, materialize_grads=True
                    )
                except RuntimeError as error:
                    if memory.is_out_of_memory(error):
                        raise
                    raise not_differentiable(self.predictor.name, error) from error
            else:
                got = tuple(torch.zeros_like(v) for v in leaves.values())
            for name, g in zip(leaves, got):
                parts[name].append(g)
        return {k: torch.stack(v, dim=1) for k, v in parts.items()}

    def _count(self, owner: Tensor, forwards: int, backwards: int | Tensor) -> None:
        """Note ``forwards`` and ``backwards`` passes for every input of a chunk, by the case it belongs to.

        ``backwards`` is one number for all, or one each ``(m,)``.
        """
        back = torch.as_tensor(backwards).expand(len(owner))
        for total in (self.cost, *(m.total for m in self._meters)):
            total.forwards += forwards * len(owner)
            total.backwards += int(back.sum())
        if self._meters:
            counts = torch.bincount(owner).tolist(), torch.bincount(owner, back.double()).tolist()
            for b, (n, k) in enumerate(zip(*counts)):
                for meter in self._meters if n else ():
                    meter.by_case[b] = meter.of(b) + Cost(forwards * n, int(k))

    def _bind(self, stream: Stream, objective: Objective, output: Tensor, owner: Tensor) -> None:
        if stream.clean:
            if not objective.ready:
                objective.bind(output, owner)
        elif not objective.ready:
            raise UsageError("the targets are not bound yet: run the clean cases first")

    def _chunks(
        self, stream: Stream, step: Callable[[Tensor], None], *, graph: bool, pair: bool = False,
        windows: Plan | None = None,
    ) -> None:  # fmt: skip
        """Run ``step`` over the stream in chunks that fit; halve them when memory runs out."""
        start, count = 0, len(stream)
        while start < count:
            index = torch.arange(start, min(count, start + self._size(stream, graph, pair)))
            key = (stream.shape, graph, pair)
            try:
                if key in self._per_item:
                    step(index)
                else:
                    index = index[:1]
                    with memory.footprint(self.module) as seen:
                        step(index)
                    self._per_item[key] = max(1, seen.per_item(graph=graph))
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                if len(index) == 1:
                    if windows is not None:
                        raise window_too_large(self, windows, stream.make(index), graph=graph) from error
                    raise ModelError(
                        f"{self.predictor.name}: one input does not fit in the memory of {self.device}; "
                        "use smaller inputs or precision='bf16'"
                    ) from error
                self._limit = len(index) // 2
                continue
            start = int(index[-1]) + 1

    def _size(self, stream: Stream, graph: bool, pair: bool) -> int:
        per_item = self._per_item.get((stream.shape, graph, pair))
        if per_item is None:
            return 1
        most = memory.CUDA_CHUNK if self.device.type == "cuda" else memory.CPU_CHUNK
        return max(1, min(self._limit, most, memory.budget(self.device, self._budget) // per_item))


def leaf(value: Tensor) -> Tensor:
    """``value``, made to receive gradients: itself if it has a graph, else cut off from what made it."""
    return value if value.requires_grad else value.detach().requires_grad_(torch.is_grad_enabled())


def pick_device(device: str) -> torch.device:
    """``"auto"``: a GPU where there is one, else the CPU.

    Raises:
        UsageError: CUDA asked for where there is none, or no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"no device {device!r}; use 'auto', 'cpu' or 'cuda'") from error
    if picked.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda' asked for, but PyTorch sees no GPU; use device='cpu' or 'auto'")
    return picked


def same_shapes(cases: Sequence[Case], inputs: Sequence[str]) -> list[list[int]]:
    """Places of the cases, grouped by the shapes of their inputs and by what they lack, first come first."""
    groups: dict[Any, list[int]] = {}
    for place, case in enumerate(cases):
        key = tuple((tuple(case.inputs[n].shape), n in case.missing) if n in case.inputs else None for n in inputs)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _named(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
