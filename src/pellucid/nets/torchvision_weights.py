"""torchvision's state dicts of ResNet, DenseNet and EfficientNet for our networks of the same names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from pellucid.errors import ModelError

# (old spelling or new) denseblock1.denselayer1.norm.1.weight, denseblock1.denselayer1.norm1.weight
_DENSE_LAYER = re.compile(r"^(features\.denseblock\d+\.denselayer\d+)\.(norm|conv)\.?([12])\.(.+)$")
# Blocks of each level; for a ResNet also whether they have three convolutions.
KNOWN: dict[tuple[Any, ...], str] = {
    ("resnet", False, 2, 2, 2, 2): "resnet18", ("resnet", False, 3, 4, 6, 3): "resnet34",
    ("resnet", True, 3, 4, 6, 3): "resnet50", ("resnet", True, 3, 4, 23, 3): "resnet101",
    ("resnet", True, 3, 8, 36, 3): "resnet152", ("densenet", False, 6, 12, 24, 16): "densenet121",
    ("densenet", False, 6, 12, 32, 32): "densenet169", ("densenet", False, 6, 12, 48, 32): "densenet201",
    ("densenet", False, 6, 12, 36, 24): "densenet161",
}  # fmt: skip
LAST = {
    "resnet18": "fc", "resnet50": "fc", "resnet101": "fc", "densenet121": "class_layers.out", "efficientnet_b0": "_fc",
}  # fmt: skip
STEM = {
    "resnet18": "conv1", "resnet50": "conv1", "resnet101": "conv1", "densenet121": "features.conv0",
    "efficientnet_b0": "_conv_stem",
}  # fmt: skip
_MBCONV = re.compile(r"^features\.([1-7])\.(\d+)\.block\.(\d)\.(\w+)\.(.+)$")
_REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks in each stage of EfficientNet-B0
# Of the four parts of a block: expansion (the first stage has none), depthwise, squeeze and excitation, projection.
_PARTS = (
    {"0": "_expand_conv", "1": "_bn0"}, {"0": "_depthwise_conv", "1": "_bn1"},
    {"fc1": "_se_reduce", "fc2": "_se_expand"}, {"0": "_project_conv", "1": "_bn2"},
)  # fmt: skip
_ENDS = {"features.0.0.": "_conv_stem.", "features.0.1.": "_bn0.", "features.8.0.": "_conv_head.",
         "features.8.1.": "_bn1.", "classifier.1.": "_fc."}  # fmt: skip


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision state dict under our names; a ResNet has them already, and so have our own state dicts."""
    dense = "features.conv0.weight" in state
    if "features.1.0.block.0.0.weight" in state:
        return {_efficient(key): value for key, value in state.items()}

    def name(key: str) -> str:
        key = _DENSE_LAYER.sub(r"\1.layers.\2\3.\4", key)
        return re.sub(r"^classifier\.", "class_layers.out.", key) if dense else key

    return {name(key): value for key, value in state.items()}


def _efficient(key: str) -> str:
    """torchvision's name in EfficientNet-B0 as MONAI's, whose blocks are numbered through."""
    found = _MBCONV.match(key)
    if found is None:
        return next((new + key.removeprefix(old) for old, new in _ENDS.items() if key.startswith(old)), key)
    stage, block, part, inner, rest = int(found[1]), int(found[2]), int(found[3]), found[4], found[5]
    name = _PARTS[part + (stage == 1)].get(inner, inner)
    return f"_blocks.{stage - 1}.{sum(_REPEATS[: stage - 1]) + block}.{name}.{rest}"


def looks_like(state: Mapping[str, Any]) -> str | None:
    """Which network a state dict is of, by its names; None if it is of none that is known here."""
    three = any("layer1.0.conv3" in k for k in state)
    resnet = KNOWN.get(("resnet", three, *_counts(r"(?:^|\.)layer(\d)\.(\d+)\.", state)))
    densenet = KNOWN.get(("densenet", False, *_counts(r"denseblock(\d)\.denselayer(\d+)\.", state)))
    if resnet or densenet:
        return resnet or densenet
    if any(re.search(r"_blocks\.6\.15\._project_conv|features\.7\.0\.block\.3", k) for k in state):
        return "efficientnet_b0"
    if any(".attention.psi." in k for k in state):
        return "attention_unet"
    return "unet" if any(re.search(r"(?:^|\.)(?:upcat_1|up\.0)\.convs\.", k) for k in state) else None


def _counts(pattern: str, state: Mapping[str, Any]) -> tuple[int, ...]:
    """How many blocks each of four levels has."""
    found = {(m[1], m[2]) for m in (re.search(pattern, k) for k in state) if m}
    return tuple(sum(1 for level, _ in found if level == str(i)) for i in range(1, 5))


def fitted(state: Mapping[str, Tensor], module: nn.Module, *, network: str) -> tuple[dict[str, Tensor], list[str]]:
    """What of a state dict goes into one of our classifiers, and the names that stay new.

    The last layer stays new where its shape, or the head, is another one. Filters of three channels become those of
    one by their sum: the answer is that to the grey picture in all three.

    Args:
        state: torchvision's, or one of ours; either spelling of DenseNet.
        module: the network, without the layer that standardises pictures.
        network: its registered name, one of ``LAST``.

    Raises:
        ModelError: of another network (which is said), another number of channels, volumes.
    """
    own = module.state_dict()
    given = renamed(state)
    last, stem = LAST[network], STEM[network] + ".weight"
    body = {k: v for k, v in given.items() if not k.startswith(last + ".")}
    # Files from before PyTorch 0.4.1 have no such counters, and nothing reads them.
    counters = {k for k in own if k.endswith("num_batches_tracked") and k not in body}
    wanted = {k for k in own if not k.startswith(last + ".")} - counters
    if set(body) != wanted or stem not in body:
        raise ModelError(_other(given, wanted, network=network))
    body[stem] = _filters(body[stem], own[stem])
    wrong = [k for k in wanted if body[k].shape != own[k].shape]
    if wrong:
        k = wrong[0]
        raise ModelError(
            f"the weights do not fit {network!r}: {k} is {tuple(body[k].shape)}, wanted {tuple(own[k].shape)}"
            f"{_and_more(wrong)}"
        )
    head = {k: v for k, v in given.items() if k.startswith(last + ".")}
    mine = [k for k in own if k.startswith(last + ".")]
    if set(head) == set(mine) and all(head[k].shape == own[k].shape for k in mine):
        return body | head, []
    return body, mine


def _filters(given: Tensor, own: Tensor) -> Tensor:
    if given.ndim != own.ndim:
        raise ModelError(
            f"the weights are of a network of {given.ndim - 2} spatial axes, this one has {own.ndim - 2}; "
            "ImageNet's are for pictures: spatial_dims: 2"
        )
    have, want = given.shape[1], own.shape[1]
    if have == want:
        return given
    if (have, want) == (3, 1):
        return given.sum(1, keepdim=True)
    raise ModelError(
        f"the weights are for {have} input channels, this network has {want}: only 3 become 1, by the sum of the "
        f"filters; set in_channels to {'3 or 1' if have == 3 else have}"
    )


def _other(given: Mapping[str, Tensor], wanted: set[str], *, network: str) -> str:
    found = looks_like(given)
    if found is not None and found != network:
        return other_network(found, network)
    missing, unknown = wanted - set(given), {k for k in set(given) - wanted if not k.startswith(LAST[network] + ".")}
    parts = [
        f"{len(names)} {what} ({min(names)}{_and_more(names)})"
        for what, names in (("missing", missing), ("unknown", unknown))
        if names
    ]
    return f"the weights are not those of {network!r}: {', '.join(parts)}; give torchvision's or our own {network}"


def other_network(found: str, network: str) -> str:
    """What is said of a file of another network."""
    return (
        f"the weights look like those of {found}, and the network is {network!r}; give a file of {network}, or build "
        "the network that the file is of"
    )


def _and_more(names: Collection[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
