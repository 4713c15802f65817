"""How many inputs fit in memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CPU_BUDGET = 1 << 30  # fixed, not a share of what is free, so that a run can be repeated bit by bit
CPU_CHUNK, CUDA_CHUNK = 64, 512


@dataclass
class Footprint:
    """Bytes of one input's pass: all activations together, and the largest one."""

    total: int = 0
    largest: int = 0

    def per_item(self, *, graph: bool) -> int:
        """An estimate of what one input needs: everything is kept for a backward pass, two layers for a forward."""
        return 2 * self.total if graph else 4 * self.largest


@contextmanager
def footprint(module: nn.Module) -> Iterator[Footprint]:
    """Measure the activations of the pass made inside, by hooks on the leaves that come off again.

    A scripted or traced part takes no hooks: of it, the output of the module around it counts alone.
    """
    seen = Footprint()

    def note(_module: nn.Module, _args: object, output: object) -> None:
        for value in output if isinstance(output, tuple | list) else (output,):
            if isinstance(value, Tensor):
                size = value.numel() * value.element_size()
                seen.total += size
                seen.largest = max(seen.largest, size)

    plain = [m for m in module.modules() if not isinstance(m, torch.jit.ScriptModule)]
    leaves = [m for m in plain if all(isinstance(c, torch.jit.ScriptModule) for c in m.children())]
    handles = [m.register_forward_hook(note) for m in leaves]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def budget(device: torch.device, asked: int | None) -> int:
    """Bytes that a chunk may take: as asked, else half of what is free on a GPU, else 1 GiB."""
    if asked is not None:
        return asked
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free // 2
    return CPU_BUDGET


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
