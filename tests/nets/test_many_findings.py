"""Networks with fourteen independent findings: every method explains each finding by itself."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torch.nn.functional as fn

import pellucid as pc
from pellucid.nets import build_network

FINDINGS = [f"finding {k}" for k in range(14)]


@cache
def predictor(name: str) -> pc.Predictor:
    torch.manual_seed(0)
    net = build_network(name, {"classes": 14}).train()
    with torch.no_grad():
        net(torch.rand(4, 1, 64, 64))
    return pc.Predictor(net.eval(), inputs=["image"], task="classification", classes=FINDINGS, activation="sigmoid")


def cases(n: int) -> list[pc.Case]:
    g = torch.Generator().manual_seed(1)
    return [pc.Case(id=f"c{i}", inputs={"image": torch.rand(1, 64, 64, generator=g)}) for i in range(n)]


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_cam_and_guided_backprop_of_every_finding(name: str) -> None:
    p, (case,) = predictor(name), cases(1)
    wanted = [3, 0, 13]
    made = pc.explain_many(p, [case], methods=["cam", "grad_cam", "guided_backprop"], targets=[FINDINGS[k] for k in wanted])
    by = {(a.method, a.target["index"]): a for a in made}
    assert len(by) == 9
    assert {a.target["label"] for a in made} == {FINDINGS[k] for k in wanted}
    maps = {m: torch.stack([by[m, k].maps["image"].flatten() for k in wanted]) for m in ("cam", "guided_backprop")}
    assert all(torch.isfinite(v).all() for v in maps.values())
    apart = {m: torch.corrcoef(v)[[0, 0, 1], [1, 2, 2]] for m, v in maps.items()}
    assert float(apart["cam"].max()) < 0.99
    assert not torch.equal(maps["guided_backprop"][0], maps["guided_backprop"][1])
    if name == "densenet121":  # docs/explanation-lung-zones.md says so: it shows the picture, whatever is asked
        assert float(apart["guided_backprop"].min()) > 0.99


def test_cam_of_a_finding_is_its_weights_times_the_last_features() -> None:
    p, (case,) = predictor("resnet18"), cases(1)
    seen: list[torch.Tensor] = []
    hook = p.module.layer4.register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    p.module(case.inputs["image"][None])
    hook.remove()
    for k in (2, 11):
        coarse = torch.einsum("c,chw->hw", p.module.fc.weight[k].detach(), seen[0][0])
        a = pc.explain(p, case, method="cam", target=FINDINGS[k])
        up = fn.interpolate(coarse[None, None], (64, 64), mode="bilinear", align_corners=False)[0, 0]
        found = a.maps["image"].reshape(64, 64)
        assert float(torch.corrcoef(torch.stack([found.flatten(), up.flatten()]))[0, 1]) > 0.999


def test_shapley_values_of_every_finding_from_one_background() -> None:
    p, (case, *rest) = predictor("resnet18"), cases(7)
    background = pc.background(rest, thin=2)
    methods = ["deepshap", {"kernel_shap": {"groups": "cubes", "segments": 4, "fill": "background"}}]
    made = pc.explain_many(p, [case], methods=methods, targets=FINDINGS[:3], background=background)
    assert len(made) == 6
    for a in made:
        total = sum(float(m.double().sum()) for m in a.maps.values())
        assert total == pytest.approx(a.notes["expected"], rel=0.02, abs=1e-3)
        assert a.provenance["background"]["thinned_to"] == 2
    kernel = [a for a in made if a.method == "kernel_shap"]
    assert kernel[0].cost.forwards == 1 + 2 + 2 * kernel[0].notes["evaluations"]  # whatever the number of findings
