"""Both lung fields of a frontal chest X-ray, found by fitting an outline: no reader drew it, and no network did."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, stats
from skimage import draw, morphology, segmentation, transform

Grid = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Outlines of the lungs at the left and at the right of the picture, (row, column) in the box around both. They are
# the means of outlines found in 554 pictures of ChestX-ray14 (Wang et al., 2017), first by a watershed, then by this.
OUTLINES = (
    ((.95, .09), (.89, .01), (.78, .01), (.66, .02), (.55, .04), (.43, .05), (.32, .07), (.21, .11), (.12, .18),
     (.04, .26), (.03, .37), (.13, .42), (.25, .43), (.36, .42), (.48, .42), (.59, .40), (.71, .39), (.82, .37),
     (.92, .31), (.94, .20)),
    ((.99, .94), (.94, .84), (.86, .76), (.76, .72), (.66, .66), (.55, .63), (.44, .61), (.33, .60), (.22, .59),
     (.11, .60), (.02, .66), (.05, .77), (.13, .85), (.23, .90), (.33, .94), (.44, .95), (.56, .97), (.67, .98),
     (.78, .99), (.90, .99)),
)  # fmt: skip
FINE, COARSE = 128, 48
ATLAS, MARGIN = 192, 48
WIDTHS, HEIGHTS, TURNS = (0.5, 0.58, 0.66, 0.75, 0.85), (0.42, 0.5, 0.58, 0.67, 0.77, 0.88), (-0.2, 0.0, 0.2)
LARGER = 0.1
SNAP = FINE / 18


class Pose(NamedTuple):
    """Where the box around the lungs lies: centre, height and width as shares of the picture, turn in radians."""

    row: float
    column: float
    height: float
    width: float
    turn: float


def lungs_classical(x: Grid) -> Mask:
    """Both lung fields of a frontal chest X-ray, without heart and mediastinum, by an outline that is fitted.

    A mean outline is laid over the picture where lungs look darkest against their surroundings, each lung is then
    moved and stretched by itself, the border is settled by local grey values with the outline as the prior, and goes
    to the strongest edge nearby. A lung that is white all over, or much smaller than the other one, is often missed.

    Args:
        x: ``(H, W)``, larger is brighter.

    Returns:
        ``(H, W)``; empty for a picture of one value.
    """
    if np.ptp(x) == 0:
        return np.zeros(x.shape, bool)
    ranks = _ranks(x)
    small = transform.resize(_contrast(ranks), (COARSE, COARSE), anti_aliasing=True)
    both, *sides = _atlas()
    found = _locate(small)
    # The lower lungs are often paler; of two outlines that fit, the larger one is right more often.
    taller = found._replace(row=found.row + 0.175 * found.height, height=1.35 * found.height)
    fits = [
        _climb(small, both, p, steps=(0.03, 0.03, 0.06, 0.06, 0.08), ties=(0.5, 0, 0.1, 0.1)) for p in (found, taller)
    ]
    joint = max(fits)[1]
    alone = [
        _climb(small, side, joint, steps=(0.015, 0.02, 0.05, 0.05, 0.06), ties=(2, 0.4, 0.4, 0.3))[1] for side in sides
    ]
    placed = [_place(side, pose, FINE) for side, pose in zip(sides, alone, strict=True)]
    inside = _settle(ranks, ndimage.gaussian_filter(np.maximum(*placed), FINE / 60)) > 0.5
    far = [ndimage.distance_transform_edt(p <= 0.5) for p in placed]
    nearer = np.where(np.maximum(*placed) > 0.01, placed[0] >= placed[1], far[0] < far[1])
    edges = ndimage.gaussian_gradient_magnitude(ranks, FINE / 110)
    mask = _snapped(_whole(inside & nearer), edges) | _snapped(_whole(inside & ~nearer), edges)
    return np.asarray(transform.resize(ndimage.gaussian_filter(mask.astype(float), 0.7), x.shape, order=1) > 0.5, bool)


def _ranks(x: Grid) -> Grid:
    """Grey values by their rank, 0 to 1, on the fine grid: any exposure gives about the same."""
    g = transform.resize(x.astype(float), (FINE, FINE), anti_aliasing=True)
    return ndimage.gaussian_filter(stats.rankdata(g, axis=None).reshape(g.shape) / g.size, FINE / 160)


def _contrast(ranks: Grid) -> Grid:
    """Local contrast: lungs of a pale and of a dark part of the picture look alike."""
    g = ndimage.gaussian_filter(ranks, FINE / 160)
    mean = ndimage.gaussian_filter(g, FINE / 6)
    return np.asarray((g - mean) / np.sqrt(ndimage.gaussian_filter(g * g, FINE / 6) - mean**2 + 0.01))


@lru_cache(maxsize=1)
def _atlas() -> tuple[Grid, Grid, Grid]:
    """Soft masks from 0 to 1 of both lungs, the left one and the right one of the picture, with a margin around."""
    shape = (ATLAS + 2 * MARGIN,) * 2
    filled = [draw.polygon2mask(shape, np.array(o) * ATLAS + MARGIN) for o in OUTLINES]
    first, second = (ndimage.gaussian_filter(f.astype(float), 0.03 * ATLAS) for f in filled)
    return np.maximum(first, second), first, second


def _place(atlas: Grid, pose: Pose, n: int) -> Grid:
    """The atlas in a picture of ``n × n``."""
    at = (np.arange(n) + 0.5) / n
    dy, dx, c, s = at[:, None] - pose.row, at[None] - pose.column, np.cos(pose.turn), np.sin(pose.turn)
    row = ((c * dy - s * dx) / pose.height + 0.5) * ATLAS + MARGIN
    column = ((s * dy + c * dx) / pose.width + 0.5) * ATLAS + MARGIN
    last = len(atlas) - 1
    return atlas[row.clip(0, last).astype(np.intp), column.clip(0, last).astype(np.intp)]


@lru_cache(maxsize=1)
def _bank() -> list[tuple[Pose, NDArray[np.complex128], NDArray[np.complex128], float]]:
    """Spectra of the atlas and of its surroundings, at every size and turn that is tried."""
    found = []
    box = np.zeros_like(_atlas()[0])
    box[tuple([slice(MARGIN - ATLAS // 20, ATLAS + MARGIN + ATLAS // 20)] * 2)] = 1
    for width in WIDTHS:
        for height in HEIGHTS:
            for turn in TURNS:
                if 0.62 < height / width < 1.35:
                    pose = Pose(0.5, 0.5, height, width, turn)
                    near, lungs = _place(box, pose, COARSE), _place(_atlas()[0], pose, COARSE)
                    shape = near * (lungs - (lungs * near).sum() / near.sum())
                    shape /= np.sqrt((shape**2).sum())
                    size = (2 * COARSE, 2 * COARSE)
                    found.append((pose, np.conj(fft.rfft2(shape, size)), np.conj(fft.rfft2(near, size)), near.sum()))
    return found


def _locate(g: Grid) -> Pose:
    """The best of all sizes, turns and shifts by normalised correlation, the usual ones preferred a little."""
    size = (2 * COARSE, 2 * COARSE)
    spectrum, squares = fft.rfft2(g, size), fft.rfft2(g * g, size)
    shift = fft.fftfreq(2 * COARSE, 1 / (2 * COARSE)) / COARSE
    near = np.flatnonzero(np.abs(shift) <= 0.25)
    dy, dx = shift[near][:, None], shift[near][None]
    best, where = -np.inf, Pose(0.45, 0.5, 0.62, 0.67, 0.0)
    for pose, shape, box, pixels in _bank():
        sums = fft.irfft2(np.stack([spectrum * shape, spectrum * box, squares * box]), size)
        fit, one, two = sums[:, near][..., near]
        spread = np.sqrt((two / pixels - (one / pixels) ** 2).clip(1e-3) * pixels)
        usual = 0.15 * np.log(pose.width / 0.67) ** 2 + 0.15 * np.log(pose.height / 0.62) ** 2
        usual += 0.1 * np.log(pose.height / pose.width / 0.91) ** 2 + 0.5 * pose.turn**2
        score = -fit / spread - usual - 0.5 * (dy + 0.04) ** 2 - 0.6 * dx**2
        i, j = np.unravel_index(score.argmax(), score.shape)
        if score[i, j] > best:
            best, where = score[i, j], pose._replace(row=float(0.5 + dy[i, 0]), column=float(0.5 + dx[0, j]))
    return where


def _climb(
    g: Grid, atlas: Grid, start: Pose, *, steps: tuple[float, ...], ties: tuple[float, float, float, float]
) -> tuple[float, Pose]:
    """Move the outline step by step to where it fits better; ``ties`` hold place, height, width and turn back."""

    def score(pose: Pose) -> float:
        moved = (pose.row - start.row) ** 2 + (pose.column - start.column) ** 2
        change = (moved, np.log(pose.height / start.height) ** 2, np.log(pose.width / start.width) ** 2,
                  (pose.turn - start.turn) ** 2)  # fmt: skip
        held = sum(t * c for t, c in zip(ties, change, strict=True))
        return _fit(g, _place(atlas, pose, len(g))) - held + LARGER * float(np.log(pose.height * pose.width))

    pose, best, stride = start, score(start), np.array(steps)
    for _ in range(12):
        moved = False
        for i, step in enumerate(stride):
            for sign in (1, -1):
                tried = Pose(*(v + sign * step * (k == i) for k, v in enumerate(pose)))
                if min(tried.height, tried.width) > 0.1 and (value := score(tried)) > best:
                    pose, best, moved = tried, value, True
                    break
        if not moved:
            stride = stride / 2
            if stride[0] < 0.004:
                break
    return best, pose


def _fit(g: Grid, placed: Grid) -> float:
    """How dark the lungs are against a rim around them: minus the correlation of picture and outline."""
    rim = 2 * (len(g) // 16) + 1
    near = ndimage.maximum_filter(placed, rim) > 0.1
    if near.sum() < 20:
        return -1.0
    a, b = placed[near] - placed[near].mean(), g[near] - g[near].mean()
    return -float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-9))


def _settle(g: Grid, prior: Grid) -> Grid:
    """Each pixel's share in the lungs, by local means within and without (lankton2008localizing) and by the prior."""
    near = ndimage.gaussian_filter((prior > 0.5).astype(float), FINE / 25)
    odds, share = 0.4 * np.log((prior + 0.02) / (1.02 - prior)), prior
    for _ in range(6):
        inner, outer = share, (1 - share) * (near > 0.02)
        within, without = (_wide(w) + 1e-4 for w in (inner, outer))
        dark = _wide(g * inner) / within
        bright = _wide(g * outer) / without
        spread = _wide((g - dark) ** 2 * inner) / within
        spread += _wide((g - bright) ** 2 * outer) / without
        # Nearer to the bright side than to the dark one: the rim of a lung is paler than its middle.
        grey = (bright - dark).clip(0) * (0.65 * bright + 0.35 * dark - g) / (spread / 2 + 0.002)
        share = (near > 0.05) / (1 + np.exp(-ndimage.gaussian_filter(1.3 * grey.clip(-3, 3) + odds, FINE / 90)))
    return share


def _snapped(mask: Mask, edges: Grid) -> Mask:
    """The border moved to the strongest edge nearby, by a watershed between what is surely within and without."""
    markers = np.zeros(mask.shape, int)
    markers[ndimage.distance_transform_edt(mask) > SNAP] = 1
    markers[ndimage.distance_transform_edt(~mask) > SNAP] = 2
    if not (markers == 1).any():
        return mask
    return _whole(segmentation.watershed(edges, markers) == 1)


def _wide(x: Grid) -> Grid:
    return ndimage.gaussian_filter(x, FINE / 7, truncate=2.5)


def _whole(mask: Mask) -> Mask:
    """The largest piece, smooth and without holes."""
    mask = morphology.opening(mask, morphology.disk(3))
    labels, n = ndimage.label(mask)
    if n:
        mask = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return ndimage.binary_fill_holes(morphology.closing(np.pad(mask, 8), morphology.disk(5))[8:-8, 8:-8])
