"""Real boxes and masks: two radiologists' boxes of one finding against each other, and what chance gives on them."""

from __future__ import annotations

import csv
from collections import defaultdict

import numpy as np
import pytest
import torch
from PIL import Image

from metric_worlds import attribution, of
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.evaluate.run import as_metric

pytestmark = pytest.mark.real

NAMES = ("iou", "iou_best", "iou_matched", "dice_matched", "rank_accuracy", "auroc", "average_precision", "pointing_game",
         "mass_accuracy", "effective_heat_ratio", "segu", "segu_matched", "hit_rate", "mass_in_mask")  # fmt: skip


def scores(maps, mask, metrics=NAMES, spacing=None):
    """The metrics of a map made by hand, beside a region."""
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    predictor = Predictor(net, inputs=["x"], task="classification", classes=["finding"], activation="sigmoid")
    case = Case(id="r", inputs={"x": torch.zeros(1, *maps.shape)}, regions={"lesion": mask}, spacing=spacing)
    found = of(predictor, case, [attribution(case, {"x": maps[None]})]).view(0).scores([as_metric(m) for m in metrics])
    return {k: s.value for k, s in found.items()}


def readers(folder) -> dict[str, list[torch.Tensor]]:
    """The union of each reader's boxes, of the images that both drew on, ``(1024, 1024)``."""
    drawn = defaultdict(dict)
    with (folder / "boxes.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            mask = drawn[row["image"]].setdefault(row["source"], torch.zeros(1024, 1024, dtype=torch.bool))
            x, y, w, h = (float(row[k]) for k in "xywh")
            mask[round(y) : round(y + h), round(x) : round(x + w)] = True
    return {image: list(masks.values()) for image, masks in drawn.items() if len(masks) == 2}


def test_one_reader_s_boxes_as_a_map_score_what_the_boxes_say(shared_data):
    """A flat box: everything follows from the areas of the two readers' boxes and of their intersection."""
    both = readers(shared_data / "chestxray_nih")
    assert len(both) == 8
    ious = []
    for a, b in both.values():
        found = scores(a.float(), b, ("iou", "iou_best", "dice", "pointing_game", "mass_accuracy", "auroc", "iou_over_thresholds"))
        inside, n_a, n_b, n = (float(v) for v in ((a & b).sum(), a.sum(), b.sum(), a.numel()))
        overlap = inside / (n_a + n_b - inside)
        assert found["iou"] == found["iou_best"] == pytest.approx(overlap)
        assert found["iou_over_thresholds"] == pytest.approx(overlap)
        assert found["dice"] == pytest.approx(2 * inside / (n_a + n_b))
        assert found["pointing_game"] == found["mass_accuracy"] == pytest.approx(inside / n_a)
        sensitivity, specificity = inside / n_b, 1 - (n_a - inside) / (n - n_b)
        assert found["auroc"] == pytest.approx((sensitivity + specificity) / 2)
        ious.append(overlap)
    assert 0.1 < min(ious) < 0.3 and 0.65 < max(ious) < 0.8  # the readers disagree: what any map is measured against


def test_a_tolerance_in_millimetres_on_a_real_box(shared_data):
    a, b = max(readers(shared_data / "chestxray_nih").values(), key=lambda pair: float((pair[0] & pair[1]).sum()))
    rows = torch.nonzero(b.any(1)).flatten()
    above = torch.zeros(1024, 1024)
    column = int(torch.nonzero(b[rows[0]]).flatten().median())
    above[int(rows[0]) - 20, column] = 1.0  # 20 rows over the box: 2.8 mm with detector pixels of 0.14 mm
    asked = [{"pointing_game": {"tolerance_mm": mm}} for mm in (2.7, 2.9)]
    assert list(scores(above, b, asked, spacing=(0.14, 0.14)).values()) == [0.0, 1.0]
    assert a.shape == b.shape


def test_dark_skin_lesions_are_found_by_darkness_and_not_by_chance(shared_data):
    """Pigmented lesions are darker than the skin: a map of darkness beats noise on every expert mask."""
    folder = shared_data / "dermoscopy_ham10000_NC"
    better = defaultdict(list)
    for path in sorted((folder / "masks").glob("*.png")):
        mask = torch.from_numpy(np.array(Image.open(path).convert("L")) > 127)
        grey = torch.from_numpy(np.array(Image.open(folder / "images" / f"{path.stem}.jpg").convert("L"))).float()
        share = float(mask.double().mean())
        dark = scores(grey.max() - grey, mask)
        noise = scores(torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)), mask)
        assert noise["auroc"] == pytest.approx(0.5, abs=0.01)
        for name in ("rank_accuracy", "average_precision", "mass_accuracy", "effective_heat_ratio", "hit_rate"):
            assert noise[name] == pytest.approx(share, abs=0.02), name
        assert all(np.isfinite(list(dark.values())))
        for name, value in dark.items():
            better[name].append(value > noise[name])
    assert len(better["auroc"]) == 5
    for name in ("auroc", "rank_accuracy", "average_precision", "iou_best", "effective_heat_ratio"):
        assert all(better[name]), name
