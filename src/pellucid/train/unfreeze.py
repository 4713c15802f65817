"""Parts of a network that are trained from a later epoch on: from the head down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn import Parameter
from torch.nn.modules.batchnorm import _NormBase

from pellucid.errors import UsageError, nearest
from pellucid.nets.picture_norm import network_of
from pellucid.train.freeze import BACKBONE, check_names, stages, within

HEAD, ALL = "head", "all"
WORDS = (HEAD, BACKBONE, ALL)
Named = Mapping[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a schedule says, before the network is known.

    Attributes:
        every: epochs until the next stage is trained too; None where ``at`` says it.
        at: epochs that are done before, and what is trained from then on.
        lr_factor: what the rate is multiplied by from one entry of the schedule to the next.
    """

    every: int | None = None
    at: tuple[tuple[int, tuple[str, ...]], ...] = ()
    lr_factor: float = 1.0


def check_unfreeze(spec: Named, *, epochs: int) -> Asked:
    """A schedule, as far as it can be checked without the network.

    Args:
        spec: ``{"every": 3}``, or epochs that are done to what is trained from then on: ``{0: "head", 3: ["layer4"],
            6: "all"}``; either with ``"lr_factor"``.
        epochs: of the training.

    Raises:
        UsageError: it is neither, or an epoch is not reached.

    Example:
        >>> check_unfreeze({0: "head", 3: ["layer4"], "lr_factor": 0.1}, epochs=9)
        Asked(every=None, at=((0, ('head',)), (3, ('layer4',))), lr_factor=0.1)
    """
    form = "give {every: 3}, or epochs with names: {0: head, 3: [layer4], 6: all}"
    if not isinstance(spec, Mapping) or not spec:
        raise UsageError(f"unfreeze is {spec!r}; {form}")
    at, every, factor = {}, None, 1.0
    for key, value in spec.items():
        if key == "every":
            every = _whole(value, least=1)
            if every is None:
                raise UsageError(f"unfreeze: every is {value!r}; give epochs, at least 1")
        elif key == "lr_factor":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
                raise UsageError(f"unfreeze: lr_factor is {value!r}; give a number above 0, at most 1")
            factor = float(value)
        else:
            epoch = _whole(key, least=0)
            if epoch is None:
                raise UsageError(f"unfreeze: {key!r} is no epoch; {nearest(str(key), ('every', 'lr_factor'))}; {form}")
            names = (value,) if isinstance(value, str) else value
            if not isinstance(names, Sequence) or not names or not all(isinstance(n, str) for n in names):
                raise UsageError(f"unfreeze: {epoch}: {value!r} are no names; {form}")
            at[epoch] = tuple(names)
    if (every is None) == (not at):
        raise UsageError(f"unfreeze is {dict(spec)}; {form}, one of the two")
    late = [e for e in at if e >= epochs]
    if late:
        raise UsageError(
            f"unfreeze: {at[late[0]]} after {late[0]} epochs, and there are {epochs}: it would never be trained; give "
            "fewer, or leave it out"
        )
    if at and 0 not in at:
        raise UsageError("unfreeze: nothing is trained in the first epoch; say what is from 0 on: {0: head, …}")
    return Asked(every=every, at=tuple(sorted(at.items())), lr_factor=factor)


def _whole(value: Any, *, least: int) -> int | None:
    """A whole number, which is text where the recipe went through JSON."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None


def within_epochs(spec: Named, epochs: int) -> dict[Any, Any]:
    """The schedule without the entries that a shorter training does not reach."""
    return {k: v for k, v in spec.items() if (_whole(k, least=0) or 0) < epochs}


@dataclass(frozen=True)
class Unfreezing:
    """What of a network is trained in which epoch; all that is not yet, or never, keeps its weights and statistics.

    Attributes:
        phases: epochs that are done before, and the names that are trained from then on, besides those before.
        frozen: names of what is never trained, whatever the phases say.
        lr_factor: the rate of phase ``i`` (from 0) is multiplied by ``lr_factor ** i``.
    """

    phases: tuple[tuple[int, tuple[str, ...]], ...]
    frozen: tuple[str, ...] = ()
    lr_factor: float = 1.0

    def trained(self, epoch: int) -> tuple[str, ...]:
        """Names of what is trained in an epoch (from 0)."""
        return tuple(name for after, names in self.phases if after <= epoch for name in names)

    def held(self, module: nn.Module, epoch: int) -> list[str]:
        """Names of the parameters and norms that are not trained in an epoch (from 0), for ``freeze.hold``."""
        network, trained = network_of(module), self.trained(epoch)
        names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
        names += [name for name, part in network.named_modules() if isinstance(part, _NormBase)]
        return [name for name in names if not within(name, trained) or within(name, self.frozen)]

    def groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """The parameters that are ever trained, phase by phase, each with its ``share`` of the learning rate."""
        network = network_of(module)
        found: list[dict[str, Any]] = []
        known: set[int] = set()
        for number, (after, _) in enumerate(self.phases):
            held = set(self.held(module, after))
            every = list(network.named_parameters(remove_duplicate=False))
            kept = {id(p) for name, p in every if name in held}
            new: dict[int, Parameter] = {id(p): p for _, p in every if id(p) not in kept | known}
            known |= set(new)
            found.append({"params": list(new.values()), "share": self.lr_factor**number})
        return found

    def plain(self) -> dict[str, Any]:
        """For settings that are written down."""
        return {"phases": [[after, list(names)] for after, names in self.phases], "lr_factor": self.lr_factor}


def _fine(network: nn.Module, parts: Sequence[str]) -> list[str]:
    """The stages; a body that is the only one below the head, as a DenseNet's ``features``, is taken block by block."""
    if len(parts) != 2:
        return list(parts)
    head, body = parts
    part = network.get_submodule(body)
    blocks = [f"{body}.{name}" for name, child in part.named_children() if child.state_dict()]
    whole = len(blocks) < 2 or any(True for _ in part.parameters(recurse=False))
    return [head, body] if whole else [head, *reversed(blocks)]


def unfreezing(spec: Named, module: nn.Module, *, epochs: int, frozen: Sequence[str] = ()) -> Unfreezing:
    """A schedule for a network [howard2018ulmfit].

    ``{"every": n}`` trains the head (:func:`~pellucid.train.freeze.stages`) alone for n epochs, then one more stage
    with every n epochs, from the head down.

    Args:
        spec: see :func:`check_unfreeze`; names are ``"head"``, ``"backbone"`` (all but the head), ``"all"``, or those
            of modules.
        module: the network.
        epochs: of the training; stages whose turn does not come in it are not trained.
        frozen: names of what is never trained.

    Raises:
        UsageError: a name that the network does not have, that is frozen for good, or that is trained already.
    """
    asked, network = check_unfreeze(spec, epochs=epochs), network_of(module)
    parts = stages(module)
    # What the network keeps outside of its parts, such as a token to start with, is trained with the last of them.
    loose = [name for name, _ in network.named_parameters() if not within(name, parts)]
    if asked.every is not None:
        turns = [[part] for part in _fine(network, parts) if not within(part, frozen)]
        turns[-1:] = [[*turns[-1], *loose]] if turns else []
        phases = [(i * asked.every, names) for i, names in enumerate(turns) if i * asked.every < epochs]
    else:
        means = {HEAD: parts[:1], BACKBONE: [*parts[1:], *loose], ALL: [*parts, *loose]}
        phases = []
        for after, given in asked.at:
            own = [name for name in given if name not in WORDS]
            check_names(network, own, option="unfreeze", words=WORDS)
            both = [name for name in own if within(name, frozen)]
            if both:
                raise UsageError(f"unfreeze: {both[0]!r} is in freeze, which is for good; leave it out of one of them")
            names = [n for name in given for n in means.get(name, [name])]
            phases.append((after, [n for n in dict.fromkeys(names) if not within(n, frozen)]))
    found = Unfreezing((), tuple(frozen), asked.lr_factor)
    for after, names in phases:
        new = [n for n in names if n not in found.trained(after)]
        wider = Unfreezing((*found.phases, (after, tuple(new))), found.frozen, found.lr_factor)
        if not wider.groups(module)[-1]["params"]:
            raise UsageError(
                f"unfreeze: {after}: {names} adds nothing to train: what is there is trained earlier"
                f"{' or in freeze' if frozen else ''}; leave the entry out"
            )
        found = wider
    if not found.phases:
        raise UsageError("unfreeze: all of the network is in freeze; leave one of the two out")
    return found
