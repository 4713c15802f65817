"""How alike two maps are, by name of the measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.maths import SLIGHT, check_same_size, heat, pearson, spearman, vector
from pellucid.evaluate.undefined import Undefined

Similarity = Literal["spearman", "pearson", "ssim"]
Of = Literal["magnitudes", "values"]
WINDOW = 7


def check_similarity(similarity: str, of: str = "magnitudes") -> None:
    """Raise UsageError unless both names are known."""
    for name, value, known in (("similarity", similarity, Similarity), ("of", of, Of)):
        if value not in get_args(known):
            raise UsageError(f"{name}={value!r}; {nearest(str(value), get_args(known))}")


def alike(a: Attribution, b: Attribution, similarity: Similarity = "spearman", of: Of = "magnitudes") -> float:
    """Similarity of two maps of one case, 1 for equal ones.

    ``"spearman"`` and ``"pearson"``: over the pixels of all images (the columns of the tables where there are no
    images) at which at least one map is more than 1 % of its maximum: that two maps agree on the air around a patient
    is no similarity. ``"ssim"``: structural similarity of the maps divided by their largest magnitude, on the grid of
    each image, mean over all pixels. ``of="magnitudes"`` takes ``|A|`` first.

    Raises:
        Undefined: a map is zero or constant, is not finite, or is too small for the windows of SSIM.
    """
    if similarity == "ssim":
        return _ssim_of(a, b, of)
    return correlation(vector(a), vector(b), {"spearman": spearman, "pearson": pearson}[similarity], of)


def check_likeable(a: Attribution, similarity: Similarity = "spearman", of: Of = "magnitudes") -> None:
    """Raise Undefined if a map is not even like itself, without ranking it."""
    if similarity == "ssim":
        alike(a, a, similarity, of)
        return
    v = vector(a)
    size = v.abs()
    _not_zero(size)
    seen = (size if of == "magnitudes" else v)[size > SLIGHT * size.max()]
    if len(seen) < 2 or seen.max() == seen.min():
        raise Undefined("a map is the same everywhere, so it has no correlation")


def correlation(a: Tensor, b: Tensor, measure: Callable[[Tensor, Tensor], float], of: Of) -> float:
    """A correlation of two maps as vectors, where at least one of them is more than 1 % of its maximum."""
    check_same_size(a, b)
    x, y = a.abs(), b.abs()
    _not_zero(x, y)
    seen = (x > SLIGHT * x.max()) | (y > SLIGHT * y.max())
    return measure(x[seen], y[seen]) if of == "magnitudes" else measure(a[seen], b[seen])


def ssim(a: NDArray[np.float64], b: NDArray[np.float64], span: float) -> float:
    """Structural similarity of two arrays on one grid (2-D or 3-D), whose values lie in an interval of length ``span``.

    Means, variances and covariance over windows of 7 pixels a side (less where the grid is smaller), unweighted and
    unbiased; the mean over all windows that lie inside. Source: wang2004image.
    """
    side = min(WINDOW, *(n - 1 + n % 2 for n in a.shape))
    if side < 3:
        raise Undefined(f"a map of {a.shape} is too small for the windows of SSIM")
    return float(structural_similarity(a, b, win_size=side, data_range=span))


def _ssim_of(a: Attribution, b: Attribution, of: Of) -> float:
    first, second = heat(a), heat(b)
    if not first:
        raise Undefined("structural similarity needs a map of an image")
    if {k: m.shape for k, m in first.items()} != {k: m.shape for k, m in second.items()}:
        raise Undefined("the two maps are on different grids, so they have no common structure")
    top_a, top_b = (max(float(m.abs().max()) for m in maps.values()) for maps in (first, second))
    if not top_a > 0 or not top_b > 0:
        raise Undefined("a map is zero everywhere, so it is like no other")
    total, pixels = 0.0, 0
    constant = True
    for name, m in first.items():
        x, y = m / top_a, second[name] / top_b
        if of == "magnitudes":
            x, y = x.abs(), y.abs()
        constant = constant and (bool(x.max() == x.min()) or bool(y.max() == y.min()))
        total += m.numel() * ssim(x.numpy(), y.numpy(), 1.0 if of == "magnitudes" else 2.0)
        pixels += m.numel()
    if constant:
        raise Undefined("a map is the same everywhere, so it has no structure")
    return total / pixels


def _not_zero(*maps: Tensor) -> None:
    for m in maps:
        if not float(torch.max(m)) > 0:
            raise Undefined("a map is zero everywhere, so it is like no other")
