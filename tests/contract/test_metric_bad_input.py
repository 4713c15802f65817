"""What every registered metric says to bad input: a number in its range, or NaN with a reason; it never falls over."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import nn

from metric_worlds import of
from pellucid.api import evidence_of, explain
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.metric import METRICS
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.errors import InputError
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.run import as_metric

OF_THE_MODEL = ("ablation_share", "shapley_share")  # the same for any map
OF_THE_ACCOUNT = ("seconds", "evaluations", "peak_memory")


class Net(nn.Module):
    """Mean features of every picture and a table; with ``deaf``, its output is the same for every input."""

    def __init__(self, axes: int, pictures: int, table: int, out: int, deaf: bool) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.convs = nn.ModuleList(conv(1, 3, 3, padding=1) for _ in range(pictures))
        self.table = nn.Linear(table, 3) if table else None
        self.head = nn.Linear(3 * (pictures + bool(table)), out)
        self.deaf = deaf

    def forward(self, *x: torch.Tensor) -> torch.Tensor:
        seen = [torch.tanh(c(v)).flatten(2).mean(2) for c, v in zip(self.convs, x)]
        if self.table is not None:
            seen.append(torch.tanh(self.table(x[-1])))
        out = self.head(torch.cat(seen, 1))
        return 0 * out + self.head.bias if self.deaf else out


def made(
    shape: tuple[int, ...] = (10, 10), *, pictures: int = 1, table: int = 0, out: int = 3,
    task: str = "classification", deaf: bool = False, fill: float | None = None,
) -> tuple[Predictor, Case]:  # fmt: skip
    torch.manual_seed(0)
    net = Net(len(shape), pictures, table, out, deaf).eval()
    inputs = {f"im{i}": torch.randn(1, *shape) if fill is None else torch.full((1, *shape), fill) for i in range(pictures)}
    if table:
        inputs["tab"] = torch.randn(table)
    lesion = torch.zeros(shape, dtype=torch.bool)
    lesion[tuple(slice(0, max(1, n // 2)) for n in shape)] = True
    classes = [] if task == "regression" else [f"c{i}" for i in range(out)]
    predictor = Predictor(net, inputs=list(inputs), task=task, classes=classes)
    return predictor, Case(id="b", inputs=inputs, regions={"lesion": lesion} if pictures else {})


def given(change: Callable[[Attribution], Attribution], again: Callable[[Attribution], Attribution] | None = None, **world) -> Evidence:
    """Evidence of a changed map that is made again as it is, or as ``again`` changes it."""
    p, case = made(**world)
    a = explain(p, case, method="saliency")
    b = (again or change)(a)
    return of(p, case, [change(a), a], [lambda engine, cases, bound, **more: [b] * len(cases)] * 2, steps=5)


def real(methods: tuple[str, ...] = ("input_x_gradient", "random"), **world) -> Evidence:
    p, case = made(**world)
    return evidence_of(Engine(p), case, [explain(p, case, method=m, seed=1) for m in methods], steps=5)


def hole(a: Attribution) -> Attribution:
    m = a.maps["im0"].clone()
    m[0, 2, 2] = math.nan
    return a.replace(maps={**a.maps, "im0": m})


def maps(**new: torch.Tensor) -> Callable[[Attribution], Attribution]:
    return lambda a: a.replace(maps={**a.maps, **new})


def same(a: Attribution) -> Attribution:
    return a


def masked(mask: torch.Tensor | None) -> Evidence:
    p, case = made()
    case = case.replace(regions={} if mask is None else {"lesion": mask})
    return evidence_of(Engine(p), case, [explain(p, case, method="saliency")], steps=5)


OTHER, CHANNELS, DEEP = torch.rand(1, 7, 8), torch.rand(5, 10, 10), torch.rand(1, 4, 10, 10)
BAD: dict[str, Callable[[], Evidence]] = {
    "map of another shape": lambda: given(maps(im0=OTHER)),
    "map of more channels": lambda: given(maps(im0=CHANNELS)),
    "map of a volume": lambda: given(maps(im0=DEEP)),
    "another shape when made again": lambda: given(same, maps(im0=OTHER)),
    "constant map": lambda: given(maps(im0=torch.full((1, 10, 10), 2.0))),
    "map of huge values": lambda: given(maps(im0=1e38 * torch.rand(1, 10, 10))),
    "map of tiny values": lambda: given(maps(im0=1e-38 * torch.rand(1, 10, 10))),
    "NaN in one of two inputs": lambda: given(hole, pictures=2),
    "NaN when made again": lambda: given(same, hole, pictures=2),
    "NaN in the table": lambda: given(maps(tab=torch.full((4,), math.nan)), table=4),
    "map of one of two inputs": lambda: given(lambda a: a.replace(maps={"im1": a.maps["im1"]}), pictures=2),
    "an input lost when made again": lambda: given(same, lambda a: a.replace(maps={"im1": a.maps["im1"]}), pictures=2),
    "no map": lambda: given(lambda a: a.replace(maps={}), pictures=2),
    "empty mask": lambda: masked(torch.zeros(10, 10)),
    "mask of everything": lambda: masked(torch.ones(10, 10)),
    "no mask": lambda: masked(None),
    "tables only": lambda: real(("saliency", "input_x_gradient"), pictures=0, table=4),
    "one pixel wide": lambda: real(shape=(12, 1)),
    "one pixel wide volume": lambda: real(shape=(5, 1, 6)),
    "one pixel": lambda: real(shape=(1, 1)),
    "one class": lambda: real(out=1),
    "constant picture": lambda: real(fill=0.5),
    "black picture": lambda: real(fill=0.0),
    "deaf classifier": lambda: real(("random", "edge"), deaf=True),
    "deaf regression": lambda: real(("random", "edge"), deaf=True, out=1, task="regression"),
}
# Where nothing can be taken away, or nothing comes of it, no metric that takes away has an answer; those of a change of
# the answer that should be none (or, as infidelity, of what it should be) have one for a deaf model.
NOTHING_TAKEN = ("constant picture", "black picture", "deaf classifier", "deaf regression", "one pixel")
OF_NO_CHANGE = ("infidelity", "consistency", "label_sufficiency")


@cache
def evidence(name: str) -> Evidence:
    return BAD[name]()


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", METRICS)
def test_a_number_in_range_or_a_reason(name, bad):
    e, metric = evidence(bad), as_metric(name)
    for place in range(len(e.maps)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = e.view(place).scores([metric])
        assert found
        for label, s in found.items():
            assert math.isnan(s.value) == bool(s.reason), label
            if math.isnan(s.value):
                # A sentence for a person, not the words of an exception that slipped through.
                assert len(s.reason.split()) > 3 and "dimension" not in s.reason and "Error" not in s.reason
            else:
                assert metric.low <= s.value <= metric.high and math.isfinite(s.value), label


@pytest.mark.parametrize("bad", ["map of another shape", "map of more channels", "map of a volume", "NaN in one of two inputs", "no map"])
@pytest.mark.parametrize("name", [n for n in METRICS if n not in (*OF_THE_MODEL, *OF_THE_ACCOUNT)])
def test_nothing_is_read_off_a_map_that_is_not_the_picture_s(name, bad):
    for s in evidence(bad).view(0).scores([as_metric(name)]).values():
        assert math.isnan(s.value)


@pytest.mark.parametrize("bad", ["another shape when made again", "NaN when made again", "an input lost when made again"])
@pytest.mark.parametrize("name", [n for n, c in METRICS.items() if "explainer" in c.needs])
def test_a_map_that_comes_back_different_is_not_compared(name, bad):
    for s in evidence(bad).view(0).scores([as_metric(name)]).values():
        assert math.isnan(s.value)


@pytest.mark.parametrize("bad", NOTHING_TAKEN)
@pytest.mark.parametrize("name", [n for n, c in METRICS.items() if c.question == "faithfulness" and n not in OF_NO_CHANGE])
def test_no_map_is_faithful_or_not_where_nothing_changes(name, bad):
    for place in range(2):
        for s in evidence(bad).view(place).scores([as_metric(name)]).values():
            assert math.isnan(s.value)


def test_a_saturated_classifier_is_no_perfect_score():
    """1 whatever is taken away: no drop, no loss, every step as high as the last."""
    p, case = made()
    with torch.no_grad():
        p.module.head.bias.copy_(torch.tensor([300.0, -300, -300]))
    e = evidence_of(Engine(p), case, [explain(p, case, method="saliency")], steps=5)
    for name in ("sufficiency", "average_drop", "monotonicity", "insertion_auc", "road"):
        (s,) = e.view(0).scores([as_metric(name)]).values()
        assert math.isnan(s.value) and "the same probability (1)" in s.reason
    (s,) = e.view(0).scores([as_metric({"insertion_auc": {"on": "normalised"}})]).values()
    assert math.isfinite(s.value) or "fill" in s.reason  # its score still moves


def test_a_mask_on_another_grid_is_refused_by_the_case():
    _, case = made()
    with pytest.raises(InputError, match=r"mask 'lesion' is \(6, 6\), the image is \(10, 10\)"):
        case.replace(regions={"lesion": torch.ones(6, 6)})


def test_a_method_that_is_not_registered_cannot_be_asked_again():
    p, case = made()
    e = evidence_of(Engine(p), case, [explain(p, case, method="saliency").replace(method="my own")], steps=5)
    for name, cls in METRICS.items():
        for s in e.view(0).scores([as_metric(name)]).values():
            if "explainer" in cls.needs and not {"shuffled", "cohort"} & set(cls.needs):
                assert math.isnan(s.value) and "not a registered method" in s.reason, name
            assert math.isnan(s.value) == bool(s.reason)
