"""Literal twin of the region tables: every map of every class of the whole volume is stored, then read voxel by voxel."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from monai.inferers import sliding_window_inference


def stitched(net, x, windows):
    """The whole prediction, windows and all, as one differentiable function of the volume."""
    if windows is None:
        return net(x)
    return sliding_window_inference(
        x, windows.roi, 1, net, overlap=windows.overlap, mode=windows.blend, sigma_scale=windows.sigma,
        padding_mode=windows.padding, cval=windows.value,
    )  # fmt: skip


def class_maps(net, x, labels, windows, points):
    """For every class the weighted sum of gradients at ``points`` (pairs of a weight and a volume), all stored."""
    with torch.no_grad():
        classes = stitched(net, x, windows).shape[1]
    maps = []
    for k in range(classes):
        total = torch.zeros_like(x, dtype=torch.float64)
        for weight, point in points:
            leaf = point.clone().requires_grad_()
            score = (stitched(net, leaf, windows)[0, k] * (labels == k)).sum()
            total += weight * torch.autograd.grad(score, leaf)[0].double()
        maps.append(total[0].numpy())
    return maps


def noisy_points(x, case_id, seed, samples, noise, name):
    """Copies of a volume in windows with noise of its range: each plane drawn from a seed of its own."""
    points = []
    for copy in range(samples):
        drawn = torch.zeros_like(x)
        for plane in range(x.shape[2]):
            text = f"{seed}|{case_id}|smoothgrad {name}|{copy}|plane {plane}".encode()
            g = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1)
            drawn[0, :, plane] = torch.randn((x.shape[1], *x.shape[3:]), generator=g)
        points.append((1 / samples, x + noise * (x.max() - x.min()) * drawn))
    return points


def table(maps, masks):
    """(target, region, measure) to value, from stored maps ``(C, *shape)`` and masks by name, voxel by voxel."""
    found = {}
    for t, m in enumerate(maps):
        summed = m.sum(0)
        values = [float(summed[v]) for v in np.ndindex(*summed.shape)]
        mean = found[t, "*", "map_mean"] = sum(values) / len(values)
        found[t, "*", "map_var"] = sum((v - mean) ** 2 for v in values) / len(values)
        whole = {"": sum(abs(v) for v in values), "positive_": sum(v for v in values if v > 0),
                 "negative_": sum(-v for v in values if v < 0)}  # fmt: skip
        for region, mask in masks.items():
            inside = [v for v, place in zip(values, np.ndindex(*summed.shape)) if mask[place]]
            parts = {"": sum(abs(v) for v in inside), "positive_": sum(v for v in inside if v > 0),
                     "negative_": sum(-v for v in inside if v < 0)}  # fmt: skip
            n = len(inside)
            found[t, region, "share"] = n / len(values)
            if not n or not whole[""]:
                continue
            for part, total in parts.items():
                found[t, region, f"{part}mean"] = total / n
                if whole[part]:
                    found[t, region, f"{part}mass"] = total / whole[part]
                    found[t, region, f"{part}enrichment"] = total / whole[part] / (n / len(values))
            mean = sum(inside) / n
            found[t, region, "signed_sum"] = sum(inside)
            found[t, region, "signed_mean"] = mean
            found[t, region, "signed_var"] = sum((v - mean) ** 2 for v in inside) / n
    return found
