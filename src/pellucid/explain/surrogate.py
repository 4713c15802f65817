"""A linear model fitted to what the model says of coalitions, with the error that chance has left in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import UsageError

LEAST, USUAL, MOST = 4, 6, 4096  # evaluations per feature: refused below, taken by default; features at most


@dataclass(frozen=True, eq=False)
class Fit:
    """Weighted least squares of N rows, P columns and T targets, in float64.

    Attributes:
        values: ``(P, T)`` coefficients.
        residual: ``(N, T)``.
        pull: ``(N,)`` in [0, 1], how far each row draws its own prediction (the diagonal of the hat matrix).
        lever: ``(N, P)``, what one unit of a row's residual does to the coefficients.
    """

    values: Tensor
    residual: Tensor
    pull: Tensor
    lever: Tensor

    @property
    def held_out(self) -> Tensor:
        """Each row's residual, had it been left out of the fit: ``(N, T)``."""
        return self.residual / self._free[:, None]

    def error(self, seen: Tensor) -> Tensor:
        """Standard error of the coefficients ``(P, T)``, from the rows themselves.

        Split the rows into halves at random and take half the difference of the two halves' coefficients (linear
        about the fit of all rows): the mean of its square over all ways to split is this sum. A row's residual is
        corrected for what the row itself has drawn the fit towards it (HC2, mackinnon1985heteroskedasticity).
        Infinite where the fit runs through all rows, so that nothing is left to tell the error from.

        Args:
            seen: ``(N,)``, the share of its kind that was drawn with each row: 1 leaves nothing to chance.
        """
        if bool((seen < 1).any()) and float((1 - self.pull).sum()) < 1:
            return torch.full_like(self.values, torch.inf)
        scaled = self.residual / self._free.sqrt()[:, None]
        chance = (1 - seen).clamp(min=0)[:, None] * scaled**2
        return ((self.lever**2).T @ chance).sqrt()

    @property
    def _free(self) -> Tensor:
        return (1 - self.pull).clamp(min=1e-9)


def fit(rows: Tensor, values: Tensor, weight: Tensor, *, penalty: Tensor | float = 0.0) -> Fit:
    """Minimise ``Σ_i w_i (y_i − x_i β)² + Σ_j penalty_j β_j²``; the shortest ``β`` where several do.

    Args:
        rows: ``(N, P)``.
        values: ``(N, T)``.
        weight: ``(N,)``, positive.
        penalty: one number, or ``(P,)``.
    """
    weighted = rows * weight[:, None]
    gram = weighted.T @ rows + torch.as_tensor(penalty, dtype=rows.dtype).expand(rows.shape[1]).diag()
    inverse = torch.linalg.pinv(gram, hermitian=True, rtol=1e-10)  # rounding lifts what is zero to about 1e-14
    lever = weighted @ inverse
    coefficients = lever.T @ values
    return Fit(coefficients, values - rows @ coefficients, (lever * rows).sum(1), lever)


def evaluations(method: str, case: str, features: int, most: int, asked: int | None, *, force: bool) -> int:
    """How many coalitions to run: what was asked, or ``USUAL`` per feature, and never more than there are.

    Args:
        method: its name, for the message.
        case: its id.
        features: M.
        most: how many coalitions there are (astronomic numbers are fine).
        asked: the method's ``samples``.
        force: take fewer than ``LEAST`` per feature.

    Raises:
        UsageError: fewer than ``LEAST`` per feature without ``force``; more features than a regression can hold.
    """
    if features > MOST:
        raise UsageError(
            f"case {case}: {method} over {features} features; a regression takes {MOST} at most. Take fewer with "
            "groups='cubes' or 'superpixels' and segments=…, or larger blocks with side=…"
        )
    count = min(USUAL * features if asked is None else asked, most)
    if count < min(LEAST * features, most) and not force:
        raise UsageError(
            f"case {case}: samples={asked} is too few for {method} over {features} features: it needs "
            f"{min(LEAST * features, most)} or more ({min(USUAL * features, most)} by default), or the map is mostly "
            "chance. Raise samples, take fewer features (segments=…), or have it all the same with force=True"
        )
    return count


def relative(error: Tensor, values: Tensor) -> Tensor:
    """``√(Σ error² / Σ values²)`` of ``(M, T)``, one number per target: the share of a map's size that is chance."""
    size = (values**2).sum(0).sqrt()
    return torch.where(size > 0, (error**2).sum(0).sqrt() / size.clamp(min=1e-300), torch.zeros_like(size))
