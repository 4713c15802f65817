"""When a training stops early."""

from __future__ import annotations

from collections.abc import Sequence


def best_and_waited(values: Sequence[float], *, delta: float = 0.0, higher: bool = False) -> tuple[int, int]:
    """The best epoch, and for how many epochs nothing has got better by enough.

    Small steps add up: they are compared with the last number that counted, not with the one before.

    Args:
        values: the monitored number of each epoch.
        delta: the least improvement that counts, in the number's own units; 0 counts every one.
        higher: whether more is better.

    Returns:
        The first epoch (from 1) with the best number of all, whether or not it was better by ``delta``; and the epochs
        since the last one that was.

    Example:
        >>> best_and_waited([0.9, 0.5, 0.48, 0.46, 0.51], delta=0.1)
        (4, 3)
    """
    scores = [value if higher else -value for value in values]
    counted, since = scores[0], 0
    for epoch, score in enumerate(scores[1:], 1):
        if score > counted and score >= counted + delta:
            counted, since = score, epoch
    return scores.index(max(scores)) + 1, len(scores) - 1 - since
