"""Ctrl-C asks a training to stop after the running step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """Ctrl-C, seen between two steps. The state has been written."""


@contextmanager
def on_ctrl_c(ask: Callable[[], None]) -> Iterator[None]:
    """Call ``ask`` on Ctrl-C instead of interrupting; a second Ctrl-C interrupts at once.

    Signals are the main thread's: in another one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.getsignal(signal.SIGINT)

    def heard(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGINT, old)
        ask()

    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
