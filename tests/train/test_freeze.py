"""Parts of a network that are not trained."""

import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.nets import build_network, save_weights
from pellucid.nets.registry import NETWORKS
from pellucid.train import fit
from pellucid.train.freeze import frozen_names, hold, stages
from pellucid.train.module import TrainingModule
from pellucid.train.plan import Plan
from reference.torchvision_nets import twin
from tiny_networks import SETTINGS, Noisy, Press, cases, registered

TRAIN, VAL = cases(13, "t"), cases(6, "v", seed=1)
COLUMNS = ["epoch", "train_loss", "val_loss", "val_metric", "lr"]


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
        for _ in range(3):
            module(3 * torch.rand(4, 1, 12, 12))
    save_weights(module, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors", {k: v.clone() for k, v in module.state_dict().items()}


def weights(trained):
    return trained.predictor.module.state_dict()


@pytest.mark.parametrize(
    ("freeze", "names"),
    [
        ("backbone", ["body.1", "body.0"]), (["body.0", "body.1"], ["body.0", "body.1"]), (["body.0"], ["body.0"]),
        ("body.6", ["body.6"]),
    ],
)  # fmt: skip
def test_what_is_frozen_stays_to_the_bit_and_the_rest_is_trained(start, freeze, names, monkeypatch):
    file, before = start
    seen, optimise = [], Plan.optimise

    def watched(plan, parameters):
        made = optimise(plan, parameters)
        made.register_step_pre_hook(lambda *_: seen.append((made, [p.grad is not None for p in parameters])))
        return made

    monkeypatch.setattr(Plan, "optimise", watched)
    # Weight decay would move what has no gradient if the optimiser had it.
    got = fit(TRAIN, VAL, **SETTINGS, weights=file, freeze=freeze, weight_decay=0.1, optimizer="sgd")
    prefixes = tuple(name + "." for name in names)
    for key, value in weights(got).items():
        assert torch.equal(value, before[key]) == key.startswith(prefixes), key
    trained = [p for k, p in got.predictor.module.named_parameters() if not k.startswith(prefixes)]
    optimizer, had_gradients = seen[0]
    assert all(had_gradients)
    assert [p.shape for group in optimizer.param_groups for p in group["params"]] == [p.shape for p in trained]
    # The module is given back as one that can be trained on.
    assert all(p.requires_grad for p in got.predictor.module.parameters())
    assert got.settings["freeze"] == names


def test_statistics_of_a_frozen_norm_are_used_and_do_not_move(start):
    """And one that is trained moves its own; dropout is in training mode in both."""
    module = Noisy()
    hold_of = hold(module, frozen_names(module, "backbone"))
    assert hold_of == [module.body[1]]
    predictor = Predictor(module, inputs=["x"], task="classification", classes=["no", "yes"])
    training = TrainingModule(predictor, F.cross_entropy, held=hold_of)
    assert training.train() is training
    assert training.network.training
    assert not module.body[1].training
    assert module.body[5].training
    module(torch.rand(4, 1, 12, 12))
    assert int(module.body[1].num_batches_tracked) == 0
    # What another process of the same training gets.
    sent = pickle.loads(pickle.dumps(training)).train()
    assert not sent.network.body[1].training
    assert [p.requires_grad for p in sent.network.parameters()] == [False] * 4 + [True] * 2
    assert hold(module, ()) == []
    assert all(p.requires_grad for p in module.parameters())


def test_the_training_of_the_mri_studys_seed(tmp_path):
    """torchvision's stages under one channel, frozen; the new convolution and linear layer are trained."""
    theirs = twin("resnet18", classes=10)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    options = {"network": "resnet18", "options": {"classes": 2, "conv": 4}, "weights": tmp_path / "resnet18.pth"}
    seed = {"optimizer": "sgd", "lr": 0.001, "momentum": 0.9, "schedule": "constant", "patience": 3, "delta": 0.001}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # nothing that is frozen stays random
        got = fit(
            cases(7, "t", side=40), cases(4, "v", side=40), **SETTINGS | options | seed | {"epochs": 1},
            freeze="backbone", balance="oversample",
        )  # fmt: skip
    assert got.settings["weights"]["new"] == ["fc.conv.weight", "fc.conv.bias", "fc.out.weight", "fc.out.bias"]
    state = theirs.state_dict()
    for key, value in weights(got).items():
        if key == "conv1.weight":
            assert torch.equal(value, state[key].sum(1, keepdim=True))
        elif not key.startswith("fc."):
            assert torch.equal(value, state[key]), key


def test_stopped_within_an_epoch_and_resumed_it_equals_unbroken(start, tmp_path):
    options = SETTINGS | {"weights": start[0], "freeze": "backbone"}
    whole = fit(TRAIN, VAL, **options | {"augment": ["flip", Press()]})
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **options | {"augment": ["flip", Press(5)]}, out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"freeze was \['body\.1', 'body\.0'\], now \['body\.0'\]"):
        fit(TRAIN, VAL, **options | {"augment": ["flip", Press()], "freeze": ["body.0"]}, out=tmp_path / "out", resume=True)
    again = fit(TRAIN, VAL, **options | {"augment": ["flip", Press()]}, out=tmp_path / "out", resume=True)
    assert all(torch.equal(v, weights(again)[k]) for k, v in weights(whole).items())
    assert whole.history[COLUMNS].equals(again.history[COLUMNS])


def test_the_stages_of_our_networks_begin_with_their_heads():
    heads = {
        "resnet18": "fc", "densenet121": "class_layers", "image_tabular": "head", "two_stream": "head",
        "fusion_transformer": "head", "meshnet": "conv9", "two_encoder_unet": "out", "unet": "network.out",
        "attention_unet": "network.model.2", "unet_3d": "model.2",
        "swin_unetr": "network.out", "noisy": "body.6", "efficientnet_b0": "_fc", "fusion": "head",
        "fusion_unet": "head",
    }  # fmt: skip
    assert set(heads) | {"resnet50", "resnet101"} == set(NETWORKS)
    for name, head in heads.items():
        found = stages(build_network(name))
        assert found[0] == head, name
        assert len(found) > 1, name
    for options in ({}, {"conv": 4}, {"standardise": "picture"}, {"head": 4, "dropout": 0.5}):
        module = build_network("resnet18", options)
        assert stages(module) == ["fc", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]
    assert len(hold(module, frozen_names(module, "backbone"))) == 20  # all its batch norms
    assert next(k for k, p in module.named_parameters() if p.requires_grad) == "fc.hidden.weight"
    hold(module, frozen_names(module, ["layer1", "layer2.0"]))
    frozen = {k.rpartition(".")[0].rpartition(".")[0] for k, p in module.named_parameters() if not p.requires_grad}
    assert frozen == {"layer1.0", "layer1.1", "layer2.0", "layer2.0.downsample"}


class Token(nn.Module):
    """A weight outside of all parts."""

    def __init__(self, *, classes: int = 2) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 144))
        self.body, self.head = nn.Linear(144, 3), nn.Linear(3, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.flatten(1) * self.token))


def test_a_weight_outside_of_all_parts_is_no_head():
    module = Token()
    hold(module, frozen_names(module, "backbone"))
    assert [k for k, p in module.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]


def test_a_weight_that_two_parts_share_is_frozen_with_either():
    for name in ("0", "1"):
        module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
        module[1].weight = module[0].weight
        hold(module, frozen_names(module, [name]))
        assert not module[0].weight.requires_grad
        assert module[2].weight.requires_grad


def test_what_cannot_be_frozen(start):
    def call(freeze, **changes):
        return fit(TRAIN, VAL, **SETTINGS | {"epochs": 1} | changes, weights=start[0], freeze=freeze)

    with pytest.raises(UsageError, match=r"no module 'body\.00'; did you mean 'body\.0'"):
        call(["body.00"])
    with pytest.raises(UsageError, match="no module 'backbon'; did you mean 'backbone'"):
        call("backbon")
    with pytest.raises(UsageError, match=r"the module 'body\.2' has no weights; name one of body\.6, body\.1, body\.0"):
        call(["body.2"])
    for everything in (["body"], ["body.0", "body.1", "body.6"]):
        with pytest.raises(UsageError, match="nothing of the network is left to train"):
            call(everything)
    with pytest.raises(UsageError, match="one part with weights, which is its head"):
        frozen_names(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "backbone")


def test_a_frozen_part_that_stays_random_is_warned_of(start):
    with pytest.warns(UserWarning, match=r"4 weights of what is not trained stay random \(body\.0\.weight, …\)"):
        fit(TRAIN, VAL, **SETTINGS | {"epochs": 1}, freeze="backbone")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(TRAIN, VAL, **SETTINGS | {"epochs": 1}, freeze="backbone", weights=start[0])
