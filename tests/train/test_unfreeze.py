"""Parts of a network that are trained from a later epoch on."""

import itertools
import warnings

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pellucid.errors import UsageError
from pellucid.nets import build_network, save_weights
from pellucid.study.crossval import final_work
from pellucid.study.recipe import load_recipe
from pellucid.train import fit
from pellucid.train.freeze import hold
from pellucid.train.loop import Loop
from pellucid.train.unfreeze import check_unfreeze, unfreezing
from tiny_networks import SETTINGS, Noisy, Press, cases, registered

TRAIN, VAL = cases(13, "t"), cases(6, "v", seed=1)
COLUMNS = ["epoch", "train_loss", "val_loss", "val_metric", "lr", "trained"]
PARTS = ("body.6", "body.1", "body.0")  # Noisy's, from the head down


@pytest.fixture(autouse=True)
def _noisy():
    with registered(noisy=Noisy):
        yield


@pytest.fixture
def start(tmp_path):
    """Weights to start from, with statistics that are not those of a new network."""
    torch.manual_seed(3)
    module = Noisy().train()
    with torch.no_grad():
        module(3 * torch.rand(4, 1, 12, 12))
    save_weights(module, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


def by_epoch(monkeypatch):
    """The weights at the start of every epoch and at the end."""
    seen, close = [], Loop._close

    def watched(loop):
        seen.append({k: v.clone() for k, v in loop.training.network.state_dict().items()})
        close(loop)

    monkeypatch.setattr(Loop, "_close", watched)
    return seen


def moved(before, after):
    """Names of the parts whose weights or statistics are not the same to the bit."""
    return {part for part in PARTS if any(not torch.equal(v, after[k]) for k, v in before.items() if k.startswith(part))}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(
    "unfreeze",
    [{"every": 1}, {0: "head", 1: ["body.1"], 2: "all"}, {"0": ["body.6"], "1": "body.1", "2": "backbone"}],
)
def test_what_trains_changes_at_the_named_epoch(start, monkeypatch, unfreeze, optimizer):
    seen = by_epoch(monkeypatch)
    # Weight decay would move what has no gradient if the optimiser took it.
    got = fit(TRAIN, VAL, **SETTINGS, weights=start, unfreeze=unfreeze, weight_decay=0.1, optimizer=optimizer)
    first = build_network("noisy")
    first.load_state_dict(load_file(start))
    states = [first.state_dict(), *seen]
    assert [moved(a, b) for a, b in itertools.pairwise(states)] == [set(PARTS[:1]), set(PARTS[:2]), set(PARTS)]
    assert got.history["trained"].tolist() == ["body.6", "body.6, body.1", "body.6, body.1, body.0"]
    assert got.settings["unfreeze"]["phases"] == [[0, ["body.6"]], [1, ["body.1"]], [2, ["body.0"]]]
    assert all(p.requires_grad for p in got.predictor.module.parameters())


def test_all_from_the_start_is_a_training_without_a_schedule(start):
    plain = fit(TRAIN, VAL, **SETTINGS, weights=start)
    got = fit(TRAIN, VAL, **SETTINGS, weights=start, unfreeze={0: "all"})
    for key, value in plain.predictor.module.state_dict().items():
        assert torch.equal(value, got.predictor.module.state_dict()[key]), key
    assert "trained" not in plain.history


def test_the_rate_of_what_is_trained_later(start, monkeypatch):
    """With a factor of 0.1 a later part moves by a tenth of what the same gradient would have moved it."""
    options = SETTINGS | {"optimizer": "sgd", "momentum": 0, "schedule": "constant", "epochs": 2, "batch_size": 13,
                          "options": {"dropout": 0}}  # fmt: skip
    ends = {}
    for factor in (1.0, 0.1):
        seen = by_epoch(monkeypatch)
        got = fit(TRAIN, VAL, **options, weights=start, unfreeze={0: "head", 1: "all", "lr_factor": factor})
        ends[factor] = {k: seen[1][k] - seen[0][k] for k in seen[0]}
        assert got.history["lr"].tolist() == [1e-2, 1e-2]
        assert got.settings["unfreeze"]["lr_factor"] == factor
        monkeypatch.undo()
    for key, step in ends[1.0].items():
        if key in ("body.0.weight", "body.1.weight", "body.1.bias"):
            assert float(step.abs().max()) > 0
            assert torch.allclose(0.1 * step, ends[0.1][key], rtol=1e-3, atol=1e-7), key
        elif key.startswith("body.6"):
            assert torch.allclose(step, ends[0.1][key], rtol=1e-4, atol=1e-7), key


@pytest.mark.parametrize("at", [3, 5, 6])
def test_stopped_within_an_epoch_and_resumed_it_equals_unbroken(start, tmp_path, at):
    options = SETTINGS | {"weights": start, "unfreeze": {0: "head", 1: ["body.1"], 2: "all", "lr_factor": 0.5}}
    whole = fit(TRAIN, VAL, **options | {"augment": ["flip", Press()]})
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **options | {"augment": ["flip", Press(at)]}, out=tmp_path / "out")
    other = options | {"unfreeze": {"every": 1, "lr_factor": 0.5}, "augment": ["flip", Press()]}
    with pytest.raises(UsageError, match=r"unfreeze was .* now "):
        fit(TRAIN, VAL, **other | {"unfreeze": {0: "all"}}, out=tmp_path / "out", resume=True)
    # The same schedule in its short form is the same.
    again = fit(TRAIN, VAL, **other, out=tmp_path / "out", resume=True)
    theirs = again.predictor.module.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in whole.predictor.module.state_dict().items())
    assert whole.history[COLUMNS].equals(again.history[COLUMNS])


def test_with_an_early_stop_and_a_plateau(start, monkeypatch):
    """The patience does not wait for a stage whose turn has not come; the rate that has fallen stays so."""
    options = SETTINGS | {"epochs": 9, "weights": start, "lr": 3e-3}
    plateau = {"schedule": {"plateau": {"factor": 0.5, "patience": 0}}}
    seen = by_epoch(monkeypatch)
    got = fit(TRAIN, VAL, **options, **plateau, patience=3, delta=10, unfreeze={0: "head", 2: ["body.1"], 5: "all"})
    assert got.stopped_early
    assert len(seen) == 4
    assert got.history["trained"].tolist() == ["body.6"] * 2 + ["body.6, body.1"] * 2
    assert moved(seen[0], seen[3]) == {"body.6", "body.1"}
    losses, rate, best = got.history["val_loss"].tolist(), 3e-3, float("inf")
    for loss, used in zip(losses, got.history["lr"]):
        assert used == pytest.approx(rate)
        rate, best = (rate if loss < best * (1 - 1e-4) else rate / 2), min(best, loss)


def test_frozen_for_good_beside_it(start, monkeypatch):
    seen = by_epoch(monkeypatch)
    got = fit(TRAIN, VAL, **SETTINGS, weights=start, freeze=["body.0"], unfreeze={"every": 1})
    assert moved(seen[0], seen[2]) == {"body.6", "body.1"}
    assert got.settings["unfreeze"]["phases"] == [[0, ["body.6"]], [1, ["body.1"]]]
    for unfreeze, words in (
        ({0: "head", 1: ["body.0"]}, r"'body\.0' is in freeze, which is for good"),
        ({0: "head", 1: "all", 2: "backbone"}, r"2: .* adds nothing to train: what is there is trained earlier or in freeze"),
    ):
        with pytest.raises(UsageError, match=words):
            fit(TRAIN, VAL, **SETTINGS, weights=start, freeze=["body.0"], unfreeze=unfreeze)
    with pytest.raises(UsageError, match=r"1: .* adds nothing"):
        fit(TRAIN, VAL, **SETTINGS, weights=start, freeze="backbone", unfreeze={0: "head", 1: "backbone"})


def test_the_stages_of_a_resnet_and_what_is_outside_of_all_parts():
    module = build_network("resnet18")
    found = unfreezing({"every": 3}, module, epochs=14)
    assert [(a, *n) for a, n in found.phases] == [(0, "fc"), (3, "layer4"), (6, "layer3"), (9, "layer2"), (12, "layer1")]
    held = hold(module, found.held(module, 4))
    open_ = {name.split(".")[0] for name, p in module.named_parameters() if p.requires_grad}
    assert open_ == {"fc", "layer4"}
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(held) == len(norms) - 5  # layer4 has five of its own
    groups = found.groups(module)
    assert sum(p.numel() for g in groups for p in g["params"]) == sum(
        p.numel() for n, p in module.named_parameters() if n.split(".")[0] not in ("conv1", "bn1")
    )

    dense = unfreezing({"every": 1}, build_network("densenet121"), epochs=4)
    assert [n for _, (n,) in dense.phases] == ["class_layers", "features.norm5", "features.denseblock4", "features.transition3"]

    class Token(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.ones(1, 9))
            self.body, self.head = nn.Linear(9, 3), nn.Linear(3, 2)

    token = Token()
    for spec in ({"every": 2}, {0: "head", 2: "all"}):
        held = unfreezing(spec, token, epochs=4).held(token, 0)
        assert sorted(held) == ["body.bias", "body.weight", "token"]
        assert unfreezing(spec, token, epochs=4).held(token, 2) == []


def test_what_cannot_be(start):
    for unfreeze, words in (
        ({}, r"unfreeze is \{\}; give \{every: 3\}"), ({"evry": 2}, "'evry' is no epoch; did you mean 'every'"),
        ({"every": 0}, "every is 0"), ({"every": 2, 0: "head"}, "one of the two"), ({"lr_factor": 0.1}, "one of the two"),
        ({"every": 1, "lr_factor": 0}, "lr_factor is 0"), ({1: "all"}, "nothing is trained in the first epoch"),
        ({0: "head", 3: "all"}, r"'all',\) after 3 epochs, and there are 3: it would never be trained"),
        ({0: "head", 1: []}, r"1: \[\] are no names"), ({0: "head", -1: "all"}, "-1 is no epoch"),
        ({0: "head", 1: "body.00"}, r"unfreeze: the network has no module 'body\.00'; did you mean 'body\.0'"),
        ({0: "head", 1: "backbon"}, "did you mean 'backbone'"), ({0: "head", 1: "body.2"}, "'body.2' has no weights"),
        ({0: "head", 1: "body.6"}, "adds nothing to train: what is there is trained earlier; leave"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            fit(TRAIN, VAL, **SETTINGS, weights=start, unfreeze=unfreeze)
    with pytest.raises(UsageError, match="unfreeze is for one device, devices is 2"):
        fit(TRAIN, VAL, **SETTINGS, weights=start, unfreeze={"every": 1}, devices=2)


def test_random_weights_below_are_warned_of(start):
    with pytest.warns(UserWarning, match="unfreeze: 4 weights of what is not trained from the start are random"):
        fit(TRAIN, VAL, **SETTINGS | {"epochs": 1}, unfreeze={"every": 2})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(TRAIN, VAL, **SETTINGS | {"epochs": 1}, unfreeze={"every": 2}, weights=start)


def test_in_a_recipe_and_in_its_final_fit():
    """The final fit after a cross-validation is shorter: what it does not reach falls away."""
    work = {
        "name": "one", "data": {"dataset": "synthetic_classification"},
        "model": {"network": "resnet18", "inputs": ["ct"], "task": "classification", "classes": ["a", "b"]},
        "train": {"epochs": 9, "unfreeze": {0: "head", 3: ["layer4"], 6: "all"}}, "cross_validation": {"folds": 2},
        "explain": {"methods": ["saliency"]}, "evaluate": {"metrics": ["deletion_auc"]},
    }  # fmt: skip
    read = load_recipe({"name": "small", "tasks": [work]}).tasks[0]
    assert check_unfreeze(read.train.unfreeze, epochs=9).at == ((0, ("head",)), (3, ("layer4",)), (6, ("all",)))
    assert final_work(read, 6).train.unfreeze == {0: "head", 3: ["layer4"]}
    assert final_work(read, 7).train.unfreeze == read.train.unfreeze
    work["train"]["epochs"] = 5
    with pytest.raises(UsageError, match=r"unfreeze: \('all',\) after 6 epochs, and there are 5"):
        load_recipe({"name": "small", "tasks": [work]})
