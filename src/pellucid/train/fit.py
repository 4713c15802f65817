"""Train a registered network on cases."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.windows import Windows, as_windows
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.nets.pretrained import start_from
from pellucid.nets.registry import build_network, count_inputs
from pellucid.train.answers import choose_answers
from pellucid.train.augment import as_augmentations
from pellucid.train.augment_base import MISSING
from pellucid.train.balance import Named as NamedBalance
from pellucid.train.balance import as_balance
from pellucid.train.calibration import Calibration
from pellucid.train.checks import check_final, check_missing, check_output, check_patch
from pellucid.train.data import TRUTH, Batches, columns
from pellucid.train.devices import launch, training_device
from pellucid.train.embeddings import Embedded, entry_of
from pellucid.train.freeze import frozen_names, hold, warn_of_random
from pellucid.train.layout import lay_out
from pellucid.train.loop import Loop
from pellucid.train.losses import Named as NamedLoss
from pellucid.train.losses import class_weights, make_loss
from pellucid.train.module import METRICS, TrainingModule, outputs
from pellucid.train.normalise import STATISTICS, Normalise
from pellucid.train.oversample import classes_to_draw
from pellucid.train.patches import Patches
from pellucid.train.plan import Plan
from pellucid.train.progress import bar
from pellucid.train.schedule import Named as NamedSchedule
from pellucid.train.smote import prepare
from pellucid.train.state import State
from pellucid.train.stop import Interrupted
from pellucid.train.unfreeze import check_unfreeze, unfreezing
from pellucid.types import Activation, Task

PLACES = 64  # of a mask, by which a training that is resumed knows it again


@dataclass(frozen=True)
class Trained:
    """What a training gives.

    Attributes:
        predictor: with the weights of the best epoch, the training split's statistics, and thresholds from validation.
        history: one row per epoch: ``epoch`` (from 1), ``train_loss``, ``val_loss``, ``val_metric``, ``lr``,
            ``seconds``. The validation's are NaN where there are no validation cases. With ``unfreeze`` also
            ``trained``: the parts that were trained in it.
        metric: what ``val_metric`` is: accuracy, rmse or dice.
        best_epoch: that of the best monitored number (by default the lowest validation loss), counted from 1; the last
            one without validation cases.
        stopped_early: whether the patience ran out before the epochs did.
        settings: all that was asked for, plain, to be kept with the model.
        thresholds: of a classifier, by class, with the reason where there is none
            (:func:`~pellucid.train.thresholds.threshold_table`); None without validation cases, where the predictor has
            0.5 for every class until it is given others.
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
    momentum: float | None = None,
    schedule: NamedSchedule = "cosine",
    warmup: float = 0,
    weight_decay: float = 0.0,
    clip: float | None = None,
    accumulate: int = 1,
    loss: NamedLoss | None = None,
    balance: NamedBalance | None = None,
    augment: Sequence[Any] = (),
    monitor: str = "loss",
    patience: int | None = None,
    delta: float = 0.0,
    features: Mapping[str, Sequence[str]] | None = None,
    weights: str | Path | None = None,
    freeze: str | Sequence[str] | None = None,
    unfreeze: Mapping[Any, Any] | None = None,
    normalise: Normalise = "data",
    calibrate: bool = False,
    precision: str = "float32",
    patch: Sequence[int] | None = None,
    patches: int = 1,
    windows: Windows | Mapping[str, Any] | None = None,
    device: str = "auto",
    devices: int = 1,
    seed: int = 0,
    out: str | Path | None = None,
    save_every: float = 60.0,
    resume: bool = False,
    progress: bool | Callable[[dict[str, float]], None] = True,
) -> Trained:
    """Train a network, from random weights or given ones; the best epoch on the validation cases is kept.

    There is no place for test cases here: statistics come from ``cases_train``; the best epoch, early stopping and
    a classifier's thresholds and temperature from ``cases_val``. The same seed gives the same weights on a CPU.

    With no validation cases the network is trained for exactly ``epochs`` epochs and the last one is kept: the final
    fit after a cross-validation, which has found the number of epochs. Nothing is chosen then, and no threshold.

    Args:
        cases_train: to learn from; held in memory (once), all of one size, unless there is a ``patch``.
        cases_val: to choose with; no patient of them may be in ``cases_train``. Empty for a final fit.
        network: a registered name.
        inputs: names of the inputs in the order of the network's ``forward``.
        task: ``"classification"``, ``"regression"`` or ``"segmentation"``.
        epochs: at most.
        options: of the network.
        classes: names of the outputs; for a segmentation with background, ``classes[0]`` is the background.
        activation: see Predictor.
        batch_size: cases per batch, over all devices.
        lr: learning rate of the first epoch.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        momentum: of ``"sgd"``; 0.9 if None.
        schedule: ``"cosine"``, ``"constant"``, ``"step"`` or ``"plateau"``, or one of the latter two with its options:
            ``{"step": {"size": 7, "gamma": 0.1}}``, ``{"plateau": {"factor": 0.1, "patience": 10}}``.
        warmup: epochs over which the rate rises linearly from step to step, while the schedule goes on.
        weight_decay: of all parameters.
        clip: largest norm of all gradients together.
        accumulate: batches per step of the optimiser; all their cases weigh the same (a loss that is a ratio over the
            batch is the mean of the batches' ratios).
        loss: see ``make_loss``; that of the task if None.
        balance: ``"class_weights"`` gives rare classes a larger weight; ``"oversample"`` draws the cases of rare
            exclusive classes more often, so that an epoch has as many of each as of the largest (the training cases
            alone: validation cases never are); ``"smote"``, or ``{"smote": {…}}`` with the options of
            :class:`~pellucid.train.balance.Smote`, adds synthetic rows between training cases of a rare exclusive
            class, ``"mlsmote"`` of rare independent labels; None does nothing.
        augment: names, ``{name: options}`` or objects: see ``AUGMENTATIONS``.
        monitor: what the best epoch is the best of, on the validation cases: ``"loss"``, or ``"metric"``: accuracy and
            Dice, of which more is better, or RMSE, of which less is.
        patience: epochs without a better monitored number before training stops; None never stops it.
        delta: the least improvement that counts for ``patience``, in the monitored number's own units; the epoch
            that is kept is the best of all (see ``best_and_waited``).
        features: names of a table's columns.
        weights: ``"imagenet"`` or a file, to start from (see :func:`~pellucid.nets.start_from`); random if None.
        freeze: what is not trained: ``"backbone"`` for all but the head, or names of modules of the network
            (:mod:`~pellucid.train.freeze`). Their running statistics stay too.
        unfreeze: what is trained from which epoch on, from the head down: ``{"every": 3}``, or ``{0: "head", 3:
            ["layer4"], 6: "all"}`` (:mod:`~pellucid.train.unfreeze`); all of it from the start if None. For one device.
        normalise: ``"data"`` brings the inputs to mean 0 and sd 1 over the training cases, ``"imagenet"`` by the
            statistics with which ImageNet weights were trained (see ``imagenet_statistics``); ``"none"`` shows pictures
            as they are, and standardises tables alone.
        calibrate: fit a classifier's temperature on ``cases_val`` (:mod:`~pellucid.train.calibration`).
        precision: ``"float32"``, ``"bf16"``, or on a GPU ``"fp16"`` (with its loss scaled); the weights are float32 in
            all three.
        patch: of a segmentation, the size ``(*spatial)`` of what is cut out of the cases to train on
            (:class:`~pellucid.train.patches.Patches`); whole cases if None. The cases may then differ in size.
        patches: how many are cut out of each case in an epoch.
        windows: in which whole cases go through the network on validation, and from then on (``Predictor.windows``);
            windows of the size of ``patch`` if None.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        devices: how many of it, each in a process of its own that takes its share of every batch.
        seed: of the weights, the order and the augmentation.
        out: folder in which the state is kept; nothing is written if None.
        save_every: seconds between two states within an epoch; 0 writes one after every step.
        resume: go on from the state in ``out``, if there is one, at the step at which it was written.
        progress: a bar on standard error, silence, or a function that is told each epoch's record.

    Raises:
        UsageError: settings that do not fit, or (``resume``) are not those of the state.
        InputError: a case that does not fit, or a patient in both splits.
        ModelError: the training diverged; the state is damaged, or of a network that is built otherwise.
        KeyboardInterrupt: Ctrl-C; the state of the last step is in ``out``.
        Exception: what ``progress`` raises ends the training; the state of the epoch that it was told of is in ``out``.
    """
    plan = Plan(
        epochs=epochs, lr=lr, optimizer=optimizer, momentum=momentum, weight_decay=weight_decay, schedule=schedule,
        warmup=warmup, clip=clip, accumulate=accumulate, monitor=monitor, patience=patience, delta=delta,
        precision=precision,
        devices=devices, seed=seed, save_every=save_every,
    )  # fmt: skip
    where = training_device(device, plan)
    if unfreeze is not None:
        check_unfreeze(unfreeze, epochs=epochs)
        if devices > 1:
            raise UsageError(f"unfreeze is for one device, devices is {devices}; leave one of the two out")
    chosen = as_balance(balance)
    if chosen.smote is not None and chosen.smote.on == "embeddings" and devices > 1:
        mend = f"use {chosen.name}: {{on: pixels}}"
        raise UsageError(f"{chosen.name} on embeddings is for one device, devices is {devices}; {mend}")
    if normalise not in STATISTICS:
        raise UsageError(f"normalise is {normalise!r}; give {', '.join(map(repr, STATISTICS))}")
    if resume and out is None:
        raise UsageError("resume: give the folder of the interrupted training as out")
    check_split(cases_train, cases_val)
    if not cases_val:
        check_final(plan, calibrate=calibrate)
    windows = as_windows(dict(windows) if isinstance(windows, Mapping) else windows)
    check_patch(patch, patches, task=task, balance=chosen.name)
    cut = None
    if patch is not None:
        windows = windows or Windows(roi=tuple(patch))
        cut = Patches(patch, number=patches, windows=windows)
    settings: dict[str, Any] = {
        "network": network, "options": dict(options or {}), "inputs": list(inputs), "task": task,
        "classes": list(classes or ()), "activation": activation, "epochs": epochs, "batch_size": batch_size,
        "lr": lr, "optimizer": optimizer, "momentum": momentum, "schedule": _plain(schedule), "warmup": warmup,
        "weight_decay": weight_decay, "clip": clip, "accumulate": accumulate, "loss": _plain(loss),
        "balance": _plain(balance),
        "augment": [str(a) for a in augment], "monitor": monitor, "patience": patience, "delta": delta or None,
        "precision": precision,
        "devices": devices, "seed": seed, "n_train": len(cases_train), "n_val": len(cases_val),
        "cases": _digest(cases_train, cases_val), "weights": None, "freeze": None,
        "normalise": None if normalise == "data" else normalise,
        "patch": None if patch is None else [*patch, patches],
        "windows": None if windows is None else windows.describe(),
    }  # fmt: skip
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(), ExitStack() as stack:
        torch.manual_seed(seed)
        module = build_network(network, options)
        wanted = count_inputs(module)
        if wanted is not None and wanted != len(inputs):
            raise UsageError(f"network {network!r} takes {wanted} inputs, {len(inputs)} are named: {list(inputs)}")
        given: dict[str, Any] = {
            "inputs": inputs, "task": task, "classes": classes, "activation": activation, "features": features,
            "name": network, "windows": windows,
        }  # fmt: skip
        if weights is not None:
            settings["weights"] = start_from(module, weights, network=network)
        frozen = frozen_names(module, freeze) if freeze else []
        settings["freeze"] = frozen or None
        thaw = None if unfreeze is None else unfreezing(unfreeze, module, epochs=epochs, frozen=frozen)
        settings["unfreeze"] = None if thaw is None else thaw.plain()
        if thaw is None:
            warn_of_random(module, frozen, started=settings["weights"])
        else:
            warn_of_random(module, thaw.held(module, 0), started=settings["weights"], option="unfreeze")
            frozen = thaw.held(module, epochs)
        # Twice: the first one checks that the cases have the inputs before statistics are made of them.
        train = columns(cases_train, Predictor(module, **given), axes=None if patch is None else len(patch))
        predictor = Predictor(module, **given, normalise=STATISTICS[normalise](cases_train, inputs))
        val = columns(cases_val, predictor, axes=len(windows.roi) if windows else None) if cases_val else None
        if val is not None:
            _check_sizes(train, val)
        check_missing(module, train, smote=chosen.smote, in_parts=patch is not None or windows is not None)
        rare = drawn = smote_of = None
        names = predictor.classes
        if chosen.name == "oversample":
            drawn = classes_to_draw(torch.stack(train[TRUTH]), predictor)
        elif chosen.smote is not None:
            smote_of = prepare(train, predictor, options=chosen.smote, seed=seed)
            train, settings["smote"] = smote_of.columns, smote_of.facts
        elif chosen.name is not None:
            truths = torch.stack(train[TRUTH])
            rare = class_weights(truths, activation=predictor.activation, classes=len(names), names=names)
        state = (State.load(folder, settings) if resume and folder is not None else None) or State(settings)
        if state.weights:
            _load(module, state.weights, folder)
        lay_out(module, last=True)
        pin = where.type == "cuda"
        batches = Batches(
            train, batch_size=batch_size, seed=seed, augment=as_augmentations(augment), pin=pin, oversample=drawn,
            patches=cut,
        )  # fmt: skip
        # Whole cases of several sizes do not stack: in windows they go one by one.
        val_batches = None if val is None else Batches(val, batch_size=1 if windows else batch_size, pin=pin)
        training = TrainingModule(
            predictor, make_loss(predictor, name=loss, weights=rare), held=hold(module, frozen), at_once=batch_size
        )
        check_output(training, batches if cut is not None else val_batches or batches)
        smote = None
        if smote_of is not None and smote_of.on == "embeddings":
            training.entry = [entry_of(training, batches.first(2))]
            smote = Embedded(batches, smote_of, seed=seed)
        if not state.done:
            report = stack.enter_context(bar(progress, epochs=epochs, start=len(state.history), metric=METRICS[task]))
            if devices > 1 and folder is None:  # the processes hand their result over in a file
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            loop = Loop(
                plan, batches, val_batches, state, folder=folder, stop=threading.Event(), tell=report, thaw=thaw,
                smote=smote,
            )  # fmt: skip
            try:
                launch(loop, training, device=where)
            except Interrupted:
                raise KeyboardInterrupt from None
            if devices > 1 and folder is not None:
                state = State.load(folder, settings) or state
        _load(module, state.best, folder)
        lay_out(module.cpu().eval(), last=False)
        hold(module, ())
        thresholds, calibration = None, None
        if val_batches is not None and task == "classification" and predictor.activation != "identity":
            output, truth = outputs(training.cpu(), val_batches, torch.device("cpu"))
            thresholds, calibration = choose_answers(
                predictor, truth, output, groups=[c.group or c.id for c in cases_val], calibrate=calibrate, seed=seed
            )
    history = pd.DataFrame(state.history).astype({"epoch": int})
    if thaw is not None:
        history["trained"] = [", ".join(thaw.trained(epoch)) for epoch in range(len(history))]
    return Trained(
        predictor,
        history,
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


def _load(module: nn.Module, weights: Mapping[str, Tensor], folder: Path | None) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"resume: the weights in {folder} are of a network that is built otherwise "
            f"({str(error).splitlines()[1].strip().rstrip('.')}). Give that network's options, or another folder"
        ) from error


def _check_sizes(train: Mapping[str, Sequence[Tensor]], val: Mapping[str, Sequence[Tensor]]) -> None:
    for name, (first, *_) in train.items():
        if name.startswith(MISSING):
            continue
        other = val[name][0]
        if name != TRUTH and first.shape[:1] != other.shape[:1]:
            raise InputError(
                f"input {name!r} has {first.shape[0]} channels in the training cases and {other.shape[0]} in the "
                "validation cases"
            )


def _plain(named: Any) -> Any:
    return {k: dict(v or {}) for k, v in named.items()} if isinstance(named, Mapping) else named


def _digest(*parts: Sequence[Case]) -> str:
    """Of the cases' ids, sizes and truths (of a mask at some places): the same ids may be of other labels."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} cases\n".encode())
        for case in part:
            truth = case.truth
            if isinstance(truth, Tensor):
                truth = (tuple(truth.shape), truth.reshape(-1)[:: max(1, truth.numel() // PLACES)].tolist())
            sizes = {name: tuple(value.shape) for name, value in case.inputs.items()}
            lacks = f"\t{case.missing}" if case.missing else ""
            digest.update(f"{case.id}\t{sizes}\t{truth}{lacks}\n".encode())
    return digest.hexdigest()[:16]
