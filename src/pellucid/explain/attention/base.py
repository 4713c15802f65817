"""What the attention methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pellucid.core.explainer import Explainer, Result
from pellucid.engine.tokens import Layout
from pellucid.explain.attention.caught import Query, check_heads, check_query, check_tokens, grids
from pellucid.types import Maps


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


@dataclass(frozen=True, kw_only=True)
class Rollout(OfTokens):
    """One row, carried back through several attentions to the first tokens.

    Attributes:
        start: the first attention that counts.
        stop: one past the last one; all of them by default.
        query: whose row: the ``"class"`` token's, the ``"mean"`` over all tokens, or ``"auto"``, the class token's
            where there is one.
    """

    start: int = 0
    stop: int | None = None
    query: Query = "auto"

    def result(self, maps: Maps, layout: Layout, chosen: range, words: str) -> Result:
        """The maps, with what they were carried through: ``words`` say whose row."""
        names = [layout.sites[i].name for i in chosen]
        return Result(
            maps,
            notes={"attentions": names, "query": words, "grid": grids(layout.first), "skipped": layout.skipped},
        )
