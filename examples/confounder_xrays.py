"""A letter laid on real chest X-rays: does a run find it in a model that reads it, and is it silent without it?

A logistic regression on the pixels stands for the model, so that twenty of them take a minute. The X-rays (NIH
ChestX-ray14, a table of files and labels) are not part of Pellucid.

    python examples/confounder_xrays.py --root ../shared/data/chestxray_nih --seeds 20
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression

from pellucid.api import explain_many
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.data.registry import DATASETS
from pellucid.data.synthetic.parts import token_mask
from pellucid.engine import Engine
from pellucid.evaluate.cohort.shortcut import shortcuts

SIZE, TEST = 56, 40


def load(root: Path) -> list[Case]:
    """Every second X-ray of the table, small, in [0, 1]."""
    cases = DATASETS["manifest"](
        root, csv="labels_224.csv", images="images_224.zip", label="pneumonia", classes=["none", "pneumonia"],
        group="patient_id", size=SIZE, channels=1,
    )  # fmt: skip
    found = []
    for c in list(cases)[::2]:
        x = c.inputs["image"]
        found.append(c.replace(inputs={"image": (x - x.min()) / (x.max() - x.min()).clamp(min=1e-6)}))
    return found


def run(chests: list[Case], agreement: float | None, seed: int) -> tuple[pd.DataFrame, set[str], float]:
    """Fit, explain and look: the findings, the test cases that show the letter, and the accuracy."""
    rng = np.random.default_rng(seed)
    token = torch.tensor(token_mask(SIZE) > 0)
    cases, shows = [], set()
    for i in rng.permutation(len(chests)):
        case = chests[i]
        if agreement is not None and (case.truth == 1) == (rng.random() < agreement):
            x = case.inputs["image"].clone()
            x[:, token] = 1.0
            case = case.replace(inputs={"image": x})
            shows.add(case.id)
        cases.append(case)
    test = cases[:TEST]
    people = {c.group for c in test}
    train = [c for c in cases[TEST:] if c.group not in people]

    def flat(group: list[Case]) -> np.ndarray:
        return torch.stack([c.inputs["image"].flatten() for c in group]).numpy()

    fitted = LogisticRegression(C=0.02, max_iter=500).fit(flat(train), [c.truth for c in train])
    right = float(fitted.score(flat(test), [c.truth for c in test]))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIZE * SIZE, 1))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor(fitted.coef_))
        net[1].bias.copy_(torch.tensor(fitted.intercept_))
    predictor = Predictor(net.eval(), inputs=["image"], task="classification", classes=["pneumonia"])
    maps: dict[str, list[Attribution]] = {}
    for a in explain_many(predictor, test, methods=["saliency", "input_x_gradient", "random", "edge"]):
        maps.setdefault(a.case_id, []).append(a)
    rows = shortcuts(Engine(predictor), test, maps.__getitem__)
    return rows, shows & {c.id for c in test}, right


def main() -> None:
    """Print one line a model, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    chests, token = load(options.root), token_mask(SIZE) > 0
    for agreement in (None, 0.5, 0.95):
        hits = others = named_all = shown_all = both = 0
        accuracy = []
        for seed in range(options.seeds):
            rows, shows, right = run(chests, agreement, seed)
            accuracy.append(right)
            for r in rows[rows["kind"] == "shortcut"].to_dict("records"):
                box = tuple(slice(*map(int, part.split(":"))) for part in r["box"].split(","))
                if agreement is not None and token[box].sum() == token.sum():
                    named = set(r["cases"].split(","))
                    hits, both = hits + 1, both + len(named & shows)
                    named_all, shown_all = named_all + len(named), shown_all + len(shows)
                else:
                    others += 1
        print(
            f"letter agrees {agreement}: accuracy {np.mean(accuracy):.2f}; {hits} of {options.seeds} runs name it, "
            f"{others} name another place; cases named {named_all}, that show it {shown_all}, both {both}", flush=True
        )  # fmt: skip


if __name__ == "__main__":
    main()
