"""Small cohorts with what a description of the data has to find: one of every kind of task."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import pellucid as pc
from pellucid.data.case_list import CaseList
from pellucid.study.recipe import Recipe

KINDS = ("labels", "exclusive", "regression", "flat", "volume")
FINDINGS = ["Pneumonia", "Effusion", "Rare"]


def cohort(root: str | None = None, *, kind: str, n: int = 48, seed: int = 0) -> CaseList:
    """Cases of two pictures a patient; planted, by kind:

    ``labels``: Effusion comes with Pneumonia; view AP goes with Pneumonia; nobody has Rare; the pictures of the first two
    patients are the same. ``exclusive``: the table's ``marker`` is 2 higher in class b, its ``double`` twice the marker.
    ``regression``: the score is the mean of ``t2``. ``flat``: mm, oedema brighter in flair than its surroundings.
    ``volume``: two labels, of which ``liver`` lies at the patient's right.
    """
    rng = np.random.default_rng(seed)
    make = {"labels": _labels, "exclusive": _exclusive, "regression": _regression, "flat": _flat, "volume": _volume}[kind]
    cases = []
    for i in range(n):
        facts: dict[str, Any] = {"id": f"case{i:02d}", "group": f"patient{i // 2:02d}"}
        cases.append(pc.Case(**facts | make(i, rng)))
    if kind == "labels":
        same = cases[0].inputs
        cases[2] = cases[2].replace(inputs=same)
    return CaseList(cases)


def recipe(kind: str, *, eda: Any = None, dataset: str = "planted", **data: Any) -> Recipe:
    """A task that only describes such a cohort; ``eda=False`` leaves the section out."""
    task = {"labels": "classification", "exclusive": "classification", "regression": "regression"}.get(kind, "segmentation")
    classes = {"labels": FINDINGS, "exclusive": ["a", "b"], "regression": ["severity"], "flat": ["tumour"],
               "volume": ["background", "liver", "spleen"]}[kind]  # fmt: skip
    inputs = {"exclusive": ["ct", "ehr"], "regression": ["t1", "t2"], "flat": ["flair", "t1ce"]}.get(kind, ["image"])
    work = {
        "name": "task", "data": {"dataset": dataset, "options": {"kind": kind}, "fractions": [0.5, 0.25, 0.25]} | data,
        "model": {"network": "unet_3d", "inputs": inputs, "task": task, "classes": classes,
                  "features": {"ehr": ["marker", "double", "noise", "flat"]} if kind == "exclusive" else {}},
        "train": {"epochs": 1}, "eda": {} if eda is None else eda,
    }  # fmt: skip
    return Recipe.model_validate({"name": "described", "tasks": [work]})


def _picture(rng: np.random.Generator, mean: float = 0.5, shape: tuple[int, ...] = (16, 16)) -> torch.Tensor:
    return torch.as_tensor(rng.normal(mean, 0.1, (1, *shape))).float()


def _labels(i: int, rng: np.random.Generator) -> dict[str, Any]:
    ill = i // 2 % 2  # every second patient
    effusion = int(ill and i % 8 != 2)
    box = torch.zeros(16, 16, dtype=torch.bool)
    box[2:6, 3:8] = bool(ill)
    return {
        "inputs": {"image": _picture(rng)}, "truth": [ill, effusion, 0], "regions": {"box": box} if ill else {},
        "meta": {"age": 30 + i, "sex": "FM"[i // 4 % 2], "view": "AP" if ill or i % 16 == 4 else "PA", "window": (0.0, 1.0)},
    }  # fmt: skip


def _exclusive(i: int, rng: np.random.Generator) -> dict[str, Any]:
    label = i // 2 % 2
    marker = rng.normal() + 2 * label
    return {
        "inputs": {"ct": _picture(rng), "ehr": torch.tensor([marker, 2 * marker, rng.normal(), 7.0]).float()},
        "truth": label, "meta": {"hospital": "ABC"[i // 2 % 3]},
    }  # fmt: skip


def _regression(i: int, rng: np.random.Generator) -> dict[str, Any]:
    t2 = _picture(rng, 0.2 + i / 40)
    return {"inputs": {"t1": _picture(rng), "t2": t2}, "truth": float(t2.mean()), "meta": {"age": 20.5 + i}}


def _flat(i: int, rng: np.random.Generator) -> dict[str, Any]:
    flair, t1ce = _picture(rng, 0.4), _picture(rng, 0.4)
    brain = torch.zeros(16, 16, dtype=torch.bool)
    brain[2:14, 2:14] = True
    tumour = torch.zeros(16, 16, dtype=torch.bool)
    tumour[4:8, 9:13] = True  # 16 pixels of 2 × 0.5 mm
    flair[0, tumour] += 0.4
    return {
        "inputs": {"flair": flair, "t1ce": t1ce}, "truth": tumour.long(), "spacing": (2.0, 0.5),
        "regions": {"brain": brain, "same": tumour},
    }  # fmt: skip


def _volume(i: int, rng: np.random.Generator) -> dict[str, Any]:
    truth = torch.zeros(12, 10, 6, dtype=torch.int16)
    truth[1:4, 4:7, 2:4] = 1
    if i % 4 == 0:
        truth[8:10, 4:6, 3:4] = 2
    image = _picture(rng, 0.3, tuple(truth.shape))
    # The first axis grows to the patient's left, so index 0 is on the right.
    return {"inputs": {"image": image}, "truth": truth, "affine": np.diag([-1.0, 1.0, 3.0, 1.0])}
