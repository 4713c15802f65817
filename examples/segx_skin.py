"""What SegX hides on made dermoscopy, where it is known what the network uses.

Reads the models of a run of recipes/segx-dermoscopy.yaml: two networks of one kind, of which one was trained with
rulers beside nine of ten malignant lesions and the other with rulers by chance. New patients are drawn, each with and
without a ruler, all else the same: the change of the answer says how much a network uses the ruler. Then what the true
mask of the lesion hides of the maps of both, and of a random map.

    pellucid run recipes/segx-dermoscopy.yaml
    python examples/segx_skin.py --run runs/segx-dermoscopy
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import pellucid as pc
from pellucid.core.statistics import draws_of, interval
from pellucid.data.synthetic import make
from pellucid.nets import load_predictor
from pellucid.report.shade import scale_of
from pellucid.report.style import QUIET, canvas, house_style, png

SIZE, SEED, FIRST, NEW = 96, 42, 400, 40  # as the recipe has it; its 400 patients come before the new ones
NETWORKS = {"diagnosis": "trained with a ruler that tells", "chance": "trained with rulers by chance"}
CAM = "grad_cam"
METHOD = {"integrated_gradients": {"baseline": "blur", "n_steps": 24}}
METHODS: list[Any] = [CAM, METHOD, "random"]


def patient(index: int, *, shown: bool) -> pc.Case:
    """A new patient with the ruler or without it; hairs, frame, lesion and noise are the same."""
    label = int(make("dermoscopy", n=1, seed=SEED, size=16, start=index)[0].truth)  # type: ignore[arg-type]
    agrees = 1.0 if shown == bool(label) else 0.0
    return make("dermoscopy", n=1, seed=SEED, size=SIZE, start=index, confounder=agrees)[0]


def probabilities(predictor: pc.Predictor, cases: list[pc.Case]) -> NDArray[np.float64]:
    """Of malignant."""
    return predictor.probabilities(pc.Engine(predictor).predict(cases))[:, 1].double().numpy()


def answers(predictor: pc.Predictor, shown: list[pc.Case], bare: list[pc.Case]) -> dict[str, float]:
    """Accuracy with the ruler where the training had it, where it had not, and the change that the ruler makes."""
    truth = np.array([int(c.truth) for c in shown])  # type: ignore[arg-type]
    with_it, without = probabilities(predictor, shown), probabilities(predictor, bare)
    tells, lies = np.where(truth == 1, with_it, without), np.where(truth == 1, without, with_it)
    return {
        "accuracy, ruler on the malignant": float(((tells > 0.5) == truth).mean()),
        "accuracy, ruler on the benign": float(((lies > 0.5) == truth).mean()),
        "change of P(malignant) by the ruler": float(np.abs(with_it - without).mean()),
    }


def hidden(predictor: pc.Predictor, cases: list[pc.Case]) -> list[dict[str, Any]]:
    """What the lesion's true mask hides of the evidence for malignant, by method and case."""
    rows = []
    by_id = {c.id: c for c in cases}
    for a in pc.explain_many(predictor, cases, methods=METHODS, targets=["malignant"]):
        case = by_id[a.case_id]
        positive = a.spatial("image").double().clamp(min=0)
        if not float(positive.sum()):
            continue  # no evidence for malignant: nothing is hidden of nothing
        seen = pc.segx(a, "lesion", case=case)
        rows.append({
            "method": a.method, "case": case.id, "hidden": seen.refinement["discarded_mass"],
            "on the ruler": float(positive[case.regions["ruler"]].sum() / positive.sum()),
            "fails": seen.checks["inside"].status == "fail",
        })  # fmt: skip
    return rows


def draw(models: dict[str, pc.Predictor], shown: pc.Case, bare: pc.Case, outline: NDArray, path: Path) -> None:
    """One malignant lesion, seen by both networks: the map, what SegX leaves of it, and of a random map."""
    picture = shown.inputs["image"].permute(1, 2, 0).numpy()
    lesion = shown.regions["lesion"].numpy()
    with house_style():
        figure = canvas(8.6, 5.0)
        for line, (name, title) in zip(figure.subplots(2, 4), NETWORKS.items()):
            p, q = (float(probabilities(models[name], [c])[0]) for c in (shown, bare))
            maps = {
                a.method: a
                for a in pc.explain_many(models[name], [shown], methods=[METHOD, "random"], targets=["malignant"])
            }
            plain, chance = maps["integrated_gradients"], maps["random"]
            panels = [("its map", plain)]
            panels += [
                (f"{k}, through the mask", pc.segx(a, "lesion", case=shown))
                for k, a in (("its map", plain), ("a random map", chance))
            ]
            line[0].imshow(picture)
            line[0].contour(lesion, levels=[0.5], colors=["#56b4e9"], linewidths=1.2)
            line[0].contour(outline, levels=[0.5], colors=["white"], linewidths=0.9, linestyles=["dashed"])
            line[0].set_title(title, fontsize=8.5, loc="left")
            line[0].set_xlabel(f"P(malignant) {p:.2f}, without the ruler {q:.2f}", fontsize=7.5, color=QUIET)
            for axis, (text, a) in zip(line[1:], panels):
                values = a.spatial("image").clamp(min=0).numpy()
                # Colours of its own for each, as figures of masked maps have them: that is what flatters.
                axis.imshow(np.clip(scale_of([values], signed=False).over(picture, values), 0, 1))
                axis.contour(lesion, levels=[0.5], colors=["#56b4e9"], linewidths=1.0)
                axis.set_title(text, fontsize=8.5, loc="left")
                if a.refinement:
                    said = f"the mask hides {100 * a.refinement['discarded_mass']:.0f} % of the evidence"
                    axis.set_xlabel(said, fontsize=7.5, color=QUIET)
            for axis in line:
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(figure))


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/segx-dermoscopy"))
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/segx_skin.png"))
    options = parser.parse_args()
    models = {name: load_predictor(options.run / "model" / name) for name in NETWORKS}
    unet = load_predictor(options.run / "model" / "lesions")
    shown = [patient(FIRST + i, shown=True) for i in range(NEW)]
    bare = [patient(FIRST + i, shown=False) for i in range(NEW)]
    malignant = [i for i, c in enumerate(shown) if c.truth == 1]
    for name, title in NETWORKS.items():
        print(f"{name}: {title}")
        for what, value in answers(models[name], shown, bare).items():
            print(f"  {what:38} {value:.2f}")
        rows = pd.DataFrame(hidden(models[name], [shown[i] for i in malignant]))
        for method, own in rows.groupby("method", sort=False):
            values = own["hidden"].to_numpy()
            low, high, _ = interval(values, np.arange(len(own)), draws_of(len(own), 2000, 0))
            there = f"on the ruler {own['on the ruler'].mean():.2f}, inside fails in {int(own['fails'].sum())}"
            print(f"  {method}: n {len(own)}, hidden {values.mean():.2f} [{low:.2f}, {high:.2f}], {there}")
    share = np.mean([1 - float(shown[i].regions["lesion"].double().mean()) for i in malignant])
    print(f"the masks hide {share:.2f} of the pictures")
    first = malignant[0]
    outline = unet.labels(pc.Engine(unet).predict([shown[first]]))[0].bool().numpy()
    draw(models, shown[first], bare[first], outline, options.out)


if __name__ == "__main__":
    main()
