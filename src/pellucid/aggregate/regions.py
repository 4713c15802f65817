"""How much of a map that is there as a whole lies in which region; the formulas are those of :mod:`.sums`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.aggregate.labels import of_masks
from pellucid.aggregate.sums import RegionSums
from pellucid.core.attribution import Attribution
from pellucid.errors import InputError


def region_table(attribution: Attribution, regions: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """The measures of one map over regions of its case.

    Channels of a picture are summed before ``f``; several pictures are added up after it, so that one that speaks
    for and one that speaks against do not cancel.

    Args:
        attribution: with at least one image map; all have to be on the regions' grid.
        regions: name to mask ``(*spatial)``; everything that is not zero is inside.

    Returns:
        Rows ``region``, ``measure``, ``value``: ``mass``, ``mean``, ``enrichment``, the same with ``positive_`` and
        ``negative_``, ``signed_sum``, ``signed_mean`` and ``signed_var`` of the map as it is (summed over pictures),
        and ``share``, the region's part of the picture. NaN where there is nothing to divide by: an
        empty region, or a map without that part.

    Raises:
        InputError: no image map, or a map and a mask on different grids.
    """
    maps = {name: attribution.spatial(name).double() for name in attribution.images}
    where = f"case {attribution.case_id}"
    if not maps:
        raise InputError(f"{where}: {attribution.method} made no map of an image, so regions have nothing to sum")
    if not regions:
        return []
    for region, given in regions.items():
        mask = torch.as_tensor(given)
        for name, m in maps.items():
            if m.shape != mask.shape:
                raise InputError(
                    f"{where}: mask {region!r} is {tuple(mask.shape)}, the map of {name!r} is {tuple(m.shape)}; "
                    "resample the mask to the map's grid (nearest neighbour)"
                )
    sums = RegionSums(of_masks(where, regions))
    sums.update(0, maps.values())
    return [
        {"region": region, "measure": measure, "value": value}
        for region, found in sums.measures(0).items() for measure, value in found.items()
    ]  # fmt: skip
