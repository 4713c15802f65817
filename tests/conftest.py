"""What all tests share."""

from __future__ import annotations

import gc
import logging
import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# The same examples in every run: what fails here fails there too. HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
gc.disable()  # until the tests are collected: hundreds of thousands of objects that stay would be looked through again and again
torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "2"))))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the checkout; a test that wants them skips where there are none, but never in CI."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"the real data are absent from {folder}: CI must have them")
        pytest.skip(f"no real data at {folder}; put them there to run this test")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: begun last, they would keep one worker busy while the others wait."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """From here on rubbish is collected, and what the collection of the tests has made is not looked through for it."""
    gc.freeze()
    gc.enable()
    # Six times a test pytest hangs a handler on every logger that does not hand on, of which PyTorch has dozens; the
    # root's own handler hears them as well.
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger) and logger.name.startswith("torch"):
            logger.propagate = True
