"""A small run folder for the tests of the report, made through the store's own functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.cost import Cost
from pellucid.study.recipe import Recipe
from pellucid.study.store import Run

METHODS = ("saliency", "integrated_gradients", "grad_cam", "random", "edge")
METRICS = {
    "deletion_auc": ("faithfulness", "lower"), "insertion_auc": ("faithfulness", "higher"),
    "pointing_game": ("plausibility", "higher"), "gini": ("complexity", "higher"),
    "attribution_share": ("modality", "none"), "shapley_share": ("modality", "none"),
}  # fmt: skip
HOSTILE = "<script>alert(1)</script>&\"'"


def recipe(*tasks: str) -> Recipe:
    return Recipe.model_validate({"name": "small", "title": "A small run", "tasks": [_work(t) for t in tasks]})


def _work(task: str) -> dict[str, Any]:
    kind = {"volume": "segmentation"}.get(task, task)
    inputs = {"classification": ["ct", "ehr"], "regression": ["t1", "t2"], "segmentation": ["flair", "t1ce"]}
    classes = {"classification": ["benign", "malignant"], "regression": ["severity"], "segmentation": ["tumour"]}
    return {
        "name": task, "title": f"The {task}", "question": f"Where does the {task} look?",
        "data": {"dataset": f"synthetic_{task}"},
        "model": {
            "network": "any", "inputs": ["ct"] if task == "volume" else inputs[kind],
            "classes": [] if task == "volume" else classes[kind], "task": kind,
            "features": {"ehr": ["Age", "SUVmax", "BMI"]} if task == "classification" else {},
        },
        "train": {"epochs": 3}, "explain": {"methods": list(METHODS)},
        "evaluate": {"metrics": list(METRICS), "region": "lesion"}, "regions": ["lesion"],
    }  # fmt: skip


def cases(task: str, *, n: int = 3, first_id: str | None = None) -> list[Case]:
    found = []
    for i in range(n):
        g = torch.Generator().manual_seed(i)
        shape = (10, 8, 6) if task == "volume" else (24, 24)
        lesion = torch.zeros(shape, dtype=torch.bool)
        lesion[tuple(slice(2 + i, 6 + i) for _ in shape[:2])] = True
        names = {"classification": ["ct"], "volume": ["ct"], "regression": ["t1", "t2"]}.get(task, ["flair", "t1ce"])
        inputs = {k: torch.rand(1, *shape, generator=g) + lesion for k in names}
        if task == "classification":
            inputs["ehr"] = torch.tensor([50.0 + i, 2.5, 24.0])
        truth = {"classification": i % 2, "regression": 0.1 + 0.2 * i}.get(task, lesion.long())
        found.append(
            Case(
                id=first_id if i == 0 and first_id else f"{task}-{i}", inputs=inputs, truth=truth,
                regions={"lesion": lesion}, group=f"secret-patient-{i}",
                affine=np.diag([-1.5, -1.5, 4.0, 1.0]) if task == "volume" else None,
                spacing=None if task == "volume" else (0.7, 0.7), meta={"age": 61 + i, "window": (0.0, 2.0)},
            )
        )  # fmt: skip
    return found


def maps(task: str, case: Case) -> list[Attribution]:
    made = []
    for k, method in enumerate(METHODS):
        g = torch.Generator().manual_seed(k)
        heat = {n: torch.randn(v.shape, generator=g) for n, v in case.inputs.items() if v.ndim > 1 or method != "grad_cam"}
        signed = method == "integrated_gradients"
        kind = {"classification": "class", "regression": "score"}.get(task, "region")
        made.append(
            Attribution(
                maps={n: h if signed else h.abs() for n, h in heat.items()}, method=method, case_id=case.id,
                target={"kind": kind, "index": 1 if task == "classification" else 0, "label": f"the {task}"},
                score=1.25, signed=signed, flags=("incomplete",) if signed else ("flat",) if method == "grad_cam" else (),
                cost=Cost(3 * k + 1, k, 0.5), notes={"expected": 1.0} if signed else {}, spacing=case.spacing,
                geometry=case.geometry, image_axes=len(case.spatial), provenance={"weights": "abc123", "device": "cpu"},
            )
        )  # fmt: skip
    return made


def comparison(task: str) -> pd.DataFrame:
    rows = []
    names = [m for m in METRICS if "share" not in m]
    if task in ("classification", "regression"):
        inputs = _work(task)["model"]["inputs"]
        names += [f"{m}[{i}]" for m in METRICS if "share" in m for i in inputs]
    for a, metric in enumerate(names):
        _, direction = METRICS[metric.split("[")[0]]
        for b, method in enumerate(METHODS):
            better = b < 2 and direction != "none"
            sign = -1 if direction == "lower" else 1
            rows.append({
                "metric": metric, "method": method, "mean": 0.12345 + 0.1 * a + 0.01 * b, "low": 0.1 + 0.1 * a,
                "high": 0.31 + 0.1 * a, "n": 9, "groups": 9, "undefined": 0, "direction": direction,
                "rank": b + 1.0 if direction != "none" else np.nan, "difference": sign * 0.4321 if better else 0.0,
                "difference_low": 0.2 * sign - 0.1 if better else -0.1,
                "difference_high": 0.2 * sign + 0.1 if better else 0.1,
                "better_than_random": better, "control": "edge", "p": 0.0321, "note": "",
            })  # fmt: skip
    frame = pd.DataFrame(rows)
    gap = (frame["metric"] == "pointing_game") & (frame["method"] == "grad_cam")
    frame.loc[gap, ["mean", "low", "high", "rank"]] = np.nan
    frame.loc[gap, ["undefined", "note"]] = [9, "undefined in every case"]
    return frame


def build(folder: Path, *tasks: str, first_id: str | None = None, bare: bool = False) -> Run:
    """A run with every table, or (``bare``) one in which nothing has run yet."""
    plan = recipe(*tasks)
    run = Run.create(folder, {
        "name": "small", "title": "A small run", "recipe": plan.model_dump(mode="json"), "recipe_hash": plan.hash(),
        "seed": 7, "versions": {"pellucid": "0.1.0"}, "started": "2026-11-21T10:00:00+00:00",
        "methods": {m: {"family": "gradient", "source": "who2020", "summary": f"What {m} is."} for m in METHODS},
        "metrics": {m: {"question": q, "direction": d, "low": 0.0, "high": "inf", "unit": "", "source": "them2021",
                        "summary": f"What ``{m}`` is."} for m, (q, d) in METRICS.items()},
    })  # fmt: skip
    for task in () if bare else tasks:
        _fill(run, task, cases(task, first_id=first_id))
    return run


def _fill(run: Run, task: str, found: list[Case]) -> None:
    parts = ("train", "val", "test")
    run.put_table("data", task, pd.DataFrame([
        {"case": c.id, "part": parts[i % 3], "group": c.group, "truth": str(c.truth) if not torch.is_tensor(c.truth)
         else str(int(c.truth.sum())), "meta_age": c.meta["age"]} for i, c in enumerate(found)
    ]))  # fmt: skip
    run.put_table("performance", task, pd.DataFrame([
        {"part": p, "stratum": s, "metric": "auroc", "class": "malignant", "value": v, "low": v - 0.1, "high": v + 0.05,
         "n": 40, "reason": ""} for p, s, v in (("val", "all", 0.9111), ("test", "all", 0.8765), ("test", "view=PA", 0.7654))
    ] + [{"part": "test", "stratum": "view=AP", "metric": "auroc", "class": "malignant", "value": np.nan, "low": np.nan,
          "high": np.nan, "n": 1, "reason": "one class only"}]))  # fmt: skip
    run.put_table("history", task, pd.DataFrame(
        {"epoch": [1, 2, 3], "train_loss": [1.0, 0.6, 0.4], "val_loss": [0.9, 0.7, 0.8], "val_metric": [0.5, 0.7, 0.6],
         "metric": "accuracy"}))  # fmt: skip
    verdicts, costs, regions, predictions = [], [], [], []
    for i, c in enumerate(found):
        made = maps(task, c)
        output = {"classification": torch.tensor([0.3, 0.7]), "regression": torch.tensor([0.25])}.get(
            task, c.truth.roll(1, 0) if torch.is_tensor(c.truth) else None)  # fmt: skip
        run.put_maps(task, c, made, output)
        for a in made:
            key = {"case": c.id, "method": a.method, "target_index": a.target["index"], "target": a.target["label"]}
            bad = a.method == "edge" or (a.method == "saliency" and i == 0)
            verdicts += [
                key | {"check": "finite", "status": "pass", "value": 1.0, "threshold": 1.0, "sentence": "All finite."},
                key | {"check": "sane", "status": "fail" if bad else "pass", "value": 0.9 if bad else 0.1,
                       "threshold": 0.5, "sentence": "A random model gives a similar map." if bad else "It changes."},
                key | {"check": "complete", "status": "not tested", "value": np.nan, "threshold": np.nan,
                       "sentence": "It promises nothing."},
            ]  # fmt: skip
            costs.append(key | {"forwards": a.cost.forwards, "backwards": a.cost.backwards, "seconds": 0.5, "peak_bytes": np.nan})
            regions += [key | {"region": "lesion", "measure": m, "value": v + 0.001 * i}
                        for m, v in (("mass", 0.4567), ("enrichment", 5.432), ("share", 0.08))]  # fmt: skip
        for k, name in enumerate(("benign", "malignant") if task == "classification" else ("severity",)):
            predictions.append({"case": c.id, "part": parts[i % 3], "truth": str(c.truth), "class": name,
                                "predicted": "1" if task == "classification" else "0.25", "value": (0.3, 0.7)[k]})  # fmt: skip
    scores = [
        {"case": c.id, "group": c.group, "method": "grad_cam", "target_index": 0, "target": "x", "metric": "pointing_game",
         "value": np.nan, "reason": "the map is flat"} for c in found
    ]  # fmt: skip
    for name, rows in (("verdicts", verdicts), ("costs", costs), ("regions", regions), ("scores", scores)):
        run.put_table(name, task, pd.DataFrame(rows))
    if task in ("classification", "regression"):
        run.put_table("predictions", task, pd.DataFrame(predictions))
    run.put_table("comparison", task, comparison(task))
    run.ledger.record(task, "data", "broken-1", "failed", error="case broken-1: the file is empty; send it again")
    run.ledger.record(task, "explain", "*", "done", seconds=12.0)


def compare_tables(run: Run, task: str, methods: tuple[str, ...] = METHODS, *, cases: tuple[str, ...] = ()) -> None:
    """The tables of the comparison over a cohort, as the stage evaluate leaves them, with made-up numbers."""
    k = len(methods)
    control = [m in ("random", "edge") for m in methods]
    ranking, aggregated = [], []
    for scope in ("deletion_auc", "faithfulness", "plausibility", "all"):
        for i, m in enumerate(methods):
            ranking.append({
                "scope": scope, "method": m, "control": control[i], "mean_rank": i + 1.25, "low": i + 1.0, "high": i + 1.5,
                "place": i + 1.0, "n": 12, "cd": 1.1, "p": 0.004, "cliques": ",".join(str(c) for c in (i, i + 1) if 0 < c < k),
                "note": "2 of 14 patients left out: not all methods are defined",
            })  # fmt: skip
            if scope != "deletion_auc":
                aggregated.append({
                    "question": scope, "method": m, "mean_rank": i + 1.5, "place": i + 1.0, "place_low": max(1.0, i),
                    "place_high": min(k, i + 2.0), "first": 1.0 if i == 0 else 0.0, "metrics": 2, "tau": 0.7654,
                    "choices": 3, "note": "",
                })  # fmt: skip
    costs = [0 if c else 2 * 10**i for i, c in enumerate(control)] if k < 10 else list(range(k))
    pareto = [
        {"metric": q, "method": m, "cost": float(costs[i]), "value": 1.5 + i, "direction": "lower",
         "dominated": i > 1, "by": methods[0] if i > 1 else "", "control": control[i]}
        for q in ("deletion_auc", "faithfulness") for i, m in enumerate(methods)
    ]  # fmt: skip
    pairs = [(a, b) for i, a in enumerate(methods) for b in methods[:i]]
    agreement = [
        {"a": a, "b": b, "rho": (0.0321, 0.7531, -0.25)[n % 3], "low": -0.1, "high": 0.9, "n": 12, "groups": 12,
         "undefined": 0, "note": ""}
        for n, (a, b) in enumerate(pairs)
    ]  # fmt: skip
    strata = [
        {"stratum": s, "level": v, "metric": q, "method": m, "mean": mean, "low": mean - wide if n >= 5 else np.nan,
         "high": mean + wide if n >= 5 else np.nan, "n": n, "groups": n, "note": "" if n >= 5 else "too few"}
        for s, levels in (("lesion size", (("small (3 to 9 px)", 0.2, 6), ("large (10 to 40 px)", 0.6, 8))),
                          ("site", (("A", 0.3, 9), ("B", 0.4, 3))))
        for v, mean, n in levels for q in ("insertion_auc", "pointing_game", "attribution_share[ct]") for m in methods
        for wide in (0.5 if (q, m) == ("insertion_auc", "random") else 0.1,)
    ]  # fmt: skip
    details = [
        {"case": c, "group": c, "method": m, "target_index": 0, "target": "x", "metric": metric, "part": part,
         "position": float(p), "value": 1 - 0.3 * p - 0.02 * n + 0.05 * i}
        for n, c in enumerate(("p1", "p2", "p3")) for i, m in enumerate(methods)
        for metric in ("mprt", "random_logit") for p, part in enumerate(("head", "layer2", "layer1"))
    ]  # fmt: skip
    detector = [
        {"metric": q, "method": m, "n": 12, "wrong": 4, "auroc": 0.8123 - 0.05 * i, "low": 0.6 - 0.05 * i, "high": 0.95,
         "p": 0.0123, "aurc": 0.2, "e_aurc": 0.1, "note": ""}
        for q in ("segu", "pointing_game") for i, m in enumerate(methods)
    ]  # fmt: skip
    risk = [
        {"metric": q, "method": m, "coverage": c, "risk": c / 3}
        for q in ("segu", "pointing_game") for m in methods for c in (0.25, 0.5, 0.75, 1.0)
    ]  # fmt: skip
    findings = [
        {"kind": "shortcut", "title": "Evidence outside the patient: upper left corner", "sentence": f"The maps point there {HOSTILE}.",
         "zone": "upper left corner", "box": "1:5,2:7", "methods": methods[0], "cases": ",".join(cases), "n": len(cases), "of": 3,
         "value": 0.3, "low": 0.2, "high": 0.4, "control_value": 0.01, "note": "Outlines by threshold."}
    ]  # fmt: skip
    for name, rows in (("ranking", ranking), ("aggregated", aggregated), ("pareto", pareto), ("agreement", agreement),
                       ("strata", strata), ("details", details), ("detector", detector), ("risk_coverage", risk),
                       ("findings", findings)):  # fmt: skip
        run.put_table(name, task, pd.DataFrame(rows))
    run.update(metrics=run.info["metrics"] | {
        "segu": {"question": "certainty", "direction": "higher"}, "mprt": {"question": "sanity", "direction": "lower"}})  # fmt: skip
