"""Start a training by Lightning Fabric: here on one device, in a process each on several."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import torch

from pellucid.engine.engine import pick_device
from pellucid.errors import ModelError, PellucidError, UsageError
from pellucid.train.loop import Loop, Tell
from pellucid.train.module import TrainingModule
from pellucid.train.plan import PRECISIONS, Plan
from pellucid.train.stop import Interrupted, on_ctrl_c

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def training_device(name: str, plan: Plan) -> torch.device:
    """The device, or the first of several.

    Raises:
        UsageError: it is not there, there are too few, or it cannot do the plan's precision.
    """
    device = pick_device(name)
    if device.type == "cuda" and plan.devices > torch.cuda.device_count():
        raise UsageError(f"devices is {plan.devices}; this machine has {torch.cuda.device_count()} GPUs")
    if plan.devices > 1 and device.index is not None:
        raise UsageError(f"devices is {plan.devices} and device {name!r}; give device 'cuda', the first ones are taken")
    if plan.precision == "fp16" and device.type != "cuda":
        raise UsageError(f"training precision 'fp16' wants a GPU, this is {device.type!r}; use 'bf16' or 'float32'")
    return device


def launch(loop: Loop, training: TrainingModule, *, device: torch.device) -> None:
    """Run the loop to its end. On several devices the result is in the loop's folder, and nowhere else.

    Raises:
        Interrupted: Ctrl-C.
        PellucidError: from the loop.
        BaseException: whatever the loop's ``tell`` raised.
    """
    from lightning.fabric import Fabric

    from pellucid.train.quiet import QuietDDP, quiet

    several = loop.plan.devices > 1
    with quiet():
        fabric = Fabric(
            accelerator=device.type, precision=PRECISIONS[loop.plan.precision],
            devices=[device.index] if device.index is not None else loop.plan.devices,
            # Spawned, not started anew: the command line is not run once per device.
            strategy=QuietDDP(start_method="spawn") if several else "auto",
        )  # fmt: skip
        if several:
            _launch_several(loop, fabric, training)
            return
        with on_ctrl_c(loop.stop.set):
            loop.run(fabric, training)


def _launch_several(loop: Loop, fabric: Fabric, training: TrainingModule) -> None:
    assert loop.folder is not None
    context = torch.multiprocessing.get_context("spawn")
    tell, faults = loop.tell, list[BaseException]()
    box = context.SimpleQueue()
    loop.stop, loop.tell = context.Event(), box.put
    loop.batches.for_several()
    if loop.val_batches is not None:
        loop.val_batches.for_several()
    listener = threading.Thread(target=_listen, args=(box, tell, faults, loop.stop), daemon=True)
    listener.start()
    port = os.environ.get("MASTER_PORT")
    try:
        with on_ctrl_c(loop.stop.set):
            fabric.launch(_one_of_several, loop, training, box)  # type: ignore[arg-type]
    except (torch.multiprocessing.ProcessRaisedException, torch.multiprocessing.ProcessExitedException) as error:
        last = str(error).strip().splitlines()[-1]
        faults.append(ModelError(f"training on {loop.plan.devices} devices: a process failed: {last}"))
    finally:
        box.put(None)
        listener.join()
        if port is None:  # Lightning leaves it, and a second training would want the same
            os.environ.pop("MASTER_PORT", None)
    if faults:
        raise faults[0]


def _listen(box: Any, tell: Tell | None, faults: list[BaseException], stop: Any) -> None:
    """Pass the records on, here in the caller's process, and keep what goes wrong."""
    while (message := box.get()) is not None:
        if isinstance(message, BaseException):
            faults.append(message)
        elif tell is not None and not faults:
            try:
                tell(message)
            except BaseException as error:  # raised again in the main thread
                faults.append(error)
                stop.set()


def _one_of_several(fabric: Any, loop: Loop, training: TrainingModule, box: Any) -> None:
    from pellucid.train.quiet import quiet

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears Ctrl-C, and asks all to stop
    with quiet():
        try:
            loop.run(fabric, training)
        except (Interrupted, PellucidError) as error:
            if fabric.global_rank == 0:
                box.put(error)
