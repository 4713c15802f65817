"""Cases that lack an input, given so or dropped in training: the stand-in is shown, nothing else changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.errors import InputError, UsageError
from pellucid.train.augment import as_augmentations
from pellucid.train.augment_base import MISSING
from pellucid.train.data import TRUTH, Batches, columns
from pellucid.train.fit import fit
from pellucid.train.losses import make_loss
from pellucid.train.module import TrainingModule
from pellucid.train.normalise import imagenet_statistics, statistics


def test_some_cases_of_a_table_are_noted_as_lacking_it() -> None:
    data = {"im": torch.randn(40, 1, 4, 4), "tab": torch.randn(40, 3), TRUTH: torch.arange(40)}
    (drop,) = as_augmentations([{"drop_input": {"name": "tab", "p": 0.5}}])
    (batch,) = Batches(data, batch_size=40, seed=0, augment=[drop])
    order = batch[TRUTH]
    assert torch.equal(batch["im"], data["im"][order])
    assert torch.equal(batch["tab"], data["tab"][order])
    assert 10 < int(batch[MISSING + "tab"].sum()) < 30


def test_the_last_input_of_a_case_is_never_dropped() -> None:
    lacks = torch.arange(40) < 20
    data = {"im": torch.randn(40, 1, 4, 4), "tab": torch.randn(40, 3), TRUTH: torch.arange(40), MISSING + "im": lacks}
    drops = as_augmentations(["flip", *[{"drop_input": {"name": n, "p": 1.0}} for n in ("tab", "im")]])
    (batch,) = Batches(data, batch_size=40, seed=0, augment=drops)
    assert torch.equal(batch[MISSING + "tab"], ~lacks[batch[TRUTH]])
    assert torch.equal(batch[MISSING + "im"], lacks[batch[TRUTH]])


def test_without_a_name_each_case_loses_one_of_all() -> None:
    data = {"im": torch.randn(60, 1, 4, 4), "tab": torch.randn(60, 3), TRUTH: torch.arange(60)}
    (batch,) = Batches(data, batch_size=60, seed=0, augment=as_augmentations([{"drop_input": {"p": 0.8}}]))
    a, b = batch[MISSING + "im"], batch[MISSING + "tab"]
    assert not (a & b).any()
    assert 35 < int((a | b).sum()) < 58
    assert 10 < int(a.sum()) < 40


def test_the_name_has_to_be_an_input() -> None:
    data = {"im": torch.randn(4, 1, 4, 4), TRUTH: torch.arange(4)}
    with pytest.raises(UsageError, match="did you mean 'im'"):
        list(Batches(data, batch_size=2, seed=0, augment=as_augmentations([{"drop_input": {"name": "imm"}}])))


class Learns(nn.Module):
    """The mean of the picture and the first column; it learns a stand-in for the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.5, -0.5]))
        self.picture = nn.Parameter(torch.tensor(0.25))

    def stand_in(self, place: int, like: Tensor) -> Tensor | None:
        return self.picture.expand_as(like) if place == 0 else None

    def forward(self, im: Tensor, tab: Tensor) -> Tensor:
        return self.weight[0] * im.flatten(1).mean(1, keepdim=True) + self.weight[1] * tab[:, :1]


def some(*missing: str) -> list[Case]:
    g = torch.Generator().manual_seed(0)
    found = []
    for i, gone in enumerate(missing):
        inputs = {"im": torch.randn(1, 4, 4, generator=g) + 3, "tab": torch.randn(2, generator=g)}
        lacks = (gone,) if gone else ()
        inputs = {k: 0 * v if k in lacks else v for k, v in inputs.items()}
        found.append(Case(id=str(i), inputs=inputs, truth=float(i), missing=lacks))
    return found


def training(cases: list[Case]) -> tuple[TrainingModule, dict[str, Tensor]]:
    known = statistics(cases, ["im", "tab"])
    p = Predictor(Learns(), inputs=["im", "tab"], task="regression", normalise=known)
    rows = columns(cases, p)
    return TrainingModule(p, make_loss(p)), {k: torch.stack(v) for k, v in rows.items()}


def test_training_shows_what_the_engine_shows() -> None:
    cases = some("", "im", "tab", "im")
    module, batch = training(cases)
    assert set(batch) == {"im", "tab", TRUTH, MISSING + "im", MISSING + "tab"}
    module.eval()
    with torch.no_grad():
        out = module(batch)
        one_by_one = torch.cat([module({k: v[i : i + 1] for k, v in batch.items()}) for i in range(4)])
    torch.testing.assert_close(out, one_by_one)
    torch.testing.assert_close(out, Engine(module.predictor).predict(cases))
    tab = (cases[1].inputs["tab"] - module.predictor.normalise["tab"][0]) / module.predictor.normalise["tab"][1]
    assert float(out[1]) == pytest.approx(1.5 * 0.25 - 0.5 * float(tab[0]), abs=1e-6)


def test_the_stand_in_learns_from_the_cases_that_lack_the_input_alone() -> None:
    module, batch = training(some("", "im", "tab", "im"))
    module.train()
    for i, taught in enumerate([False, True, False, True]):
        module.zero_grad()
        module({k: v[i : i + 1] for k, v in batch.items()}).sum().backward()
        grad = module.network.picture.grad
        assert grad is not None  # several devices wait for it
        assert float(grad) == (1.5 if taught else 0.0)


def test_statistics_leave_placeholders_out() -> None:
    cases = some("", "im", "tab", "")
    have = [c for c in cases if "im" not in c.missing]
    for made in (statistics, imagenet_statistics):
        scaled = [c.replace(inputs={"im": c.inputs["im"].clamp(0, 1), "tab": c.inputs["tab"]}) for c in cases]
        mean, sd = made(scaled, ["im"])["im"]
        other = made([c.replace(inputs={"im": c.inputs["im"].clamp(0, 1), "tab": c.inputs["tab"]}) for c in have], ["im"])
        assert torch.equal(mean, other["im"][0])
        assert torch.equal(sd, other["im"][1])
    with pytest.raises(InputError, match="input 'im' is missing in all 2 training cases, so there is nothing to learn"):
        statistics(some("im", "im"), ["im"])


def test_what_does_not_go_with_cases_that_lack_an_input() -> None:
    cases = [c.replace(truth=i % 2) for i, c in enumerate(some(*["", "im"] * 6))]
    given = {"network": "fusion", "inputs": ["im", "tab"], "task": "classification", "classes": ["a", "b"], "epochs": 1}
    sizes = {"inputs": [{"kind": "image", "in_channels": 1}, {"kind": "table", "features": 2}], "classes": 2}
    shared = {"options": sizes, "progress": False, **given}
    with pytest.raises(UsageError, match=r"smote on pixels makes cases between two others, and some of them lack im; use"):
        fit(cases[:8], cases[8:], balance={"smote": {"on": "pixels", "neighbours": 1}}, **shared)
    whole = [c.replace(truth=i % 2) for i, c in enumerate(some(*[""] * 12))]
    with pytest.raises(UsageError, match="no stand-in for the input 'im', which is missing: neither a mean"):
        fit(whole[:8], whole[8:], normalise="none", augment=[{"drop_input": {"p": 1.0}}], **shared)
    masks = [
        Case(id=str(i), inputs={"a": torch.rand(1, 8, 8), "b": torch.zeros(1, 8, 8)}, missing=("b",) if i else (),
             truth=torch.ones(8, 8, dtype=torch.int64))
        for i in range(4)
    ]  # fmt: skip
    learnt = {"network": "fusion_unet", "options": {"missing": "learnt", "channels": [4, 4]}, "inputs": ["a", "b"]}
    with pytest.raises(UsageError, match="missing: learnt is a picture of the whole input, and this network sees patches"):
        fit(masks[:2], masks[2:], task="segmentation", classes=["x"], epochs=1, patch=[4, 4], windows={"roi": (4, 4)},
            progress=False, **learnt)  # fmt: skip
    learnt["options"]["missing"] = "mean"
    fit(masks[:2], masks[2:], task="segmentation", classes=["x"], epochs=1, patch=[4, 4], windows={"roi": (4, 4)},
        progress=False, **learnt)  # fmt: skip
