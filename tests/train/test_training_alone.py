"""What is for training reaches training alone; and the settings of the chest X-ray study fire when they should."""

import pytest
import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError
from pellucid.train import fit
from pellucid.train.augment import as_augmentations
from pellucid.train.data import Batches, columns
from tiny_networks import SETTINGS, Noisy, cases, registered

TRAIN, VAL = cases(12, "t"), cases(6, "v", seed=1)
# Rotation ± 15°, mirrored, brightness and contrast.
STUDY = [
    "flip", {"affine": {"degrees": 15, "scale": 0, "shift": 0}}, {"color_jitter": {"brightness": 0.2, "contrast": 0.2}},
]  # fmt: skip


class Seen(Noisy):
    """Writes down every picture that it is shown."""

    shown: list = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown.append((self.training, x.detach().clone()))
        return super().forward(x)


def test_augmentation_touches_training_alone():
    Seen.shown = []
    with registered(seen=Seen):
        fit(TRAIN, VAL, **SETTINGS | {"network": "seen", "augment": STUDY, "normalise": "none"})
    pictures = {c.id: c.inputs["x"] for c in (*TRAIN, *VAL)}
    judged = torch.cat([x for training, x in Seen.shown if not training])
    taught = torch.cat([x for training, x in Seen.shown if training])
    own = torch.stack([pictures[c.id] for c in VAL])
    # Every epoch, and the thresholds at the end: the validation cases in their order, to the bit.
    assert torch.equal(judged[-6 * 4 :].reshape(4, *own.shape), own.expand(4, *own.shape))
    assert all(any(torch.equal(x, p) for p in own) for x in judged)
    assert len(taught) == 3 * 12
    assert not any(torch.equal(x, p) for x in taught for p in pictures.values())


def test_batches_of_validation_are_the_cases_and_those_of_training_are_changed():
    predictor = Predictor(nn.Identity(), inputs=["x"], task="classification", classes=["no", "yes"])
    data = columns(VAL, predictor)
    assert torch.equal(torch.cat([b["x"] for b in Batches(data, batch_size=4)]), torch.stack(data["x"]))
    changed = torch.cat([b["x"] for b in Batches(data, batch_size=4, seed=0, augment=as_augmentations(STUDY))])
    assert changed.shape == (6, 1, 12, 12)
    assert not any(torch.equal(x, p) for x in changed for p in data["x"])


@pytest.mark.parametrize("degrees", [15, 0])
def test_a_rotation_stays_within_its_degrees(degrees):
    """Of a bright point at the end of a radius the angle is read off."""
    picture = torch.zeros(64, 1, 65, 65)
    picture[:, 0, 31:34, 55:58] = 1
    (change,) = as_augmentations([{"affine": {"degrees": degrees, "scale": 0, "shift": 0}}])
    turned = change({"x": picture}, None, torch.Generator().manual_seed(0))[0]["x"][:, 0]
    at = torch.arange(65.0) - 32
    y, x = (turned.sum(2) @ at / turned.sum((1, 2)), turned.sum(1) @ at / turned.sum((1, 2)))
    angles = torch.rad2deg(torch.atan2(y, x))
    assert float(angles.abs().max()) <= degrees + 0.3
    if degrees:
        assert float(angles.min()) < -10
        assert float(angles.max()) > 10


def test_pictures_as_they_are_and_a_table_standardised():
    made = [
        Case(id=str(i), inputs={"x": c.inputs["x"], "t": torch.tensor([50.0 + 9 * i, 1.0])}, truth=c.truth)
        for i, c in enumerate(TRAIN)
    ]
    options = SETTINGS | {"network": "image_tabular", "inputs": ["x", "t"], "options": {"features": 2}, "epochs": 1}
    got = fit(made[:8], made[8:], **options, normalise="none")
    assert set(got.predictor.normalise) == {"t"}
    assert got.predictor.normalise["t"][0].tolist() == [81.5, 1.0]
    assert got.settings["normalise"] == "none"
    lacking = made[0].replace(inputs=made[0].inputs | {"x": torch.zeros(1, 12, 12)}, missing=("x",))
    with pytest.raises(InputError, match="case 0: input 'x' is missing, and with normalise: none there is no mean"):
        fit([lacking, *made[1:8]], made[8:], **options, normalise="none")


class Stuck(nn.Module):
    """Its validation loss never gets better."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[-3.0, 3.0]]).expand(len(x), 2) + 0 * self.scale


def test_the_plateau_cuts_the_rate_and_patience_10_ends_the_training():
    options = SETTINGS | {
        "network": "stuck", "epochs": 40, "lr": 1e-4, "weight_decay": 1e-4, "patience": 10,
        "schedule": {"plateau": {"factor": 0.5, "patience": 3}},
    }  # fmt: skip
    with registered(stuck=Stuck):
        got = fit(TRAIN, VAL, **options)
    # The first epoch is the best; the ten after it are not.
    assert got.stopped_early
    assert got.best_epoch == 1
    assert len(got.history) == 11
    # Three epochs without a better loss are borne, the rate falls after the fourth, and so on.
    assert got.history["lr"].tolist() == pytest.approx([1e-4] * 5 + [5e-5] * 4 + [2.5e-5] * 2)
