import pickle

import numpy as np
import pytest
import torch
from monai.losses import FocalLoss
from torch import nn
from torch.nn import functional as F

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train.losses import make_loss
from reference import focal as twin


def of(activation, k=3):
    classes = [str(i) for i in range(k)]
    return Predictor(nn.Identity(), inputs=["x"], task="classification", classes=classes, activation=activation)


RNG = np.random.default_rng(0)
LOGITS = torch.tensor(3 * RNG.normal(size=(7, 3)), dtype=torch.float64)
LABELS = torch.tensor(RNG.integers(0, 2, (7, 3)), dtype=torch.float64)
INDEX = torch.tensor(RNG.integers(0, 3, 7))
WEIGHTS = torch.tensor([0.5, 3.0, 1.7], dtype=torch.float64)


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 5])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.8])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_independent_labels_as_the_formula(gamma, alpha, weights):
    got = make_loss(of("sigmoid"), name={"focal": {"gamma": gamma, "alpha": alpha}}, weights=weights)(LOGITS, LABELS)
    positive = None if weights is None else weights.tolist()
    want = twin.binary_focal(LOGITS.tolist(), LABELS.tolist(), gamma=gamma, alpha=alpha, positive=positive)
    assert float(got) == pytest.approx(want, rel=1e-9)


def test_an_alpha_for_each_label_is_the_mean_of_the_labels_each_with_its_own():
    alphas = [0.25, 0.6, 0.9]
    got = make_loss(of("sigmoid"), name={"focal": {"alpha": alphas}}, weights=WEIGHTS)(LOGITS, LABELS)
    want = [
        twin.binary_focal(LOGITS[:, k : k + 1].tolist(), LABELS[:, k : k + 1].tolist(), gamma=2, alpha=a, positive=[float(WEIGHTS[k])])
        for k, a in enumerate(alphas)
    ]
    assert float(got) == pytest.approx(np.mean(want), rel=1e-6)
    same = [make_loss(of("sigmoid"), name={"focal": {"alpha": a}})(LOGITS, LABELS) for a in (0.3, [0.3] * 3)]
    assert float(same[0]) == pytest.approx(float(same[1]))


def test_class_weights_of_independent_labels_are_torchs_pos_weight():
    loss = make_loss(of("sigmoid"), weights=WEIGHTS)
    assert torch.equal(loss(LOGITS, LABELS), nn.BCEWithLogitsLoss(pos_weight=WEIGHTS)(LOGITS, LABELS))
    assert not torch.equal(loss(LOGITS, LABELS), make_loss(of("sigmoid"))(LOGITS, LABELS))


@pytest.mark.parametrize("gamma", [0.5, 2, 3])
@pytest.mark.parametrize("alpha", [-1, 0.25])
def test_independent_labels_as_monai_and_as_torchvision_writes_it(gamma, alpha):
    options = {"gamma": gamma, "alpha": None if alpha < 0 else alpha}
    monai = FocalLoss(gamma=gamma, alpha=options["alpha"])(LOGITS, LABELS)
    assert float(make_loss(of("sigmoid"), name={"focal": options})(LOGITS, LABELS)) == pytest.approx(float(monai), rel=1e-6)
    p, t = LOGITS.sigmoid(), LABELS
    want = F.binary_cross_entropy_with_logits(LOGITS, t, reduction="none") * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
    want = (want if alpha < 0 else (alpha * t + (1 - alpha) * (1 - t)) * want).mean()
    assert float(make_loss(of("sigmoid"), name={"focal": options})(LOGITS, LABELS)) == pytest.approx(float(want), rel=1e-9)


@pytest.mark.parametrize("gamma", [0, 0.5, 2, 5])
@pytest.mark.parametrize("alpha", [None, [0.2, 0.3, 2.0]])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_exclusive_classes_as_the_formula(gamma, alpha, weights):
    got = make_loss(of("softmax"), name={"focal": {"gamma": gamma, "alpha": alpha}}, weights=weights)(LOGITS, INDEX)
    both = torch.tensor(alpha or [1.0] * 3, dtype=torch.float64) * (1 if weights is None else weights)
    want = twin.focal(LOGITS.tolist(), INDEX.tolist(), gamma=gamma, weights=both.tolist())
    assert float(got) == pytest.approx(want, rel=1e-6)


def test_gamma_zero_is_weighted_cross_entropy():
    zero = {"focal": {"gamma": 0}}
    want = F.binary_cross_entropy_with_logits(LOGITS, LABELS, pos_weight=WEIGHTS)
    assert float(make_loss(of("sigmoid"), name=zero, weights=WEIGHTS)(LOGITS, LABELS)) == pytest.approx(float(want))
    want = F.cross_entropy(LOGITS, INDEX, weight=WEIGHTS)
    assert float(make_loss(of("softmax"), name=zero, weights=WEIGHTS)(LOGITS, INDEX)) == pytest.approx(float(want))
    weighed = F.binary_cross_entropy_with_logits(LOGITS, LABELS, weight=torch.where(LABELS == 1, 0.3, 0.7))
    got = make_loss(of("sigmoid"), name={"focal": {"gamma": 0, "alpha": 0.3}})(LOGITS, LABELS)
    assert float(got) == pytest.approx(float(weighed))


@pytest.mark.parametrize("gamma", [0.5, 2])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_far_out_value_and_gradient_stay_finite(gamma, activation):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    truth = torch.tensor([0, 0]) if activation == "softmax" else torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = make_loss(of(activation, 2), name={"focal": {"gamma": gamma}})(logits, truth)
    loss.backward()
    assert torch.isfinite(loss)
    assert loss.item() > 50
    assert torch.isfinite(logits.grad).all()


def test_bad_options():
    for activation, options, words in (
        ("sigmoid", {"gamma": -1}, "gamma is -1"), ("sigmoid", {"gama": 1}, "did you mean 'gamma'"),
        ("softmax", {"alpha": 0.5}, "one positive weight each, 3 here"), ("softmax", {"alpha": [1, 0, 1]}, "positive"),
        ("softmax", {"alpha": [1, 2]}, "3 here"), ("softmax", {"alpha": "rare"}, "give numbers"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            make_loss(of(activation), name={"focal": options})
    with pytest.raises(UsageError, match="'cross_entropy' has no option 'gamma'"):
        make_loss(of("softmax"), name={"cross_entropy": {"gamma": 1}})
    with pytest.raises(UsageError, match="give one name"):
        make_loss(of("softmax"), name={"focal": None, "cross_entropy": None})
    regression = Predictor(nn.Identity(), inputs=["x"], task="regression")
    with pytest.raises(UsageError, match="loss 'focal' for regression"):
        make_loss(regression, name="focal")


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_a_loss_can_be_sent_to_another_process(activation, name):
    loss = make_loss(of(activation), name=name, weights=WEIGHTS)
    truth = LABELS if activation == "sigmoid" else INDEX
    assert torch.equal(pickle.loads(pickle.dumps(loss))(LOGITS, truth), loss(LOGITS, truth))
