"""A whole volume through the network that is trained, in the windows that its predictor will have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pellucid.core.windows import Windows
from pellucid.engine.windows import spatial

Network = Callable[[dict[str, Tensor]], Tensor]


def stitched(network: Network, batch: Mapping[str, Tensor], windows: Windows, *, at_once: int) -> Tensor:
    """Logits ``(B, K, *spatial)`` by MONAI's sliding-window inference.

    Args:
        network: a batch of windows, by input name, to their logits.
        batch: the inputs; all pictures are on one grid. A table goes with every window as it is; the batch is then
            of one case.
        windows: how the volumes are cut and blended.
        at_once: windows in one pass.

    Raises:
        InputError: pictures on several grids, or none.
    """
    from monai.inferers import sliding_window_inference

    pictures = {k: v for k, v in batch.items() if v.ndim > 2}
    tables = {k: v for k, v in batch.items() if v.ndim <= 2}
    spatial({k: tuple(v.shape[1:]) for k, v in pictures.items()})
    counts = [v.shape[1] for v in pictures.values()]

    def run(cut: Tensor) -> Tensor:
        parts = dict(zip(pictures, cut.split(counts, dim=1)))
        return network(parts | {k: v.expand(len(cut), *v.shape[1:]) for k, v in tables.items()}).float()

    found = sliding_window_inference(
        torch.cat(list(pictures.values()), dim=1), windows.roi, at_once, run, overlap=windows.overlap,
        mode=windows.blend, sigma_scale=windows.sigma, padding_mode=windows.padding, cval=windows.value,
    )  # fmt: skip
    return torch.as_tensor(found)
