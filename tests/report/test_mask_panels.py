"""Does the mask help, and how good has it to be: sentences made from the tables, and what is not claimed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pellucid.evaluate.cohort.quality import by_mask_dice
from pellucid.evaluate.cohort.refined import pairs_of, refined
from pellucid.report.detectors import detector_panel
from pellucid.report.helps import helps_panels
from pellucid.report.mask_quality import mask_quality_panel
from pellucid.study.store import Run

METRICS = {"pointing_game": {"question": "plausibility"}, "deletion_auc": {"question": "faithfulness"}, "segu": {"question": "certainty"}}
ORDER = ["cam", "saliency", "random"]


def a_run(folder: Path, **recipe) -> Run:
    return Run.create(folder, {"recipe": {"tasks": [{"name": "t", **recipe}]}, "recipe_hash": "0", "metrics": METRICS})


def scores(n: int = 20, *, control: bool = True, gains=(("cam", 0.3), ("saliency", 0.1), ("random", 0.1))) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for metric, sign in (("pointing_game", 1), ("deletion_auc", 1), ("segu", 0)):
        for method, gain in gains if control else gains[:-1]:
            plain = rng.normal(0.5 if method != "random" else 0.2, 0.02, n)
            for name, values in ((method, plain), (f"segx({method})", plain + sign * gain + (sign != 0) * rng.normal(0, 0.005, n))):
                rows += [{"case": f"c{i}", "group": f"g{i}", "target_index": 0, "method": name, "metric": metric, "value": v}
                         for i, v in enumerate(values)]  # fmt: skip
    return pd.DataFrame(rows)


def helped(folder: Path, table: pd.DataFrame) -> dict:
    run = a_run(folder)
    run.put_table("refined", "t", refined(table, pairs_of(table["method"], ["segx"]), n_boot=200))
    (found,) = helps_panels(run, "t", ORDER)
    return found


def test_what_the_mask_adds_is_said_beside_what_it_adds_to_a_random_map(tmp_path: Path):
    found = helped(tmp_path / "r", scores())
    assert found["title"] == "Does the mask help?"
    (pointing, deletion) = found["points"]
    assert pointing.startswith("pointing game ↑: masking helps 2 of 2; a random map changes by +0.")
    assert "1 of the 2 that it helps (cam) gains more" in pointing  # saliency gains as much as the random map
    assert "masked, 2 of 2 are better than the masked random map" in pointing
    assert deletion.startswith("deletion auc ↓: masking helps none of 2 and costs 2 of 2")  # lower is better
    assert found["line"] == "in 2 of 4 pairs of measure and method it helps, in 1 of these more than it helps a random map; in 2 it costs."
    assert any("Not compared: segu" in n for n in found["notes"])
    assert found["picture"]["uri"].startswith("data:image/png") and "cam 0.5" in found["picture"]["alt"]
    names = [r["name"] for r in found["table"]["rows"]]
    assert names == ORDER and [r["control"] for r in found["table"]["rows"]] == [False, False, True]
    assert all(len(r["cells"]) == len(found["table"]["head"]) - 1 for r in found["table"]["rows"])


def test_few_patients_and_no_control_are_said(tmp_path: Path):
    few = helped(tmp_path / "few", scores(4))
    assert few["line"] == "only 4 patients: too few to say."
    assert "nothing is claimed (4 patients: too few to tell from chance)" in few["points"][0]
    alone = helped(tmp_path / "alone", scores(control=False))
    assert any("No random map was masked" in n for n in alone["notes"])
    assert "more than it helps a random map" not in alone["line"]
    assert helps_panels(a_run(tmp_path / "none"), "t", ORDER) == []


def quality(n: int = 12, truth: bool = True) -> pd.DataFrame:
    rows = []
    for i in range(n):
        for method, slope in (("cam", 1.0), ("random", 0.5)):
            same = {"case": f"c{i}", "group": f"g{i}", "target_index": 0, "method": method, "reference": "lungs" if truth else "body"}
            for kind, dice in (("none", 0.95 if truth else 1.0), *(("erosion", d) for d in (0.5, 0.6, 0.8)), ("shift", 0.8)):
                lost = 0.0 if kind == "none" else slope * (1 - dice)
                for measure, value in (("top_iou", 1 - lost + 0.001 * i), ("segu", 0.5 - lost / 2)):
                    rows.append({**same, "kind": kind, "level": 1, "draw": 0, "mask_dice": dice, "measure": measure, "value": value})
    return pd.DataFrame(rows)


def judged(folder: Path, table: pd.DataFrame, **recipe) -> list[dict]:
    run = a_run(folder, **recipe)
    run.put_table("segmentation_quality", "t", table)
    run.put_table("segmentation_quality_summary", "t", by_mask_dice(table, n_boot=100))
    return mask_quality_panel(run, "t", ORDER)


def test_how_good_the_mask_has_to_be_is_said_at_a_dice_of_eight_tenths(tmp_path: Path):
    main, by_kind = judged(tmp_path / "r", quality(), refine=[{"segx": {"mask": "body", "top": 0.1}}])
    assert main["points"][0].startswith(
        "At a mask Dice of about 0.8 the top 10 % of the SegX map of cam shares 81 % [80, 81] with that of the mask as it was"
    )
    assert "SegU certainty is 0.400 [0.400, 0.400], from 0.500." in main["points"][0]
    assert "of random shares 91 %" in main["points"][1] and main["line"] == main["points"][0]
    assert any("Dice of 0.950 with lungs" in n for n in main["notes"])
    assert "cam, Dice 0.8" in [r["name"] for r in main["table"]["rows"]]
    assert by_kind["picture"]["alt"].startswith("By the Dice of the mask. erosion:") and "shift" in by_kind["picture"]["alt"]


def test_without_a_true_region_or_patients_less_is_said(tmp_path: Path):
    main, _ = judged(tmp_path / "own", quality(truth=False))
    assert any("No true region was compared with" in n for n in main["notes"]) and "the top 5 %" in main["line"]
    few = judged(tmp_path / "few", quality(3))
    assert few[0]["line"] == "no intervals to speak of." and few[0]["picture"] is None and few[0]["points"] == []
    assert mask_quality_panel(a_run(tmp_path / "none"), "t", ORDER) == []


def test_certainty_is_set_beside_the_models_own_confidence(tmp_path: Path):
    run = a_run(tmp_path / "r")
    row = {"metric": "segu", "n": 60, "wrong": 20, "low": 0.7, "high": 0.9, "p": 0.001, "aurc": 0.1, "e_aurc": 0.05, "note": "", "confidence": 0.6,
           "random": 0.5, "over_random": 0.3, "over_random_low": 0.2, "over_random_high": 0.4}  # fmt: skip
    rows = [row | {"method": "cam", "auroc": 0.8, "over_confidence": 0.2, "over_confidence_low": 0.1, "over_confidence_high": 0.3},
            row | {"method": "saliency", "auroc": 0.7, "over_confidence": 0.1, "over_confidence_low": -0.1, "over_confidence_high": 0.3}]  # fmt: skip
    run.put_table("detector", "t", pd.DataFrame(rows))
    (found,) = detector_panel(run, "t", ORDER)
    assert found["line"].endswith("The model’s own confidence: 0.600 on the same predictions; 1 of 2 is better than it (segu of cam).")
    numbers = dict(found["more"])["The numbers"]
    at = numbers["head"].index("less confidence") - 1
    assert numbers["rows"][0]["cells"][at] == {"text": "0.200", "small": "[0.100, 0.300]"}
