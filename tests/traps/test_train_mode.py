"""Trap: Captum runs integrated gradients with batch norm in train mode; a batch then differs from its cases."""

from __future__ import annotations

import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients

from contract.families import FAMILIES, METHODS, as_usual, explain, gap, usual
from pellucid.engine.engine import Engine
from pellucid.train import fit
from tiny_networks import SETTINGS, Noisy, cases, registered

F = FAMILIES["picture"]


@pytest.mark.parametrize("method", [m for m in METHODS if F.runs(m)])
def test_always_in_eval_mode_with_a_warning(method: str) -> None:
    module = F.module().train()
    statistics = {k: v.clone() for k, v in module.state_dict().items() if "running" in k or "tracked" in k}
    with pytest.warns(UserWarning, match="Fusion is in train mode; Pellucid explains a copy in eval mode"):
        rows = explain(as_usual(method), F.predictor(module), F.cases(), F.targets)
    assert module.training
    assert all(torch.equal(v, module.state_dict()[k]) for k, v in statistics.items())
    for x, y in zip(rows, usual("picture", method)):
        assert max(gap(a, b) for a, b in zip(x, y)) == 0


def test_captum_still_does() -> None:
    module = F.module().train()
    x = torch.stack([c.inputs["x"] for c in F.cases()])
    before = module.parts["x"].norm.running_mean.clone()
    ig = CaptumIntegratedGradients(module)
    together = ig.attribute(x, target=0, n_steps=8)[0]
    alone = ig.attribute(x[:1], target=0, n_steps=8)[0]
    assert float((together - alone).abs().max()) > 0.05 * float(alone.abs().max())
    assert not torch.equal(before, module.parts["x"].norm.running_mean)


def test_what_was_trained_with_batch_norm_and_dropout_answers_each_case_alone() -> None:
    with registered(noisy=Noisy):
        predictor = fit(cases(12, "t"), cases(6, "v", seed=1), **SETTINGS).predictor
    assert not any(part.training for part in predictor.module.modules())
    found = cases(8, "x", seed=2)
    engine = Engine(predictor, device="cpu")
    together, again = engine.predict(found), engine.predict(found)
    assert torch.allclose(together, again, atol=1e-6)
    for i, case in enumerate(found):
        assert float((engine.predict([case])[0] - together[i]).abs().max()) < 1e-5
    # The trap: as it was while it learnt, it answers differently in a batch, and differently each time.
    values = (torch.stack([c.inputs["x"] for c in found]) - predictor.normalise["x"][0]) / predictor.normalise["x"][1]
    predictor.module.train()
    learning = predictor.module(values)
    assert (predictor.module(values[:2]) - learning[:2]).abs().max().item() > 1e-2
