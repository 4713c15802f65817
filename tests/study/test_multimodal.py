"""The recipes of several modalities run on drawn data, and on the published layouts by one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import pellucid as pc
from make_multimodal import make_lgg, make_osic, make_siim
from pellucid.core.case import Case
from pellucid.errors import InputError
from pellucid.nets import load_predictor
from pellucid.study.inputs import resolved
from pellucid.study.recipe import Model, load_recipe
from pellucid.study.run import run_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
REAL: dict[str, tuple[str, Callable[..., Path], dict[str, Any], dict[str, Any], list[str]]] = {
    "classification": ("siim_isic", make_siim, {"patients": 12, "blank": [1]}, {"size": 16}, ["image", "table"]),
    "regression": ("osic", make_osic, {"patients": 6}, {"size": 8}, ["ct", "table"]),
    "segmentation": (
        "lgg_mri", make_lgg, {"patients": 6, "slices": 3, "size": 24, "no_post": [0, 3]}, {"size": 16},
        ["flair", "t1", "t1ce"],
    ),
}  # fmt: skip


def short(task: str, **data: Any) -> dict[str, Any]:
    """The recipe with one line of data, few epochs and one method."""
    content = yaml.safe_load((RECIPES / f"multimodal-{task}.yaml").read_text())
    (work,) = content["tasks"]
    work["data"] = data
    work["train"] |= {"epochs": 1, "batch_size": 8}
    work["explain"] |= {"most": 3, "methods": ["saliency", "grad_cam"]}
    work["evaluate"] |= {"metrics": ["attribution_share"]}
    return content


@pytest.mark.parametrize("task", list(REAL))
def test_on_the_published_layout_by_one_line(task: str, tmp_path: Path) -> None:
    dataset, make, drawn, options, names = REAL[task]
    root = make(tmp_path / "data", **drawn)
    recipe = load_recipe(short(task, dataset=dataset, root=str(root), options=options, fractions=[0.5, 0.25, 0.25]))
    run = run_recipe(recipe, tmp_path / "run", quiet=True)
    p = load_predictor(run.folder / "model" / task)
    assert list(p.inputs) == names
    assert run.recipe(task)["model"]["inputs"] == names
    lacking = 0
    for case_id in run.cases(task):
        case = run.case(task, case_id)
        maps = run.attributions(task, case_id)
        assert maps
        lacking += bool(case.missing)
        for a in maps:
            assert tuple(a.notes.get("missing", ())) == case.missing
            assert ("missing_input" in a.flags) == bool(case.missing)
            assert all(not a.maps[n].any() for n in case.missing if n in a.maps)
    if "table" in names:
        assert len(p.features["table"]) == len(run.case(task, run.cases(task)[0]).inputs["table"])


@pytest.mark.parametrize("task", list(REAL))
def test_as_it_stands_on_drawn_data(task: str, tmp_path: Path) -> None:
    size = {"n": 24, "size": 32, "seed": 42}
    recipe = load_recipe(short(task, dataset=f"synthetic_{task}", options=size))
    run = run_recipe(recipe, tmp_path / "run", quiet=True, only=["data", "train", "explain"])
    assert run.attributions(task, run.cases(task)[0])
    p = load_predictor(run.folder / "model" / task)
    assert len(p.inputs) == 2
    assert p.module.stand_ins is not None


def case(**inputs: torch.Tensor) -> Case:
    return Case(id="1", inputs=inputs, truth=1, meta={"features": {"t": ["age", "sex"]}})


def test_what_is_left_out_is_taken_from_the_cases_and_what_is_said_stays() -> None:
    c = case(v=torch.zeros(2, 4, 4, 4), t=torch.zeros(2))
    m = Model(network="fusion", task="classification", classes=["a", "b", "c"], options={"width": 8})
    found = resolved(m, [c])
    assert found.inputs == ["v", "t"]
    assert found.features == {"t": ["age", "sex"]}
    kinds = [{"kind": "image", "in_channels": 2}, {"kind": "table", "features": 2}]
    assert found.options == {"inputs": kinds, "spatial_dims": 3, "classes": 3, "width": 8}
    assert resolved(found, [c]) == found
    turned = resolved(Model(network="fusion", task="regression", inputs=["t", "v"], options={"classes": 4}), [c])
    assert turned.options["inputs"] == kinds[::-1]
    assert turned.options["classes"] == 4
    plain = Model(network="resnet18", task="classification", classes=["a"], inputs=["v"])
    assert resolved(plain, [c]) is plain
    assert resolved(plain.model_copy(update={"inputs": []}), [case(v=torch.zeros(1, 4, 4))]).inputs == ["v"]


def test_what_cannot_be_taken_from_the_cases() -> None:
    m = Model(network="fusion", task="regression")
    with pytest.raises(InputError, match="inputs are left out, and there is no case to take them from"):
        resolved(m, [])
    with pytest.raises(InputError, match="case 1: the model wants input 'ct', the case has 'v'"):
        resolved(m.model_copy(update={"inputs": ["ct"]}), [case(v=torch.zeros(1, 4, 4))])
    assert pc.networks().loc["fusion", "summary"]
