"""The demo: three tasks with a known answer, and a volume, as recipes."""

from __future__ import annotations

from typing import Any

from pellucid.errors import UsageError, nearest
from pellucid.study.recipe import Recipe

TASKS = ("classification", "regression", "segmentation", "volume")
METHODS = [
    "saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "deeplift", "gradient_shap", "grad_cam",
    "occlusion", "feature_ablation", "random", "edge",
]  # fmt: skip
METRICS = [
    "deletion_auc", "insertion_auc", "aopc", "dice", "iou", "pointing_game", "mass_accuracy", "average_precision",
    "stability_pearson", "max_sensitivity", "parameter_randomisation", "gini", "attribution_share", "ablation_share",
    "shapley_share",
]  # fmt: skip
ABOUT = {
    "classification": (
        "Benign or malignant nodule", "Lung CT and 12 clinical features: does the model look at the nodule?"
    ),
    "regression": (
        "Severity score", "T1 and T2 of the brain: does the score come from the lesions around the ventricles?"
    ),
    "segmentation": ("Glioma", "FLAIR and contrast-enhanced T1: which sequence draws the tumour, and where?"),
    "volume": ("Organs in a CT volume", "Which voxels make the network see the organ?"),
}  # fmt: skip
# Found by trial on two cores: enough for the limits that the tests assert, not more.
SETTINGS: dict[str, dict[str, Any]] = {
    "classification": {
        "network": "image_tabular", "inputs": ["ct", "ehr"], "classes": ["benign", "malignant"],
        "n": 240, "size": 96, "epochs": 20, "batch_size": 16, "full_epochs": 80, "full_batch": 16,
    },
    "regression": {
        "network": "two_stream", "inputs": ["t1", "t2"], "classes": ["severity"],
        "n": 240, "size": 96, "epochs": 40, "batch_size": 16, "full_epochs": 100, "full_batch": 16,
    },
    "segmentation": {
        "network": "two_encoder_unet", "inputs": ["flair", "t1ce"], "classes": ["tumour"],
        "n": 160, "size": 96, "epochs": 12, "batch_size": 8, "full_epochs": 80, "full_batch": 8,
    },
    "volume": {
        "network": "unet_3d", "inputs": ["ct"], "classes": [],
        "n": 24, "size": 48, "epochs": 30, "batch_size": 2, "full_epochs": 80, "full_batch": 2,
    },
}  # fmt: skip


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
    s = SETTINGS[name]
    n, size, epochs, batch = s["n"], s["size"], s["epochs"], s["batch_size"]
    volume = name == "volume"
    if quick:
        n, size, epochs = (12, 32, 2) if volume else (60, 48, 2)
    if full:
        n, size, epochs, batch = (60, 64, s["full_epochs"], s["full_batch"]) if volume else (
            300, 224, s["full_epochs"], s["full_batch"]
        )  # fmt: skip
    most = {"quick": 2, "demo": 6, "full": 30}["quick" if quick else "full" if full else "demo"]
    if volume:
        most = min(most, 3)
    title, question = ABOUT[name]
    targets: list[Any] = ["predicted"]
    if volume:
        targets = [{"kind": "region", "k": k} for k in s.get("targets", (1,))]
    methods: list[Any] = list(METHODS)
    if not full:  # windows that overlap by a quarter, not by half: fewer passes on two cores
        methods[methods.index("occlusion")] = {"occlusion": {"window": size // 6, "stride": size // 8}}
    metrics: list[Any] = list(METRICS) if len(s["inputs"]) > 1 else [m for m in METRICS if "share" not in m]
    return {
        "name": name,
        "title": title,
        "question": question,
        "data": {"dataset": f"synthetic_{name}", "options": {"n": n, "size": size, "seed": 42}},
        "model": {
            "network": s["network"], "inputs": s["inputs"], "classes": s["classes"], "options": s.get("options", {}),
            "task": {"volume": "segmentation"}.get(name, name), "features": s.get("features", {}),
        },
        "train": {"epochs": epochs, "batch_size": batch, "augment": s.get("augment", [])},
        "explain": {"cases": "test", "most": most, "methods": methods, "targets": targets, "background": 16},
        "evaluate": {"metrics": metrics, "region": s.get("region", "lesion"), "steps": 10 if quick else 20},
        "regions": s.get("regions", ["lesion", "anatomy"]),
    }  # fmt: skip
