"""The literal twin of sliding windows: MONAI's own stitching, differentiated as a whole."""

import torch
from monai.inferers import sliding_window_inference

from pellucid.core.target import Objective


def stitched(module, inputs, windows):
    """Logits ``(1, K, *shape)`` of one case, differentiable; the inputs are one tensor ``(1, C, *shape)``."""
    return sliding_window_inference(
        inputs, windows.roi, 3, module, overlap=windows.overlap, mode=windows.blend, sigma_scale=windows.sigma,
        padding_mode=windows.padding, cval=windows.value if windows.padding == "constant" else 0.0,
    )


def gradients(predictor, case, targets, at=None, name="x"):
    """Scores ``(T,)`` and gradients ``(T, C, *shape)`` by autograd through the whole stitching, every window's graph held.

    The targets are bound on the case; ``at`` is where the gradient is taken, the case itself by default.
    """
    clean = case.inputs[name][None]
    objective, owner = Objective(predictor, [case], targets), torch.zeros(1, dtype=torch.int64)
    objective.bind(stitched(predictor.module, clean, predictor.windows).detach(), owner)
    leaf = (clean if at is None else at).clone().requires_grad_()
    scores = objective(stitched(predictor.module, leaf, predictor.windows), owner)[0]
    grads = [torch.autograd.grad(s, leaf, retain_graph=True)[0][0] for s in scores]
    return scores.detach(), torch.stack(grads)
