"""Train the network, or load the one that is given, and measure how good it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import ModelError, UsageError
from pellucid.nets import build_network, load_module, load_weights, save_predictor
from pellucid.study.context import Context
from pellucid.train import Trained, fit, performance
from pellucid.train.shuffle import shuffled


def run(context: Context) -> None:
    """The stage: model folder, learning curve, performance on the cases that were not trained on."""
    work = context.work
    if work.train is not None:
        _train(context)
    context.__dict__.pop("predictor", None)
    context.__dict__.pop("engine", None)
    context.__dict__.pop("shuffled", None)
    tables, predictions = [], []
    parts = [p for p in ("val", "test", *work.also) if context.part(p)]
    with context.progress("measure", len(parts)) as advance:
        for part in parts:
            known = [c for c in context.part(part) if c.truth is not None]
            if known:
                table, rows = measure(context, part, known)
                tables += table
                predictions += rows
            advance(1)
    if tables:
        context.run.put_table("performance", work.name, pd.concat(tables, ignore_index=True))
        context.run.put_table("predictions", work.name, pd.DataFrame(predictions))


def given_model(context: Context) -> Predictor:
    """The model that the recipe names, with weights from a file if it names one."""
    m = context.work.model
    module: nn.Module | Predictor
    if m.load is not None:
        where, colon, name = m.load.rpartition(":")
        beside = context.path(where) if colon else context.path(m.load)
        module = load_module(f"{beside}:{name}" if colon and beside.exists() else str(beside) if not colon else m.load)
    else:
        assert m.network is not None
        module = build_network(m.network, m.options)
        if m.weights is None:
            raise UsageError(
                f"task {context.task}: network {m.network!r} has neither a 'train' section nor 'weights'; give one"
            )
    if isinstance(module, Predictor):
        return module
    if m.weights is not None:
        load_weights(module, context.path(m.weights))
    return Predictor(
        module.eval(), inputs=m.inputs, task=m.task, classes=m.classes, activation=m.activation, features=m.features,
        output=m.output,
    )  # fmt: skip


def measure(context: Context, part: str, cases: Sequence[Case]) -> tuple[list[pd.DataFrame], list[dict[str, Any]]]:
    """Performance and predictions of one part of the cases, also within the strata that the recipe names."""
    p = context.predictor
    output = context.engine.predict(cases)
    truth = torch.stack([torch.as_tensor(c.truth) for c in cases])
    given: dict[str, Any] = {
        "task": p.task, "activation": p.activation, "classes": p.classes, "thresholds": p.thresholds,
        "groups": [c.group or c.id for c in cases], "seed": context.recipe.seed,
    }  # fmt: skip
    tables = [performance(truth, output, **given).assign(part=part)]
    for name in context.work.train.strata if context.work.train else ():
        by = [f"{name}={c.meta.get(name, 'unknown')}" for c in cases]
        table = performance(truth, output, by=by, **given)
        tables.append(table[table["stratum"] != "all"].assign(part=part))
    return tables, _predictions(p, part, cases, output)


def _predictions(p: Predictor, part: str, cases: Sequence[Case], output: torch.Tensor) -> list[dict[str, Any]]:
    if p.task == "segmentation":
        return []
    probabilities = p.probabilities(output)
    rows = []
    for case, row, values in zip(cases, output, probabilities):
        best = p.predicted_class(row) if p.task == "classification" else 0
        if p.task == "regression":
            predicted = str(float(row[0]))
        elif p.activation == "sigmoid":
            predicted = "|".join(str(int(v > t)) for v, t in zip(values, p.thresholds))
        else:
            predicted = str(best)
        truth = case.truth if not isinstance(case.truth, torch.Tensor) else "|".join(map(str, case.truth.tolist()))
        for k, value in enumerate(values.tolist()):
            name = p.class_name(k) if p.classes else f"score {k}"
            rows.append(
                {"case": case.id, "part": part, "truth": str(truth), "predicted": predicted, "class": name,
                 "value": value}
            )  # fmt: skip
    return rows


def _train(context: Context) -> None:
    train, val = context.part("train"), context.part("val")
    trained = _fit(context, train, val, "train")
    _save(context, trained, context.model_folder)
    context.run.put_table("history", context.task, trained.history.assign(metric=trained.metric))
    if context.work.evaluate.shuffled_labels:
        seed = context.recipe.seed
        other = _fit(context, shuffled(train, seed), shuffled(val, seed + 1), "train-shuffled")
        _save(context, other, context.shuffled_folder, labels="shuffled")


def _fit(context: Context, train: Sequence[Case], val: Sequence[Case], what: str) -> Trained:
    assert context.work.train is not None
    out = context.run.folder / "parts" / "training" / (context.task + what.removeprefix("train"))
    with context.progress(f"{what} (epochs)", context.work.train.epochs) as advance:
        return fit_task(context, train, val, out=out, progress=lambda _: advance(1))


def fit_task(
    context: Context,
    train: Sequence[Case],
    val: Sequence[Case],
    *,
    out: Path,
    progress: Callable[[dict[str, float]], None],
) -> Trained:
    """The training that the task asks for, with its state in ``out``; ``progress`` is told each epoch's record."""
    work, t = context.work, context.work.train
    assert t is not None
    m = work.model
    if m.network is None:
        raise UsageError(f"task {work.name}: training needs 'network', one of ours; a loaded model is not trained")
    return fit(
        train, val, network=m.network, options=m.options, inputs=m.inputs, task=m.task, classes=m.classes,
        activation=m.activation, features=m.features, epochs=t.epochs, batch_size=t.batch_size, lr=t.lr,
        optimizer=t.optimizer, schedule=t.schedule, weight_decay=t.weight_decay, patience=t.patience,
        augment=t.augment, balance=t.balance, loss=t.loss,
        precision="bf16" if context.recipe.precision == "bf16" else "float32", device=context.recipe.device,
        seed=context.recipe.seed, out=out, resume=context.resume, progress=progress,
    )  # fmt: skip


def _save(context: Context, trained: Trained, folder: Path, **info: Any) -> None:
    m = context.work.model
    assert m.network is not None
    info |= {"best_epoch": trained.best_epoch, "stopped_early": trained.stopped_early, "settings": trained.settings}
    try:
        save_predictor(trained.predictor, folder, network=m.network, options=m.options, info=info)
    except OSError as error:
        raise ModelError(f"the model cannot be written to {folder}: {error.strerror}") from error
