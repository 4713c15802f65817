"""Explain a real brain segmentation network for the thalamus and the lateral ventricle, on a crop of a real T1.

    python examples/brain_mri.py --data ../shared/data/mri_brainchop --out runs/brain

Every map is written as NIfTI on the grid of the source file (zero outside the crop).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from brain_meshnet import CLASSES, load

import pellucid as pc

SIDE = 96  # the network sees 46 voxels to each side: much smaller, and it no longer knows where it is
METHODS = [
    "saliency", "input_x_gradient", {"integrated_gradients": {"n_steps": 8}}, {"smoothgrad": {"samples": 4}},
    "deeplift", "grad_cam", {"gradient_shap": {"samples": 4}}, {"occlusion": {"window": 32, "stride": 32}},
    {"feature_ablation": {"side": 32}}, "random", "edge",
]  # fmt: skip


def read_case(path: Path, *, centre: tuple[int, int, int], side: int) -> pc.Case:
    """A cube of the T1 as the network wants it: clipped between the 2 % and the 98 % quantile, to [0, 1]."""
    image = pc.read(path)
    low, high = np.quantile(image.array, [0.02, 0.98])
    scaled = np.clip((image.array - low) / (high - low), 0, 1)
    start = tuple(int(np.clip(c - side // 2, 0, n - side)) for c, n in zip(centre, image.spatial))
    cube = scaled[(slice(None), *(slice(a, a + side) for a in start))]
    assert image.geometry is not None
    return pc.Case(id="t1", inputs={"t1": cube.copy()}, geometry=image.geometry.cropped(start, (side,) * 3))


def main() -> None:
    """Predict, explain, save, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=SIDE, help="of the crop, in voxels")
    parser.add_argument("--methods", help="names, separated by commas; all by default")
    options = parser.parse_args()
    methods = options.methods.split(",") if options.methods else METHODS
    options.out.mkdir(parents=True, exist_ok=True)
    predictor = pc.Predictor(
        load(options.data), inputs=["t1"], task="segmentation", classes=CLASSES, name="brainchop MeshNet"
    )
    source = nib.load(options.data / "t1_crop.nii.gz")
    known = np.asarray(nib.load(options.data / "t1_crop_model18cls_output.nii.gz").dataobj)
    for name in ("Thalamus", "Lateral-Ventricle"):
        k = CLASSES.index(name)
        centre = tuple(int(v) for v in np.median(np.argwhere(known == k), axis=0))
        case = read_case(options.data / "t1_crop.nii.gz", centre=centre, side=options.side)
        labels = predictor.labels(pc.Engine(predictor).predict([case]))[0]
        assert case.geometry is not None
        start = case.geometry.crop[0]  # type: ignore[index]
        there = torch.as_tensor(known[tuple(slice(a, a + options.side) for a in start)].astype(int))
        overlap = 2 * int(((labels == k) & (there == k)).sum()) / int((labels == k).sum() + (there == k).sum())
        print(f"{name}: Dice {overlap:.3f} with the network's own output on the whole head")
        for a in pc.explain_many(predictor, [case], methods=methods, targets=[pc.RegionScore(name)]):
            (path,) = a.save(options.out / f"{name}_{a.method}.nii.gz")
            written = nib.load(path)
            assert written.shape == source.shape
            assert np.allclose(written.affine, source.affine)
            verdicts = ", ".join(f"{v.name} {v.status}" for v in a.checks.values())
            print(f"  {a.method:22} {a.cost.forwards:4} forwards {a.cost.seconds:6.1f} s  {verdicts}")
            a.plot(case).savefig(options.out / f"{name}_{a.method}.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
