"""A network together with what its numbers mean."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.core.case import Case
from pellucid.core.module_copy import copied
from pellucid.core.windows import Windows, as_windows
from pellucid.errors import InputError, UsageError, nearest
from pellucid.types import Activation, Task


class Predictor:
    """Any ``torch.nn.Module``, with the names of its inputs, its task and its class names.

    The module is never changed: every pass runs through a copy in eval mode that the engine makes.

    Args:
        module: its ``forward`` takes the inputs in the order of ``inputs`` and returns logits ``(B, K)``, scores
            ``(B, K)`` or ``(B,)``, or a segmentation ``(B, K, *spatial)``.
        inputs: names of the inputs, in the order of ``forward``.
        task: ``"classification"``, ``"regression"`` or ``"segmentation"``.
        classes: names of the outputs. A segmentation with one channel has one name; its background has none.
        activation: what turns logits into probabilities. ``"softmax"`` for exclusive classes (default where there
            are several), ``"sigmoid"`` for independent labels (default for one), ``"identity"`` for scores.
        thresholds: per class, of :meth:`probabilities`, above which it counts as predicted; 0.5 by default. Exclusive
            classes are predicted by arg max whatever their thresholds; these only tell which are :meth:`above`. NaN
            (or None) is a class without a threshold: it is never above.
        temperature: by which logits are divided before they become probabilities, of a classification; logits, and
            what explains them, stay as they are.
        normalise: name to ``(mean, sd)``, each a number or one per channel or feature: the model is shown
            ``(value − mean) / sd``. Cases stay in the image's own units, and so do fills and maps.
        features: name of a tabular input to the names of its columns.
        output: which element to use, where the module returns a tuple (an int) or a dict (a key).
        windows: for volumes larger than the network takes at once: ``pc.windows(roi=…)``, or its options as a dict;
            of a segmentation.

    Raises:
        UsageError: no module, no input, an unknown task, classes or statistics that do not fit.

    Example:
        >>> p = Predictor(nn.Flatten(), inputs=["x"], task="classification", classes=["a", "b", "c", "d"])
        >>> p.activation
        'softmax'
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        inputs: Sequence[str],
        task: Task,
        classes: Sequence[str] | None = None,
        activation: Activation | None = None,
        thresholds: Sequence[float | None] | None = None,
        temperature: float = 1.0,
        normalise: Mapping[str, tuple[Any, Any]] | None = None,
        features: Mapping[str, Sequence[str]] | None = None,
        output: int | str | None = None,
        windows: Windows | Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise UsageError(f"a Predictor takes a torch.nn.Module, not {type(module).__name__}")
        if isinstance(inputs, str) or not inputs:
            raise UsageError("inputs: give the list of input names in the order of forward, e.g. ['image']")
        if len(set(inputs)) != len(inputs):
            raise UsageError(f"inputs: a name occurs twice in {list(inputs)}")
        tasks = ("classification", "regression", "segmentation")
        if task not in tasks:
            raise UsageError(f"unknown task {task!r}; {nearest(str(task), tasks)}")
        self.module = module
        self.inputs = tuple(inputs)
        self.order = self.inputs  # of forward; with inputs that a case does not have: see without
        self.absent: dict[str, Tensor] = {}
        self.task: Task = task
        self.classes = tuple(str(c) for c in classes or ())
        if task == "classification" and not self.classes:
            raise UsageError("classes: name the classes of a classification, one per output")
        if activation is None:
            activation = "identity" if task == "regression" else "softmax" if len(self.classes) > 1 else "sigmoid"
        if activation not in ("softmax", "sigmoid", "identity"):
            raise UsageError(
                f"activation {activation!r}; {nearest(str(activation), ['softmax', 'sigmoid', 'identity'])}"
            )
        self.activation: Activation = activation
        self.thresholds = tuple(
            math.nan if t is None else float(t) for t in thresholds or (0.5,) * max(len(self.classes), 1)
        )
        if self.classes and len(self.thresholds) != len(self.classes):
            raise UsageError(f"{len(self.thresholds)} thresholds for {len(self.classes)} classes; give one each")
        if any(not (math.isnan(t) or 0 <= t <= 1) for t in self.thresholds):
            raise UsageError(f"thresholds {self.thresholds}: give probabilities from 0 to 1, NaN where there is none")
        if task == "segmentation" and self.without_threshold:
            raise UsageError("thresholds: a segmentation needs a number; NaN would label nothing")
        self.temperature = float(temperature)
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UsageError(f"temperature is {temperature}; give a positive number")
        if self.temperature != 1 and task != "classification":
            raise UsageError(f"temperature is {temperature}; it is for a classification, not for a {task}")
        self.normalise = {k: _statistics(k, v, self.inputs) for k, v in (normalise or {}).items()}
        self.features = {k: tuple(v) for k, v in (features or {}).items()}
        self.output = output
        self.windows = as_windows(dict(windows) if isinstance(windows, Mapping) else windows)
        if self.windows is not None and task != "segmentation":
            raise UsageError(f"windows are stitched to a segmentation, this model does {task}; resize its input")
        self.name = name or type(module).__name__

    def class_name(self, k: int) -> str:
        """The name of output ``k``."""
        return self.classes[k] if k < len(self.classes) else f"class {k}"

    def class_index(self, k: int | str) -> int:
        """The index of a class by name or number.

        Raises:
            UsageError: no such class.
        """
        if isinstance(k, str):
            if k in self.classes:
                return self.classes.index(k)
            if not k.isdigit():
                raise UsageError(f"unknown class {k!r}; {nearest(k, self.classes)}")
            k = int(k)
        if isinstance(k, bool) or not hasattr(k, "__index__"):
            raise UsageError(f"class {k!r}: give a class by its name or its whole number")
        k = int(k)
        if k < 0 or (self.classes and k >= len(self.classes)):
            raise UsageError(f"class {k}: the model has {len(self.classes)} classes, numbered from 0")
        return k

    @property
    def without_threshold(self) -> tuple[str, ...]:
        """Names of the classes that have no threshold, so that they are never above it."""
        return tuple(self.class_name(k) for k, t in enumerate(self.thresholds) if math.isnan(t))

    def above(self, output: Tensor) -> Tensor:
        """Which classes are above their threshold, ``(n, K)`` bool, for logits ``(n, K)``.

        Never a class without a threshold. Several exclusive classes can be above, or none; :meth:`predicted_class`
        is one of them or not.
        """
        p = self.probabilities(output)
        return p > torch.tensor(self.thresholds, device=p.device, dtype=p.dtype)[: p.shape[1]]

    def probabilities(self, output: Tensor) -> Tensor:
        """Logits ``(n, K, …)``, over the temperature, to probabilities; scores pass unchanged."""
        if self.temperature != 1 and self.activation != "identity":
            output = output / self.temperature
        if self.activation == "softmax":
            return output.softmax(1)
        return output.sigmoid() if self.activation == "sigmoid" else output

    def labels(self, output: Tensor) -> Tensor:
        """Predicted label maps ``(n, *spatial)`` of a segmentation's logits.

        One sigmoid channel: 1 where the probability exceeds the threshold. Several: the arg max.
        """
        if output.shape[1] == 1:
            return (output[:, 0].sigmoid() > self.thresholds[0]).to(torch.int64)
        return output.argmax(1)

    def label_of(self, k: int) -> int:
        """The value that class ``k`` has in a label map: ``k``, or 1 for a one-channel segmentation."""
        return 1 if self.task == "segmentation" and len(self.classes) <= 1 else k

    def predicted_class(self, output: Tensor) -> int:
        """The predicted class of one case's clean output ``(K,)`` or ``(K, *spatial)``."""
        if self.task == "segmentation":
            if output.shape[0] == 1:
                return 0
            counts = torch.bincount(output.argmax(0).flatten(), minlength=output.shape[0])
            counts[0] = 0
            return int(counts.argmax()) if int(counts.sum()) else 1
        if self.activation == "sigmoid":
            p, above = self.probabilities(output[None])[0], self.above(output[None])[0]
            return int((torch.where(above, p, p - 2) if above.any() else p).argmax())
        return int(output.argmax())

    def reference(self, name: str, like: Tensor) -> Tensor:
        """What "nothing known" is for a table: the training mean (zero where no statistics are given)."""
        if name in self.normalise:
            return self.normalise[name][0].to(like).expand_as(like)
        return torch.zeros_like(like)

    def unit(self, name: str, like: Tensor) -> Tensor:
        """One standard deviation of a table's columns, in their own units (one where none is given)."""
        if name in self.normalise:
            return self.normalise[name][1].to(like).expand_as(like)
        return torch.ones_like(like)

    def stand_in(self, name: str, like: Tensor) -> Tensor:
        """What a case that has no input ``name`` is given in its place, in that input's own units.

        The picture or row that the network has learnt for it, where it has (option ``missing: learnt``); else the mean
        that ``normalise`` takes away, so that the network is shown zeros.

        Args:
            name: of the input.
            like: of the shape wanted, ``(C, *spatial)`` or ``(F,)``.

        Raises:
            UsageError: the model has neither.
        """
        learnt = getattr(self.module, "stand_in", None)
        made = None if learnt is None else learnt(self.order.index(name), like[None])
        if made is None and name not in self.normalise:
            raise UsageError(
                f"{self.name} has no stand-in for the input {name!r}, which is missing: neither a mean "
                f"(normalise={{{name!r}: (mean, sd)}}) nor a learnt one (missing: learnt, of the networks fusion and "
                "fusion_unet); give one, or leave out the cases without it"
            )
        view = (-1, *[1] * (like.ndim - 1))
        mean, sd = (v.to(like).view(view) for v in self.normalise.get(name, (torch.zeros(1), torch.ones(1))))
        shown = torch.zeros_like(like) if made is None else made[0].detach().to(like)
        return mean + sd * shown

    def without(self, case: Case) -> Predictor:
        """The same predictor for cases that lack what ``case`` lacks: of the other inputs, the stand-ins plugged in.

        To what explains and judges it the missing inputs do not exist, so that they get no share of anything.

        Raises:
            UsageError: there is no stand-in, or nothing is left.
        """
        gone = [n for n in self.inputs if n in case.missing]
        if len(gone) == len(self.inputs):
            raise UsageError(f"case {case.id} has none of the inputs of {self.name} ({', '.join(gone)}); leave it out")
        other = copy.copy(self)
        other.absent = {**self.absent, **{n: self.stand_in(n, case.inputs[n]) for n in gone}}
        other.inputs = tuple(n for n in self.inputs if n not in gone)
        return other

    def check(self, case: Case) -> None:
        """Raise InputError unless the case has the inputs that the model wants, of fitting kind."""
        for name in self.inputs:
            if name not in case.inputs:
                raise InputError(
                    f"case {case.id}: the model wants input {name!r}, the case has "
                    f"{', '.join(map(repr, case.inputs))}; {nearest(name, case.inputs)}"
                )
            value = case.inputs[name]
            if name in self.features and value.shape != (len(self.features[name]),):
                raise InputError(
                    f"case {case.id}: table {name!r} has shape {tuple(value.shape)}, the model wants "
                    f"{len(self.features[name])} columns: {', '.join(self.features[name])}"
                )
            if name in self.normalise:
                size = self.normalise[name][0].numel()
                if size not in (1, value.shape[0]):
                    raise InputError(
                        f"case {case.id}: input {name!r} has {value.shape[0]} channels, the model was given "
                        f"statistics for {size}"
                    )

    def weights_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of all parameters and buffers."""
        digest = hashlib.sha256()
        for key, value in sorted(self.module.state_dict().items()):
            digest.update(key.encode())
            if isinstance(value, Tensor):
                flat = value.detach().cpu().contiguous().reshape(-1)
                digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return digest.hexdigest()[:16]

    def with_module(self, change: Callable[[nn.Module], nn.Module]) -> Predictor:
        """The same predictor around ``change(deep copy of the module)``: for randomised weights and the like."""
        other = copy.copy(self)
        other.module = change(copied(self.module))
        return other


def _statistics(name: str, value: tuple[Any, Any], inputs: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    if name not in inputs:
        raise UsageError(f"normalise: the model has no input {name!r}; {nearest(name, inputs)}")
    mean, sd = (torch.as_tensor(v, dtype=torch.float32).reshape(-1) for v in value)
    if not (torch.isfinite(mean).all() and torch.isfinite(sd).all() and (sd > 0).all()):
        raise UsageError(f"normalise[{name!r}]: mean and sd have to be finite and sd positive")
    return mean, sd
