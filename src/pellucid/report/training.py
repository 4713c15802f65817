"""How the model of a run was trained, in sentences beside its learning curve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pellucid.report.pieces import listed
from pellucid.study.store import Run

SHOWN_AS = {
    "imagenet": "Pictures are standardised with ImageNet's mean and sd.",
    "none": "Pictures are shown to the network as they are.",
}


def training_notes(run: Run, task: str) -> list[str]:
    """Sentences from the settings that the trained model was written with; none where no model was trained."""
    path = run.folder / "model" / task / "model.json"
    if not path.is_file():
        return []
    info = json.loads(path.read_text("utf-8")).get("info", {})
    settings = info.get("settings")
    if not settings:
        return []
    shown = SHOWN_AS.get(settings.get("normalise") or "", "")
    said = [
        _steps(settings), shown, _augmentation(settings.get("augment") or []),
        _balance(settings), _trained(settings, len(run.table("history", task))),
    ]  # fmt: skip
    return [s for s in said if s]


def _steps(s: Mapping[str, Any]) -> str:
    schedule = s["schedule"] if isinstance(s["schedule"], str) else next(iter(s["schedule"]))
    decay = f", weight decay {s['weight_decay']:g}" if s.get("weight_decay") else ""
    loss = s.get("loss")
    name = "" if loss is None else f", {(loss if isinstance(loss, str) else next(iter(loss))).replace('_', ' ')} loss"
    rate = f"learning rate {s['lr']:g} ({schedule}){decay}"
    return f"Optimiser {s['optimizer']}, {rate}, batches of {s['batch_size']}{name}."


def _augmentation(names: list[str]) -> str:
    if not names:
        return ""
    plain = str.maketrans("", "", "{}'")
    said = "; ".join(name.translate(plain) for name in names)
    return f"Training pictures are changed at random in every epoch ({said}); no others are."


def _balance(s: Mapping[str, Any]) -> str:
    asked = s.get("balance")
    name = asked if isinstance(asked, str) or asked is None else next(iter(asked))
    if name == "class_weights":
        return "Rare classes weigh more in the loss (class_weights)."
    if name == "oversample":
        return "Training cases of rare classes are drawn more often (oversample); validation and test cases are not."
    if name not in ("smote", "mlsmote"):
        return ""
    options = asked[name] or {} if isinstance(asked, Mapping) else {}
    facts = s.get("smote") or {"rows": {}, "neighbours": {}}
    if not facts["rows"]:
        return f"{name.upper()} had nothing to add."
    rows = listed([f"{n} of {k!r} (of {facts['neighbours'][k]} neighbours)" for k, n in facts["rows"].items()])
    if options.get("on") == "pixels":
        what = "made synthetic training cases between real ones, once"
    else:
        what = "adds synthetic rows in front of the network's head in every epoch, between training cases' embeddings"
    return f"{name.upper()} {what}: {rows}. Validation and test have none."


def _trained(s: Mapping[str, Any], epochs: int) -> str:
    frozen = f"Not trained: {listed(list(s['freeze']))}." if s.get("freeze") else ""
    if not s.get("unfreeze"):
        return frozen
    phases = s["unfreeze"]["phases"]
    parts = [
        f"{listed(names)} {'from the start' if after == 0 else f'from epoch {after + 1} on'}"
        for after, names in phases if after < epochs
    ]  # fmt: skip
    late = [name for after, names in phases if after >= epochs for name in names]
    factor = s["unfreeze"]["lr_factor"]
    slower = f", each at {factor:g} of the rate of the one before" if factor != 1 else ""
    never = f" The training ended before the turn of {listed(late)} came." if late else ""
    return f"Trained from the head down: {'; '.join(parts)}{slower}.{never} {frozen}".strip()
