"""Train a registered network on cases."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError
from pellucid.nets.pretrained import start_from
from pellucid.nets.registry import build_network, count_inputs
from pellucid.train.answers import choose_answers
from pellucid.train.augment import as_augmentations
from pellucid.train.calibration import Calibration
from pellucid.train.callbacks import Interrupted, Keeper
from pellucid.train.data import TRUTH, Batches, stack
from pellucid.train.layout import lay_out
from pellucid.train.losses import class_weights, make_loss
from pellucid.train.module import METRICS, TrainingModule, outputs
from pellucid.train.normalise import STATISTICS, Normalise
from pellucid.train.progress import bar
from pellucid.train.state import State
from pellucid.types import Activation, Task

PRECISIONS: dict[str, Any] = {"float32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Trained:
    """What a training gives.

    Attributes:
        predictor: with the weights of the best epoch, the training split's statistics, and thresholds from validation.
        history: one row per epoch: ``epoch`` (from 1), ``train_loss``, ``val_loss``, ``val_metric``, ``lr``,
            ``seconds``.
        metric: what ``val_metric`` is: accuracy, rmse or dice.
        best_epoch: that of the lowest validation loss, counted from 1.
        stopped_early: whether the patience ran out before the epochs did.
        settings: all that was asked for, plain, to be kept with the model.
        thresholds: of a classifier, by class, with the reason where there is none
            (:func:`~pellucid.train.thresholds.threshold_table`).
        calibration: of a classifier that was to be calibrated.
    """

    predictor: Predictor
    history: pd.DataFrame
    metric: str
    best_epoch: int
    stopped_early: bool
    settings: dict[str, Any]
    thresholds: pd.DataFrame | None = None
    calibration: Calibration | None = None


def fit(
    cases_train: Sequence[Case],
    cases_val: Sequence[Case],
    *,
    network: str,
    inputs: Sequence[str],
    task: Task,
    epochs: int,
    options: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    activation: Activation | None = None,
    batch_size: int = 16,
    lr: float = 1e-3,
    optimizer: str = "adam",
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    loss: str | None = None,
    balance: str | None = None,
    augment: Sequence[Any] = (),
    patience: int | None = None,
    features: Mapping[str, Sequence[str]] | None = None,
    weights: str | Path | None = None,
    normalise: Normalise = "data",
    calibrate: bool = False,
    precision: str = "float32",
    device: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | Callable[[dict[str, float]], None] = True,
) -> Trained:
    """Train a network, from random weights or given ones; the best epoch on the validation cases is kept.

    There is no place for test cases here: statistics come from ``cases_train``; the best epoch, early stopping and
    a classifier's thresholds and temperature from ``cases_val``. The same seed gives the same weights on a CPU.

    Args:
        cases_train: to learn from; held in memory, all of one size.
        cases_val: to choose with; no patient of them may be in ``cases_train``.
        network: a registered name.
        inputs: names of the inputs in the order of the network's ``forward``.
        task: ``"classification"``, ``"regression"`` or ``"segmentation"``.
        epochs: at most.
        options: of the network.
        classes: names of the outputs; for a segmentation with background, ``classes[0]`` is the background.
        activation: see Predictor.
        batch_size: cases per step.
        lr: learning rate of the first epoch.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        schedule: ``"cosine"``, ``"constant"`` or ``"step"``.
        weight_decay: of all parameters.
        loss: see ``make_loss``; that of the task if None.
        balance: ``"class_weights"`` gives rare classes a larger weight; None does nothing.
        augment: names, ``{name: options}`` or objects: see ``AUGMENTATIONS``.
        patience: epochs without a lower validation loss before training stops; None never stops it.
        features: names of a table's columns.
        weights: ``"imagenet"`` or a file, to start from (see :func:`~pellucid.nets.start_from`); random if None.
        normalise: ``"data"`` brings the inputs to mean 0 and sd 1 over the training cases, ``"imagenet"`` by the
            statistics with which ImageNet weights were trained (see ``imagenet_statistics``).
        calibrate: fit a classifier's temperature on ``cases_val`` (:mod:`~pellucid.train.calibration`).
        precision: ``"float32"``, or ``"bf16"`` where the device is fast at it.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        seed: of the weights, the order and the augmentation.
        out: folder in which the state is kept after every epoch; nothing is written if None.
        resume: go on from the state in ``out``, if there is one.
        progress: a bar on standard error, silence, or a function that is told each epoch's record.

    Raises:
        UsageError: settings that do not fit, or (``resume``) are not those of the state.
        InputError: a case that does not fit, or a patient in both splits.
        ModelError: the training diverged, or the state is damaged.
        KeyboardInterrupt: Ctrl-C; the state of the last whole epoch is in ``out``.
    """
    _check(epochs=epochs, lr=lr, precision=precision, patience=patience, balance=balance)
    if normalise not in STATISTICS:
        raise UsageError(f"normalise is {normalise!r}; give 'data' or 'imagenet'")
    if resume and out is None:
        raise UsageError("resume: give the folder of the interrupted training as out")
    check_split(cases_train, cases_val)
    settings: dict[str, Any] = {
        "network": network, "options": dict(options or {}), "inputs": list(inputs), "task": task,
        "classes": list(classes or ()), "activation": activation, "epochs": epochs, "batch_size": batch_size,
        "lr": lr, "optimizer": optimizer, "schedule": schedule, "weight_decay": weight_decay, "loss": loss,
        "balance": balance, "augment": [str(a) for a in augment], "patience": patience, "precision": precision,
        "seed": seed, "n_train": len(cases_train), "n_val": len(cases_val), "cases": _digest(cases_train, cases_val),
        "weights": None, "normalise": None if normalise == "data" else normalise,
    }  # fmt: skip
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(), _quiet():
        torch.manual_seed(seed)
        module = build_network(network, options)
        wanted = count_inputs(module)
        if wanted is not None and wanted != len(inputs):
            raise UsageError(f"network {network!r} takes {wanted} inputs, {len(inputs)} are named: {list(inputs)}")
        given: dict[str, Any] = {
            "inputs": inputs, "task": task, "classes": classes, "activation": activation, "features": features,
            "name": network,
        }  # fmt: skip
        if weights is not None:
            settings["weights"] = start_from(module, weights, network=network)
        # Twice: the first one checks that the cases have the inputs before statistics are made of them.
        train = stack(cases_train, Predictor(module, **given))
        predictor = Predictor(module, **given, normalise=STATISTICS[normalise](cases_train, inputs))
        val = stack(cases_val, predictor)
        _check_sizes(train, val)
        rare = None
        if balance is not None:
            rare = class_weights(train[TRUTH], activation=predictor.activation, classes=len(predictor.classes))
        state = (State.load(folder, settings) if resume and folder is not None else None) or State(settings)
        if state.weights:
            module.load_state_dict(state.weights)
        lay_out(module, last=True)
        pin = device != "cpu" and torch.cuda.is_available()
        batches = Batches(train, batch_size=batch_size, seed=seed, augment=as_augmentations(augment), pin=pin)
        val_batches = Batches(val, batch_size=batch_size, pin=pin)
        training = TrainingModule(
            predictor, make_loss(predictor, name=loss, weights=rare), optimizer=optimizer, lr=lr,
            schedule=schedule, weight_decay=weight_decay, epochs=epochs, start=len(state.history),
        )  # fmt: skip
        _check_output(training, val_batches, predictor)
        if state.optimizer.get("state"):
            training.optimizer_state = state.optimizer
        if not state.done:
            with bar(progress, epochs=epochs, start=len(state.history), metric=METRICS[task]) as report:
                keeper = Keeper(state, batches, seed=seed, patience=patience, folder=folder, progress=report)
                _run(training, keeper, batches, val_batches, epochs=epochs, precision=precision, device=device)
        module.load_state_dict(state.best)
        lay_out(module.cpu().eval(), last=False)
        thresholds, calibration = None, None
        if task == "classification" and predictor.activation != "identity":
            output, truth = outputs(training.cpu(), val_batches, torch.device("cpu"))
            thresholds, calibration = choose_answers(
                predictor, truth, output, groups=[c.group or c.id for c in cases_val], calibrate=calibrate, seed=seed
            )
    return Trained(
        predictor,
        pd.DataFrame(state.history).astype({"epoch": int}),
        METRICS[task],
        state.best_epoch,
        state.stopped_early,
        settings | {"calibrate": calibrate},
        thresholds,
        calibration,
    )


def check_split(cases_train: Sequence[Case], cases_val: Sequence[Case]) -> None:
    """Raise InputError if a patient is in both parts."""
    both = sorted({c.group for c in cases_train if c.group} & {c.group for c in cases_val if c.group})
    if both:
        raise InputError(
            f"{len(both)} patients are in the training and in the validation cases, the first is group {both[0]!r}; "
            "split by group"
        )


def _run(
    training: TrainingModule,
    keeper: Keeper,
    batches: Batches,
    val_batches: Batches,
    *,
    epochs: int,
    precision: str,
    device: str,
) -> None:
    trainer = lightning.Trainer(
        max_epochs=epochs - training.start, accelerator={"cuda": "gpu"}.get(device, device), devices=1,
        precision=PRECISIONS[precision], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[keeper],
    )  # fmt: skip
    try:
        with keeper.listening():
            trainer.fit(training, batches, val_batches)
    except Interrupted:
        raise KeyboardInterrupt from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's tips and warnings off, for the time of a training."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def _check(*, epochs: int, lr: float, precision: str, patience: int | None, balance: str | None) -> None:
    if epochs < 1:
        raise UsageError(f"epochs is {epochs}; give at least 1")
    if not lr > 0:
        raise UsageError(f"lr is {lr}; give a positive number")
    if precision not in PRECISIONS:
        raise UsageError(f"training precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if patience is not None and patience < 1:
        raise UsageError(f"patience is {patience}; give at least 1, or None to never stop early")
    if balance not in (None, "class_weights"):
        raise UsageError(f"balance is {balance!r}; give 'class_weights' or leave it out")


def _check_sizes(train: Mapping[str, Tensor], val: Mapping[str, Tensor]) -> None:
    for name, value in train.items():
        if name != TRUTH and value.shape[1:2] != val[name].shape[1:2]:
            raise InputError(
                f"input {name!r} has {value.shape[1]} channels in the training cases and {val[name].shape[1]} in the "
                "validation cases"
            )


def _check_output(training: TrainingModule, batches: Batches, predictor: Predictor) -> None:
    batch = {name: value[:1] for name, value in batches.data.items()}
    training.eval()
    with torch.no_grad():
        try:
            shape = tuple(training(batch).shape)
        except (RuntimeError, ValueError, TypeError) as error:
            shapes = ", ".join(f"{n} {tuple(batch[n].shape[1:])}" for n in predictor.inputs)
            raise UsageError(
                f"network {predictor.name!r} cannot take these inputs ({shapes}): {error}; set its options to fit"
            ) from error
    training.train()
    truth = tuple(batch[TRUTH].shape)
    k = len(predictor.classes) or (truth[1] if predictor.task == "regression" else 1)
    wanted = (1, k, *truth[1:]) if predictor.task == "segmentation" else (1, k)
    if shape != wanted and not (len(shape) == 1 and wanted == (1, 1)):
        raise UsageError(
            f"network {predictor.name!r} gives {shape} for one case, {wanted} is wanted; set its options (classes, …) "
            "to fit the task"
        )


def _digest(*parts: Sequence[Case]) -> str:
    text = "\n".join("\t".join(c.id for c in part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
