"""The real studies in a short form; the long ones are ``recipes/chest-small.yaml`` and ``examples/brain_mri.py``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

import pellucid as pc
from pellucid.report import build_report
from pellucid.study.run import failures, run_recipe

ROOT = Path(__file__).parents[2]


def example(name: str) -> ModuleType:
    """A script of ``examples/`` as a module."""
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "examples"))


@pytest.mark.real
def test_chest_from_files_to_report(shared_data: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load((ROOT / "recipes" / "chest-small.yaml").read_text())
    work = recipe["tasks"][0]
    for source in (work["data"], work["also"]["boxed"]):
        source["root"] = str(shared_data / "chestxray_nih")
        source["options"]["size"] = 64
    work["data"]["options"]["limit"] = 160
    work["train"]["epochs"] = 1
    work["explain"] |= {"most": 4, "background": 4, "methods": ["saliency", "grad_cam", "random", "edge"]}
    work["evaluate"]["steps"] = 4
    run = run_recipe(
        recipe, tmp_path / "run", quiet=True, console=Console(quiet=True),
        final={"report": lambda r: build_report(r.folder)},
    )  # fmt: skip
    assert not failures(run)
    data = run.table("data", "pneumonia")
    boxed = set(data.loc[data["part"] == "boxed", "group"])
    assert len(data[data["part"] == "boxed"]) == 58
    assert not boxed & set(data.loc[data["part"] != "boxed", "group"])  # no boxed patient was trained on
    performance = run.table("performance", "pneumonia")
    assert {"view=AP", "view=PA"} <= set(performance["stratum"])
    scores = run.table("scores", "pneumonia")
    assert {"pointing_game", "pointing_game(region=reader_nih)", "pointing_game(region=reader_rsna)"} <= set(
        scores["metric"]
    )
    alone = scores[(scores["metric"] == "pointing_game(region=reader_rsna)") & scores["value"].isna()]
    assert alone["reason"].str.contains("no region").all()  # a reader who drew nothing: undefined, not zero
    regions = run.table("regions", "pneumonia")
    assert {"lungs_classical", "border", "letters_classical", "boxes"} <= set(regions["region"])
    assert (run.folder / "report.html").is_file()


@pytest.mark.real
def test_a_strangers_brain_network(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mri_brainchop"
    net, script = example("brain_meshnet"), example("brain_mri")
    predictor = pc.Predictor(net.load(folder), inputs=["t1"], task="segmentation", classes=net.CLASSES)
    known = np.asarray(nib.load(folder / "t1_crop_model18cls_output.nii.gz").dataobj)
    centre = tuple(int(v) for v in np.median(np.argwhere(known == net.CLASSES.index("Thalamus")), axis=0))
    case = script.read_case(folder / "t1_crop.nii.gz", centre=centre, side=32)
    region = torch.zeros(32, 32, 32, dtype=torch.bool)
    region[12:20, 12:20, 12:20] = True
    case = case.replace(regions={"core": region})
    target = pc.RegionScore("Thalamus", region="core")
    source = nib.load(folder / "t1_crop.nii.gz")
    maps = pc.explain_many(predictor, [case], methods=["input_x_gradient", "deeplift", "grad_cam"], targets=[target])
    for a in maps:
        assert a.checks["finite"].status == "pass"
        (path,) = a.save(tmp_path / f"{a.method}.nii.gz")
        written = nib.load(path)
        assert written.shape == source.shape
        assert np.allclose(written.affine, source.affine)
        start = case.geometry.crop[0]
        inside = written.get_fdata()[tuple(slice(s, s + 32) for s in start)]
        assert np.allclose(inside, a.spatial("t1").numpy(), atol=1e-6)
        assert np.count_nonzero(written.get_fdata()) == np.count_nonzero(inside)
    assert maps[1].checks["complete"].status == "pass"  # ELU called as a function: DeepLIFT still adds up
