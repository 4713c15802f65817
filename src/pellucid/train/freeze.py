"""Which parts of a network are not trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from pellucid.errors import UsageError, nearest
from pellucid.nets.picture_norm import network_of

BACKBONE = "backbone"


def stages(module: nn.Module) -> list[str]:
    """The parts of a network that have weights, from the head down: that of a ResNet is ``fc, layer4, …, conv1``.

    They are the network's own sub-modules in the order in which it lists them, which by custom is the order of the
    ``forward``; a wrapper around a single one is looked into. The first is what is called the head.

    Args:
        module: the network; names are those within it, behind a layer that standardises pictures.

    Example:
        >>> stages(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)))
        ['3', '0']
    """
    part, prefix = network_of(module), ""
    while True:
        found = [(name, child) for name, child in part.named_children() if child.state_dict()]
        if len(found) != 1 or any(True for _ in part.parameters(recurse=False)) or not list(found[0][1].children()):
            return [prefix + name for name, _ in reversed(found)]
        part, prefix = found[0][1], f"{prefix}{found[0][0]}."


def frozen_names(module: nn.Module, freeze: str | Sequence[str]) -> list[str]:
    """The names of the modules that ``freeze`` means.

    Args:
        module: the network.
        freeze: ``"backbone"`` for all but the head (:func:`stages`), or names of modules, with all that is in them.

    Raises:
        UsageError: no such module, one without weights, or nothing is left to train.
    """
    network = network_of(module)
    if freeze == BACKBONE:
        head, *names = stages(module)
        # What the network keeps outside of its parts, such as a token to start with, is no head either.
        names += [name for name, _ in network.named_parameters() if not within(name, [head, *names])]
        if not names:
            raise UsageError(
                "freeze: the network has one part with weights, which is its head; leave freeze out, or name modules"
            )
    else:
        names = [freeze] if isinstance(freeze, str) else list(freeze)
        check_names(network, names, option="freeze", words=[BACKBONE])
    if all(within(name, names) for name, _ in network.named_parameters()):
        raise UsageError("freeze: nothing of the network is left to train; leave its head out of freeze")
    return names


def check_names(network: nn.Module, names: Sequence[str], *, option: str, words: Sequence[str]) -> None:
    """Refuse names of what has no weights.

    Args:
        network: as :func:`~pellucid.nets.picture_norm.network_of` gives it.
        names: of modules.
        option: that they were given as.
        words: that it takes besides.

    Raises:
        UsageError: no such module, or one without weights.
    """
    known = {name: part for name, part in network.named_modules() if name}
    for name in names:
        if name not in known:
            raise UsageError(f"{option}: the network has no module {name!r}; {nearest(name, [*words, *known])}")
        if not known[name].state_dict():
            raise UsageError(f"{option}: the module {name!r} has no weights; name one of {', '.join(stages(network))}")


def hold(module: nn.Module, names: Iterable[str]) -> list[nn.Module]:
    """Have these parts, and no others, keep their weights; can be called again with fewer or more.

    Args:
        module: the network; its parameters get ``requires_grad`` anew.
        names: as :func:`frozen_names` gives them.

    Returns:
        The norms of these parts that keep running statistics: in training they have to stay in eval mode, or they would
        learn the statistics of the training cases.
    """
    network, held = network_of(module), list(names)
    every = list(network.named_parameters(remove_duplicate=False))  # a shared weight has several names
    kept = {id(parameter) for name, parameter in every if within(name, held)}
    for _, parameter in every:
        parameter.requires_grad_(id(parameter) not in kept)
    return [part for name, part in network.named_modules() if isinstance(part, _NormBase) and within(name, held)]


def warn_of_random(
    module: nn.Module, names: Sequence[str], *, started: Mapping[str, Any] | None, option: str = "freeze"
) -> None:
    """Warn of parts that keep random weights.

    Args:
        module: the network.
        names: of the parts that are not trained, or not at first.
        started: what ``start_from`` tells; None if there were no weights to start from.
        option: ``"freeze"``, or ``"unfreeze"``, which trains them later.
    """
    network = network_of(module)
    new = [name for name, _ in network.named_parameters()] if started is None else started["new"]
    random = [name for name in new if within(name, names)]
    if random:
        said = "stay random" if option == "freeze" else "are random"
        what = "what is not trained" if option == "freeze" else "what is not trained from the start"
        mend = "leave them out of freeze" if option == "freeze" else "train them from epoch 0 on"
        warnings.warn(
            f"{option}: {len(random)} weights of {what} {said} ({random[0]}, …), since they start from "
            f"nothing; give 'weights' that have them, or {mend}",
            UserWarning,
            stacklevel=3,
        )


def within(name: str, prefixes: Sequence[str]) -> bool:
    """Whether a name is one of these, or of something in one of these."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
