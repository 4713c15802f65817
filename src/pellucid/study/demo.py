"""The demo: three tasks with a known answer, and a volume, as recipes."""

from __future__ import annotations

from typing import Any

from pellucid.data.synthetic import FEATURES
from pellucid.errors import UsageError, nearest
from pellucid.study.demo_volume import volume_work
from pellucid.study.recipe import Recipe

TASKS = ("classification", "regression", "segmentation", "volume")
METHODS = [
    "saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "deeplift", "gradient_shap", "grad_cam",
    "occlusion", "feature_ablation", "random", "edge",
]  # fmt: skip
METRICS = [
    "deletion_auc", "insertion_auc", "aopc", "abpc", "faithfulness_correlation", "dice", "iou", "pointing_game",
    "mass_accuracy", "rank_accuracy", "average_precision", "auroc", "segu", "stability_pearson", "max_sensitivity",
    "parameter_randomisation", "gini", "entropy", "evaluations",
]  # fmt: skip
OF_INPUTS = ["attribution_share", "ablation_share", "shapley_share", "modality_agreement", "msfi"]
ABOUT = {
    "classification": (
        "Benign or malignant nodule", "Lung CT and 12 clinical features: does the model look at the nodule?"
    ),
    "regression": (
        "Severity score", "T1 and T2 of the brain: does the score come from the lesions around the ventricles?"
    ),
    "segmentation": ("Glioma", "FLAIR and contrast-enhanced T1: which sequence draws the tumour, and where?"),
}  # fmt: skip
# Found by trial on two cores: enough for the limits that the tests assert, not more.
SETTINGS: dict[str, dict[str, Any]] = {
    "classification": {
        "network": "image_tabular", "inputs": ["ct", "ehr"], "classes": ["benign", "malignant"],
        "features": {"ehr": list(FEATURES)},
        # With all of the workshop's signal the table alone tells the classes apart, and no map can be right or wrong.
        "data": {"table_signal": 0.1}, "n": 900, "size": 64,
        "train": {"epochs": 16, "batch_size": 16, "lr": 2e-3},
        # A window no larger than the nodule, filled with the grey of lung: what is there where no nodule is.
        "occlusion": {"window": 7, "stride": 3, "fill": 0.14},
        "regions": ["lesion", "lungs", "anatomy"],
    },
    "regression": {
        "network": "two_stream", "inputs": ["t1", "t2"], "classes": ["severity"], "n": 300, "size": 64,
        "train": {"epochs": 40, "batch_size": 8, "lr": 1e-2},
    },
    "segmentation": {
        "network": "two_encoder_unet", "inputs": ["flair", "t1ce"], "classes": ["tumour"], "n": 240, "size": 64,
        "options": {"width": 8}, "train": {"epochs": 12, "batch_size": 4, "lr": 1e-2},
        "regions": ["lesion", "rim", "necrosis", "oedema", "anatomy"],
    },
}  # fmt: skip
# The workshop's own numbers of epochs and batch sizes, with its learning rate of 1e-3.
FULL = {"classification": (80, 16), "regression": (100, 16), "segmentation": (80, 8)}


def demo_recipe(task: str = "all", *, quick: bool = False, full: bool = False, seed: int = 0) -> Recipe:
    """The demo's recipe.

    Args:
        task: ``"all"`` (the three 2-D tasks), or one of ``classification regression segmentation volume``.
        quick: small pictures and few epochs: shows that everything runs, not how good it is.
        full: the workshop's picture size, number of cases and epochs.
        seed: of everything.

    Raises:
        UsageError: unknown task, or quick and full together.
    """
    if task not in (*TASKS, "all"):
        raise UsageError(f"unknown demo task {task!r}; {nearest(task, (*TASKS, 'all'))}")
    if quick and full:
        raise UsageError("--quick and --full exclude each other")
    names = TASKS[:3] if task == "all" else (task,)
    return Recipe.model_validate(
        {
            "name": "demo",
            "title": "Pellucid demo: maps of models whose answer is known",
            "seed": seed,
            "tasks": [_work(name, quick=quick, full=full) for name in names],
        }
    )


def _work(name: str, *, quick: bool, full: bool) -> dict[str, Any]:
    if name == "volume":
        return volume_work(quick=quick, full=full)
    s = SETTINGS[name]
    n, size, most = s["n"], s.get("size", 96), 6
    train, data = dict(s["train"]), dict(s.get("data", {}))
    occlusion = s.get("occlusion", {"window": size // 6, "stride": size // 8})
    if quick:
        n, size, most = 60, 48, 2
        train["epochs"], occlusion = 2, {"window": size // 6, "stride": size // 8}
    if full:
        n, size, most, data, occlusion = 300, 224, 30, {}, {}
        train = {"epochs": FULL[name][0], "batch_size": FULL[name][1], "lr": 1e-3}
    title, question = ABOUT[name]
    methods: list[Any] = [{m: occlusion} if m == "occlusion" and occlusion else m for m in METHODS]
    metrics = METRICS + (OF_INPUTS if len(s["inputs"]) > 1 else [])
    if s.get("features"):  # MSFI asks where in every picture the evidence lies; a table has no place
        metrics.remove("msfi")
    thresholds: dict[str, float] = {}
    if not full:  # every re-explanation costs as much as the map: one noisy copy, and no jitter
        metrics.remove("max_sensitivity")
        thresholds["draws"] = 1
    return {
        "name": name,
        "title": title,
        "question": question,
        "data": {"dataset": f"synthetic_{name}", "options": {"n": n, "size": size, "seed": 42, **data}},
        "model": {
            "network": s["network"], "inputs": s["inputs"], "classes": s["classes"],
            "options": {} if full else s.get("options", {}), "task": name, "features": s.get("features", {}),
        },
        "eda": False if quick else {"most": 150, "montage": 2},
        "train": train,
        "explain": {"cases": "test", "most": most, "methods": methods, "targets": ["predicted"], "background": 16},
        "evaluate": {
            "metrics": metrics, "region": s.get("region", "lesion"), "steps": 10 if quick else 20,
            "thresholds": thresholds,
        },
        "regions": s.get("regions", ["lesion", "anatomy"]),
    }  # fmt: skip
