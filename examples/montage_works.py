"""The models and cases that the montage is drawn on: real ones where the data are, else synthetic ones.

Networks are trained once and kept beside the montage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brain_meshnet import CLASSES, load
from brain_mri import read_case

import pellucid as pc
from pellucid.core.target import Target
from pellucid.data import synthetic
from pellucid.data.zones import with_zones
from pellucid.nets import load_predictor, save_predictor
from pellucid.train import fit

CONVOLUTIONAL = frozenset({"layer"})
POOLED = CONVOLUTIONAL | {"linear head"}


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one group of sheets shows.

    Attributes:
        predictor: the model.
        cases: three of them.
        background: a usual cohort.
        target: what is explained.
        outline: name of the region that is drawn around, or that and the label in it.
        offers: what methods may need of the model (the column ``needs`` of ``pc.methods()``).
        options: of methods, where the defaults would take too long for a look.
        only: families of methods to draw; all if empty.
    """

    predictor: pc.Predictor
    cases: list[pc.Case]
    background: list[pc.Case]
    target: Target
    outline: tuple[str, int | None]
    offers: frozenset[str]
    options: dict[str, dict[str, Any]]
    only: tuple[str, ...] = ()


def kept(
    folder: Path, train: list[pc.Case], val: list[pc.Case], *, network: str, options: dict[str, Any] | None = None,
    **settings: Any,
) -> pc.Predictor:  # fmt: skip
    """The model of the folder, trained and saved there if it is not."""
    if not (folder / "model.json").is_file():
        made = fit(train, val, network=network, options=options, **settings)
        save_predictor(made.predictor, folder, network=network, options=options)
    return load_predictor(folder)


# -- real ----------------------------------------------------------------------------------------------------


def chest_cases(data: Path, *, size: int, limit: int) -> tuple[list[pc.Case], list[pc.Case]]:
    """Training cases (no patient of the boxed ones among them), and boxed cases, with age, sex and view as a table."""
    chest = data / "chestxray_nih"
    common: dict[str, Any] = {"group": "patient_id", "meta": ["age", "sex", "view"], "size": size, "channels": 1}
    small = pc.load_dataset(
        "manifest", chest, csv="labels_224.csv", images="images_224.zip", label="pneumonia",
        classes=["none", "pneumonia"], limit=limit, **common,
    )  # fmt: skip
    boxed = pc.load_dataset(
        "manifest", chest, csv="boxed_images.csv", images="boxed_1024", label="folder_class",
        classes=["No Finding", "Pneumonia"], boxes="boxes.csv",
        box_sources={"NIH BBox_List_2017": "reader_nih", "RSNA 2018 stage 2": "reader_rsna"}, **common,
    )  # fmt: skip
    groups = {c.group for c in boxed}
    return [_with_table(c) for c in small if c.group not in groups], [_with_table(c) for c in boxed]


def _with_table(case: pc.Case) -> pc.Case:
    row = [float(case.meta["age"]), float(case.meta["sex"] == "M"), float(case.meta["view"] == "AP")]
    return replace(case, inputs={**case.inputs, "patient": torch.tensor(row)})


def _chest(data: Path, keep: Path, network: str, inputs: list[str], **settings: Any) -> tuple[Any, ...]:
    small, boxed = chest_cases(data, size=96, limit=600)
    patients = sorted({str(c.group) for c in small})
    held = set(patients[:: 7])
    val = [c for c in small if str(c.group) in held]
    train = [c for c in small if str(c.group) not in held]
    predictor = kept(
        keep, train, val, network=network, inputs=inputs, task="classification", classes=["none", "pneumonia"],
        features={"patient": ["age", "male", "AP view"]} if "patient" in inputs else None, **settings,
    )  # fmt: skip
    scores = pc.Engine(predictor).predict(boxed).softmax(1)[:, 1]
    found = [c for c, p in zip(boxed, scores) if "boxes" in c.regions and p > 0.5]
    return predictor, found[:3], train[:16]


def chest(data: Path, keep: Path) -> Work:
    """Pneumonia on chest X-rays: ResNet-18."""
    predictor, cases, background = _chest(
        data, keep, "resnet18", ["image"], epochs=6, lr=3e-4, options={"in_channels": 1, "classes": 2},
        optimizer="adamw", augment=["flip", "affine"],
    )  # fmt: skip
    return Work(
        predictor=predictor, cases=cases, background=background, target=pc.ClassScore("pneumonia"),
        outline=("boxes", None), offers=POOLED, options={},
    )  # fmt: skip


def chest_fusion(data: Path, keep: Path) -> Work:
    """The same, and age, sex and view: a transformer that attends between the picture and the table."""
    predictor, cases, background = _chest(
        data, keep, "fusion_transformer", ["image", "patient"], epochs=12, lr=1e-3,
        options={"features": 3, "classes": 2}, optimizer="adamw",
    )  # fmt: skip
    return Work(
        predictor=predictor, cases=cases, background=background, target=pc.ClassScore("pneumonia"),
        outline=("boxes", None), offers=frozenset({"attention"}), options={}, only=("attention", "shapley", "control"),
    )  # fmt: skip


def lungs(data: Path, keep: Path) -> Work:
    """Lung fields on chest X-rays, learnt from a classical method's masks: a U-Net."""
    small, boxed = chest_cases(data, size=96, limit=240)
    masked = [with_zones(c, ["lungs_classical"]) for c in (*small, *boxed)]
    cases = [replace(c, truth=c.region("lungs_classical").long()) for c in masked]
    train, val, rest = cases[: len(small) - 40], cases[len(small) - 40 : len(small)], cases[len(small) :]
    groups = {c.group for c in val}
    train = [c for c in train if c.group not in groups]
    predictor = kept(
        keep, train, val, network="unet_3d", inputs=["image"], task="segmentation", classes=["lungs"],
        options={"classes": 1, "spatial_dims": 2, "channels": (8, 16, 32, 64)}, epochs=12, batch_size=8, lr=3e-3,
    )  # fmt: skip
    return Work(
        predictor=predictor, cases=rest[:3], background=train[:16], target=pc.RegionScore("lungs"),
        outline=("lungs_classical", None), offers=CONVOLUTIONAL, options={},
    )  # fmt: skip


def brain(data: Path, keep: Path) -> Work:
    """White matter on T1 volumes: the real MeshNet; two places of one head, and the MNI152 template."""
    folder = data / "mri_brainchop"
    predictor = pc.Predictor(load(folder), inputs=["t1"], task="segmentation", classes=CLASSES, name="MeshNet")
    head, template = folder / "t1_crop.nii.gz", keep / "mni152.nii.gz"
    turned(data / "mri_mni152_nilearn" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz", head, template)
    known = np.asarray(pc.read(folder / "t1_crop_model18cls_output.nii.gz").array)[0]
    middle = np.median(np.argwhere(known == CLASSES.index("Thalamus")), axis=0)
    places = {
        "t1": (head, middle), "t1 side": (head, middle + np.array([30, 0, 0])),
        "MNI152": (template, np.array(pc.read(template).spatial) // 2),
    }  # fmt: skip
    cases = []
    for name, (path, centre) in places.items():
        case = read_case(path, centre=tuple(int(v) for v in centre), side=64)
        cases.append(replace(case, id=name))
    labels = predictor.labels(pc.Engine(predictor).predict(cases))
    cases = [replace(c, regions={"structures": m}) for c, m in zip(cases, labels)]
    structures = {"groups": "structures"}
    return Work(
        predictor=predictor, cases=cases, background=[], target=pc.RegionScore("Cerebral-White-Matter"),
        outline=("structures", CLASSES.index("Cerebral-White-Matter")), offers=CONVOLUTIONAL,
        options={
            "integrated_gradients": {"n_steps": 8}, "expected_gradients": {"n_steps": 4},
            "smoothgrad": {"samples": 4}, "vargrad": {"samples": 4}, "gradient_shap": {"samples": 4},
            "score_cam": {"channels": 3}, "ablation_cam": {"channels": 3},
            "occlusion": {"window": 32, "stride": 32}, "feature_ablation": structures,
            "rise": {"samples": 16, "grid": 2, "force": True}, "lime": {**structures, "samples": 24, "force": True},
            "kernel_shap": {**structures, "samples": 24, "force": True},
            "partition_shap": {"evaluations": 16, "force": True},
        },
    )  # fmt: skip


def turned(source: Path, like: Path, to: Path) -> None:
    """Write ``source`` with its axes in the order and direction of ``like``: what the network was trained on."""
    import nibabel as nib
    from nibabel import orientations

    image, other = nib.load(source), nib.load(like)
    change = orientations.ornt_transform(nib.io_orientation(image.affine), nib.io_orientation(other.affine))
    to.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image.as_reoriented(change), to)


# -- synthetic -----------------------------------------------------------------------------------------------


def synthetic_classification(_data: Path, keep: Path) -> Work:
    """CT and a table that tells little by itself."""
    cases = synthetic.make("classification", n=743, size=64, table_signal=0.25)
    predictor = kept(
        keep, cases[:700], cases[700:740], network="image_tabular", inputs=["ct", "ehr"], task="classification",
        classes=["benign", "malignant"], features={"ehr": list(synthetic.FEATURES)}, epochs=14, lr=2e-3,
        progress=False,
    )  # fmt: skip
    return Work(
        predictor=predictor, cases=cases[740:743], background=cases[:16], target=pc.ClassScore("malignant"),
        outline=("lesion", None), offers=CONVOLUTIONAL, options={},
    )  # fmt: skip


def synthetic_segmentation(_data: Path, keep: Path) -> Work:
    """FLAIR and contrast-enhanced T1."""
    cases = synthetic.make("segmentation", n=80, size=64)
    predictor = kept(
        keep, cases[:64], cases[64:74], network="two_encoder_unet", inputs=["flair", "t1ce"], task="segmentation",
        classes=["tumour"], options={"width": 8}, epochs=8, batch_size=8, progress=False,
    )  # fmt: skip
    return Work(
        predictor=predictor, cases=cases[74:77], background=cases[:16], target=pc.RegionScore("tumour"),
        outline=("lesion", None), offers=CONVOLUTIONAL, options={},
    )  # fmt: skip


def synthetic_volume(_data: Path, keep: Path) -> Work:
    """Organs of a CT volume."""
    cases = synthetic.make("volume", n=14, size=32)
    classes = list(synthetic.ORGANS)
    predictor = kept(
        keep, cases[:9], cases[9:11], network="unet_3d", inputs=["ct"], task="segmentation", classes=classes,
        options={"classes": len(classes)}, epochs=30, batch_size=2, progress=False,
    )  # fmt: skip
    return Work(
        predictor=predictor, cases=cases[11:14], background=cases[:8], target=pc.RegionScore("heart"),
        outline=("organs", 4), offers=CONVOLUTIONAL, options={},
    )  # fmt: skip


REAL = {"chest": chest, "chest_fusion": chest_fusion, "lungs": lungs, "brain": brain}
SYNTHETIC = {
    "classification": synthetic_classification, "segmentation": synthetic_segmentation, "volume": synthetic_volume,
}  # fmt: skip
