"""A number that does not exist."""

from __future__ import annotations

from pellucid.errors import PellucidError


class Undefined(PellucidError):  # noqa: N818, it is an answer more than a fault
    """What was asked for does not exist for this map; the message says why.

    A metric lets it pass: :meth:`View.scores` turns it into NaN with the reason. It is never an answer of zero.
    """

    def bare(self) -> Undefined:
        """The same reason, to be kept or raised again: its traceback would keep all that was computed in memory."""
        return Undefined(str(self))
