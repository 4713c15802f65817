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
from pellucid.core.windows import as_windows
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.nets import build_network, load_module, load_weights, save_predictor
from pellucid.nets.pretrained import IMAGENET
from pellucid.study.context import LOG, Context
from pellucid.study.inputs import resolved
from pellucid.study.stages.answers import calibration_tables, fit_row, put_thresholds, said, truth_and_output
from pellucid.study.stages.measures import classifier_tables, strata_of
from pellucid.train import Trained, fit, performance
from pellucid.train.normalise import imagenet
from pellucid.train.shuffle import shuffled
from pellucid.types import Task


def run(context: Context) -> None:
    """The stage: model folder, learning curve, performance on the cases that were not trained on."""
    work = context.work
    from pellucid.study.crossval import cross_validate
    from pellucid.study.crossval_results import write_results

    found = cross_validate(context) if work.cross_validation is not None else None
    if found is not None and found.final is None:
        write_results(context, found)
        return
    trained = found.final if found is not None else _train(context) if work.train is not None else None
    context.__dict__.pop("predictor", None)
    context.__dict__.pop("engine", None)
    context.__dict__.pop("shuffled", None)
    put_thresholds(context, trained)
    tables: dict[str, list[pd.DataFrame]] = {}
    own = ("test",) if found is not None else ("val", "test")  # cross-validated, the final model was trained on val
    parts = [p for p in (*own, *work.also) if context.part(p)]
    with context.progress("measure", len(parts)) as advance:
        for part in parts:
            known = [c for c in context.part(part) if c.truth is not None and _of_the_task(c, work.model.task)]
            left = sum(c.truth is not None for c in context.part(part)) - len(known)
            if left:
                what = "no mask" if work.model.task == "segmentation" else "a mask"
                note = f"{work.name}: {left} cases of {part!r} have {what} as their truth and are not measured"
                LOG.warning(note)
                context.console.print(f"[yellow]{note}[/]", highlight=False)
            if known:
                for name, table in measure(context, part, known).items():
                    tables.setdefault(name, []).append(table.assign(part=part))
            advance(1)
    if trained is not None and trained.calibration is not None:
        chosen_on = "val" if found is None else "out_of_fold"
        tables.setdefault("calibration", []).append(fit_row(trained.calibration, chosen_on))
    for name, rows in tables.items():
        context.run.put_table(name, work.name, pd.concat(rows, ignore_index=True))
    if found is not None:
        write_results(context, found)


def given_model(context: Context) -> Predictor:
    """The model that the recipe names, with weights from a file if it names one."""
    if not context.work.model.inputs:
        context.part("test")  # they are taken from the cases
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
        if m.windows is not None:
            module.windows = as_windows(m.windows)
        return module
    if m.weights is not None:
        load_weights(module, context.path(m.weights))
    # Without a training there are no statistics of one: the weights are given the values as they are.
    known = None
    if m.normalise == "imagenet":
        known = {n: imagenet(m.options.get("in_channels", 1), n) for n in m.inputs if n not in m.features}
    return Predictor(
        module.eval(), inputs=m.inputs, task=m.task, classes=m.classes, activation=m.activation, features=m.features,
        output=m.output, normalise=known, windows=m.windows,
    )  # fmt: skip


def _of_the_task(case: Case, task: Task) -> bool:
    """Whether the truth is of the kind that the task is measured with: a mask for a segmentation, none else."""
    return (isinstance(case.truth, torch.Tensor) and case.truth.ndim > 1) == (task == "segmentation")


def measure(context: Context, part: str, cases: Sequence[Case]) -> dict[str, pd.DataFrame]:
    """Performance, also within the strata that the recipe names, predictions and calibration of one part's cases."""
    p = context.predictor
    truth, output = truth_and_output(context.engine, cases)
    drawn: dict[str, Any] = {"groups": [c.group or c.id for c in cases], "seed": context.recipe.seed}
    given: dict[str, Any] = {
        "task": p.task, "activation": p.activation, "classes": p.classes, "thresholds": p.thresholds,
        "temperature": p.temperature, "min_positives": context.work.evaluate.min_positives, **drawn,
    }  # fmt: skip
    tables = [performance(truth, output, **given)]
    strata = strata_of(context, part, cases)
    for name, levels in strata.items():
        by = [f"{name}={'unknown' if level is None else level}" for level in levels]
        table = performance(truth, output, by=by, **given)
        tables.append(table[table["stratum"] != "all"])
    found = {"performance": pd.concat(tables, ignore_index=True)}
    if isinstance(output, torch.Tensor) and p.task != "segmentation":
        found["predictions"] = pd.DataFrame(predictions(p, part, cases, output))
    calibrated = calibration_tables(p, truth, output, **drawn)
    found |= classifier_tables(p, truth, output, strata, min_positives=given["min_positives"], **drawn)
    return found | (dict(zip(("calibration", "reliability"), calibrated)) if calibrated else {})


def predictions(p: Predictor, part: str, cases: Sequence[Case], output: torch.Tensor) -> list[dict[str, Any]]:
    """Rows of the table ``predictions``: each case and output."""
    probabilities = p.probabilities(output)
    labelled = said(p, output) if p.activation == "sigmoid" else []
    rows = []
    for i, (case, row, values) in enumerate(zip(cases, output, probabilities)):
        if p.task == "regression":
            predicted = str(float(row[0]))
        else:
            predicted = labelled[i] if labelled else str(p.predicted_class(row))
        truth = case.truth if not isinstance(case.truth, torch.Tensor) else "|".join(map(str, case.truth.tolist()))
        for k, value in enumerate(values.tolist()):
            name = p.class_name(k) if p.classes else f"score {k}"
            rows.append(
                {"case": case.id, "part": part, "truth": str(truth), "predicted": predicted, "class": name,
                 "value": value}
            )  # fmt: skip
    return rows


def _train(context: Context) -> Trained:
    train, val = parts_of(context)
    trained = fit_shown(context, train, val, "train")
    keep_trained(context, trained, train, val)
    return trained


def keep_trained(context: Context, trained: Trained, train: Sequence[Case], val: Sequence[Case]) -> None:
    """Write the model and its learning curve; train the one of shuffled labels as well, where the recipe wants it."""
    save_trained(context, trained, context.model_folder)
    context.run.put_table("history", context.task, trained.history.assign(metric=trained.metric))
    if context.work.evaluate.shuffled_labels:
        seed = context.recipe.seed
        other = fit_shown(context, shuffled(train, seed), shuffled(val, seed + 1), "train-shuffled")
        save_trained(context, other, context.shuffled_folder, labels="shuffled")


def parts_of(context: Context) -> tuple[Sequence[Case], Sequence[Case]]:
    """The training and the validation cases.

    Raises:
        InputError: there are no validation cases, without which ``fit`` chooses nothing.
    """
    train, val = context.part("train"), context.part("val")
    if not val:
        raise InputError(
            f"task {context.task}: no validation cases, by which the epoch and the thresholds are chosen; give "
            "data.fractions a share for them"
        )
    return train, val


def fit_shown(context: Context, train: Sequence[Case], val: Sequence[Case], what: str) -> Trained:
    """The training that the task asks for, with a bar; ``what`` is ``train``, or ``train-…`` for a second one."""
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
    m = resolved(work.model, train)
    if m.network is None:
        raise UsageError(f"task {work.name}: training needs 'network', one of ours; a loaded model is not trained")
    return fit(
        train, val, network=m.network, options=m.options, inputs=m.inputs, task=m.task, classes=m.classes,
        activation=m.activation, features=m.features, weights=_start(context), normalise=m.normalise,
        freeze=t.freeze, unfreeze=t.unfreeze,
        epochs=t.epochs, batch_size=t.batch_size, lr=t.lr,
        optimizer=t.optimizer, momentum=t.momentum, schedule=t.schedule, warmup=t.warmup, weight_decay=t.weight_decay,
        clip=t.clip, accumulate=t.accumulate, monitor=t.monitor, patience=t.patience, delta=t.delta,
        augment=t.augment, balance=t.balance, loss=t.loss, calibrate=t.calibrate,
        patch=t.patch, patches=t.patches, windows=m.windows,
        precision=t.precision or ("bf16" if context.recipe.precision == "bf16" else "float32"),
        device=context.recipe.device, devices=t.devices, seed=context.recipe.seed,
        out=out, resume=context.resume, progress=progress,
    )  # fmt: skip


def _start(context: Context) -> str | Path | None:
    """Where the recipe has the training start: a word that ``fit`` knows, or a file."""
    given = context.work.model.weights
    return given if given in (None, IMAGENET) else context.path(given)


def save_trained(context: Context, trained: Trained, folder: Path, **info: Any) -> None:
    """Write a trained model with how it was trained."""
    m = context.work.model
    assert m.network is not None
    info |= {"best_epoch": trained.best_epoch, "stopped_early": trained.stopped_early, "settings": trained.settings}
    if trained.thresholds is not None:
        info["thresholds"] = trained.thresholds.to_dict("records")
    if trained.calibration is not None:
        info["calibration"] = trained.calibration.plain()
    try:
        save_predictor(trained.predictor, folder, network=m.network, options=trained.settings["options"], info=info)
    except OSError as error:
        raise ModelError(f"the model cannot be written to {folder}: {error.strerror}") from error
