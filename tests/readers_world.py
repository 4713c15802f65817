"""A run whose maps are known to be good or bad, and readers who behave as they are told."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from pellucid.readers import study_form
from pellucid.readers.items import NAMES
from report import run_folder

TASK = "classification"
WORTH = {"grad_cam": 5, "integrated_gradients": 4, "saliency": 2, "edge": 1, "random": 1}


def run(folder, *, n=8, methods=("grad_cam", "saliency", "random")):
    """``n`` patients; the metric ``pointing_game`` is what each map is worth, ``deletion_auc`` the opposite."""
    made = run_folder.build(folder, TASK, bare=True)
    found = run_folder.cases(TASK, n=n)
    scores = []
    for case in found:
        maps = [a.replace(maps={"ct": a.maps["ct"]}) for a in run_folder.maps(TASK, case) if a.method in methods]
        made.put_maps(TASK, case, maps)
        for a in maps:
            worth = planted(case.id, a.method)
            scores += [
                {"case": case.id, "group": case.group, "method": a.method, "target_index": 1, "target": "x",
                 "metric": metric, "value": sign * worth, "reason": ""}
                for metric, sign in (("pointing_game", 1), ("deletion_auc", -1))
            ]  # fmt: skip
    made.put_table("data", TASK, pd.DataFrame([
        {"case": c.id, "part": "test", "group": c.group, "truth": str(c.truth)} for c in found]))  # fmt: skip
    made.put_table("scores", TASK, pd.DataFrame(scores))
    return made


def planted(case_id, method):
    """What a map is worth: its method, and a half more in every second case."""
    return WORTH[method] + 0.5 * (int(case_id.rsplit("-", 1)[1]) % 2)


def form(folder, monkeypatch, **options):
    """A study whose pictures are not drawn."""
    monkeypatch.setattr("pellucid.readers.form.picture_of", lambda stage: "data:image/png;base64,AAAA")
    monkeypatch.setattr("pellucid.readers.form.map_of", lambda stage, a: f"data:image/png;base64,{id(a)}")
    return study_form(folder, **({"seed": 5, "cases": 8, "repeat": 0.25} | options))


def answers(made, folder, rate, *, readers=None, name="answers"):
    """A file for every reader; ``rate(entry, item)`` gives a rating, or None to leave it out."""
    key = json.loads(Path(made.key).read_text())
    files = []
    for reader in readers or range(1, key["readers"] + 1):
        rows = []
        for entry in key["entries"]:
            given = {i: rate(entry, i) for i in NAMES} if entry["reader"] == reader else {}
            given = {i: int(v) for i, v in given.items() if v is not None}
            if given:
                rows.append({"map": entry["map"], "ratings": given, "comment": ""})
        files.append(Path(folder) / f"{name}-{reader}.json")
        content = {"format": 1, "study": made.study, "reader": reader, "answers": rows}
        files[-1].write_text(json.dumps(content))
    return files


def truthful(entry, item):
    """Rates what the map is worth."""
    return min(5, int(np.ceil(planted(entry["case"], entry["method"]))))
