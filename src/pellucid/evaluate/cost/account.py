"""What a map's own account says it took."""

from __future__ import annotations

from pellucid.core.cost import Cost
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def account(view: View) -> Cost:
    """The cost that was measured when the map was made.

    Raises:
        Undefined: none was, as for a map that was made elsewhere.
    """
    cost = view.attribution.cost
    if not (cost.seconds > 0 or cost.forwards or cost.backwards):
        raise Undefined("the map carries no account of what it took: it was not made by a measured run")
    return cost
