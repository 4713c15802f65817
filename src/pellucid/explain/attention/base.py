"""What the attention methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.core.explainer import Explainer
from pellucid.explain.attention.caught import check_heads, check_query, check_tokens


@dataclass(frozen=True, kw_only=True)
class OfTokens(Explainer):
    """Attention matrices, caught inside the model, on the places that tokens stand for.

    Attributes:
        grid: patches along each axis; found by running the model by default.
        prefix: number of tokens before the patches; found likewise.
    """

    family = "attention"
    signed = False
    needs: ClassVar[tuple[str, ...]] = ("attention",)
    targeted = False
    resolution = "token"
    passes = "1 F"
    grid: tuple[int, ...] | None = None
    prefix: int | None = None

    def __post_init__(self) -> None:
        """Check the options, those that only some methods have as well."""
        if self.grid is not None:
            object.__setattr__(self, "grid", tuple(self.grid))
        check_heads(getattr(self, "heads", "mean"))
        check_query(getattr(self, "query", "auto"))
        check_tokens(self.grid, self.prefix)
