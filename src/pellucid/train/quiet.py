"""Lightning without its tips; imported where a training starts, since Lightning takes seconds to import."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.strategies import DDPStrategy


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's tips and warnings off, for the time of a training."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


class QuietDDP(DDPStrategy):
    """Gradients averaged over processes; they meet without a word on standard error."""

    def setup_environment(self) -> None:
        """Meet."""
        with quiet():
            super().setup_environment()
