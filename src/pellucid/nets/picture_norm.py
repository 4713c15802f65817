"""A first layer that standardises every picture by itself, so that other grey levels do not matter."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from pellucid.errors import UsageError


class PictureNorm(nn.Module):
    """``(x − mean) / sd`` of each picture and channel: the answer no longer depends on brightness and contrast.

    No parameters. ``(B, C, *spatial)`` in and out, in the type of ``x`` (half precision is worked out in float32). A
    channel that is constant becomes zeros, with a gradient of zero. In a window of a larger picture it is the window
    that is standardised.

    What explains a network with this layer: gradients, class activation maps and perturbations are exact, since the
    layer is a part of the network. LRP takes the sd as a constant, as in every norm (its rules ``first="flat"`` and
    ``"box"`` are refused: no layer sees the picture itself). DeepLIFT has no rule for it, and the verdict ``complete``
    says by how much the map is off. And a picture that is faded into a *constant* one (the baselines zero, constant and
    mean of integrated gradients) stays the same to this network until it is gone: give the baseline ``blur``, or other
    cases (``expected_gradients``, ``gradient_shap``). ``input_x_gradient`` sums to zero for the same reason.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, *spatial)``, standardised over the spatial axes."""
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        axes = tuple(range(2, x.ndim))
        centred = wide - wide.mean(axes, keepdim=True)
        variance = centred.square().mean(axes, keepdim=True)
        # Rounding makes the values of a constant picture differ from their own mean. NaN is not made a zero.
        with torch.no_grad():
            rounding = 8 * torch.finfo(wide.dtype).eps * wide.abs().amax(axes, keepdim=True)
            constant = variance <= rounding.square()
        sd = torch.where(constant, torch.ones_like(variance), variance).sqrt()
        return (torch.where(constant, torch.zeros_like(centred), centred) / sd).to(x.dtype)


def standardised(module: nn.Module, how: str | None) -> nn.Module:
    """The network, behind a :class:`PictureNorm` if ``how`` is ``"picture"``; its weights are then ``network.…``.

    Raises:
        UsageError: another word.
    """
    if how is None:
        return module
    if how != "picture":
        raise UsageError(f"standardise={how!r}: choose 'picture', or leave it out")
    return nn.Sequential(OrderedDict(picture_norm=PictureNorm(), network=module))


def network_of(module: nn.Module) -> nn.Module:
    """The network behind a :class:`PictureNorm`, or the module itself."""
    if isinstance(module, nn.Sequential) and len(module) and isinstance(module[0], PictureNorm):
        return module.get_submodule("network")
    return module
