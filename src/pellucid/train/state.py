"""A training in the middle, as one safetensors file: no pickle, so that reading it runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pellucid.errors import ModelError, UsageError
from pellucid.nets.weights import write_tensors

NAME = "last.safetensors"


@dataclass
class State:
    """What a training knows between two steps of its optimiser.

    Attributes:
        settings: what has to be the same for a training to be resumed.
        history: one record per epoch.
        best_epoch: counted from 1; 0 before the first.
        waited: epochs since the last improvement that counted.
        done: whether the training ended by itself.
        stopped_early: whether because the monitored number no longer got better.
        step: batches of the running epoch that are done; 0 at the end of an epoch.
        steps: steps of the optimiser that are done, over all epochs.
        seconds: that the running epoch took so far.
        sums: name to sum and count over the running epoch.
        rng: states of the random generators: ``torch``, ``cuda``, and ``batches`` (the augmentation's).
        schedule: the learning rate's ``state_dict``.
        scaler: the ``state_dict`` of fp16's loss scaling, empty without.
        weights: of the network now.
        best: of the network in its best epoch.
        optimizer: the optimiser's ``state_dict``.
        rows: synthetic rows of the running epoch and their truths; empty at its end and where there are none.
    """

    settings: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    waited: int = 0
    done: bool = False
    stopped_early: bool = False
    weights: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    sums: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    rng: dict[str, Tensor] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Tensor] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write to ``folder/last.safetensors``, under a temporary name first."""
        tensors = {f"weights/{k}": v for k, v in self.weights.items()}
        tensors |= {f"best/{k}": v for k, v in self.best.items()}
        tensors |= {f"rng/{k}": v for k, v in self.rng.items()}
        tensors |= {f"rows/{k}": v for k, v in self.rows.items()}
        tensors |= {f"sums/{k}": v for k, (v, _) in self.sums.items()}
        plain: dict[str, Any] = {}
        for index, slots in self.optimizer.get("state", {}).items():
            for name, value in slots.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{name}"] = value
                elif value is not None:
                    plain[f"{index}/{name}"] = value
        text = {
            "settings": self.settings, "history": self.history, "best_epoch": self.best_epoch,
            "waited": self.waited, "done": self.done, "stopped_early": self.stopped_early,
            "groups": self.optimizer.get("param_groups", []), "plain": plain, "step": self.step, "steps": self.steps,
            "seconds": self.seconds, "counts": {k: n for k, (_, n) in self.sums.items()}, "schedule": self.schedule,
            "scaler": self.scaler,
        }  # fmt: skip
        write_tensors(tensors, folder / NAME, {"state": json.dumps(text)})

    @classmethod
    def load(cls, folder: Path, settings: Mapping[str, Any]) -> State | None:
        """The state in a folder, or None if there is none.

        Raises:
            ModelError: the file is damaged.
            UsageError: the training was started with other settings.
        """
        path = folder / NAME
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                text = json.loads(file.metadata()["state"])
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"training state {path} is damaged ({error}); delete it to train anew") from error
        differing = [
            f"{k} was {text['settings'].get(k)!r}, now {v!r}"
            for k, v in json.loads(json.dumps(dict(settings))).items()
            if text["settings"].get(k) != v
        ]
        if differing:
            raise UsageError(
                f"resume: the training in {folder} was started otherwise ({'; '.join(differing)}); "
                "go back to those settings, or give another folder"
            )
        try:
            return _state_of(text, tensors)
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(
                f"training state {path} is of another version ({error!r}); delete it to train anew"
            ) from error


def _state_of(text: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> State:
    slots: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            slots.setdefault(int(index), {})[name] = value
    for key, value in text["plain"].items():
        index, name = key.split("/")
        slots.setdefault(int(index), {})[name] = value
    same = ("settings", "history", "best_epoch", "waited", "done", "stopped_early", "step", "steps", "seconds",
            "schedule", "scaler")  # fmt: skip
    return State(
        **{name: text[name] for name in same},
        weights=_part(tensors, "weights/"), best=_part(tensors, "best/"), rng=_part(tensors, "rng/"),
        rows=_part(tensors, "rows/"),
        sums={k: (v, text["counts"][k]) for k, v in _part(tensors, "sums/").items()},
        optimizer={"state": slots, "param_groups": text["groups"]} if text["groups"] else {},
    )  # fmt: skip


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def copy_of(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict's tensors, copied to the CPU."""
    return {k: v.detach().cpu().clone() for k, v in state.items() if isinstance(v, torch.Tensor)}
