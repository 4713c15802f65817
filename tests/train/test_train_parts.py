import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import InputError, UsageError
from pellucid.train import best_thresholds
from pellucid.train.augment import Affine, Flip, Intensity, as_augmentations
from pellucid.train.data import Batches, columns
from pellucid.train.losses import class_weights, make_loss
from pellucid.train.normalise import statistics


def test_statistics_are_those_of_all_pixels_per_channel():
    rng = np.random.default_rng(0)
    cases = [
        Case(id=str(i), inputs={"ct": rng.normal(-500, 300, (2, 5, 4 + i)), "t": rng.normal(7, 2, 3)}) for i in range(4)
    ]
    got = statistics(cases, ["ct", "t"])
    pixels = np.concatenate([c.inputs["ct"].reshape(2, -1).numpy() for c in cases], 1)
    np.testing.assert_allclose(got["ct"][0], pixels.mean(1), rtol=1e-5)
    np.testing.assert_allclose(got["ct"][1], pixels.std(1), rtol=1e-5)
    rows = np.stack([c.inputs["t"].numpy() for c in cases])
    np.testing.assert_allclose(got["t"][0], rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(got["t"][1], rows.std(0), rtol=1e-5)


def test_a_column_that_never_changes_gets_sd_one():
    cases = [Case(id=str(i), inputs={"t": [1e6, float(i), 0.0]}) for i in range(3)]
    assert statistics(cases, ["t"])["t"][1].tolist() == [1.0, pytest.approx(0.816497), 1.0]


def data(n=8, shape=(12, 16), mask=True):
    g = torch.Generator().manual_seed(0)
    a = torch.rand(n, 1, *shape, generator=g)
    return {"a": a, "b": 2 * a, "truth": (a[:, 0] > 0.5).long() if mask else torch.arange(n)}


def test_batches_are_in_order_or_shuffled_by_seed_and_epoch():
    d = {"a": torch.arange(10.0)[:, None], "truth": torch.arange(10)}
    assert torch.cat([b["truth"] for b in Batches(d, batch_size=4)]).tolist() == list(range(10))
    batches = Batches(d, batch_size=4, seed=1)
    first = [b["truth"].tolist() for b in batches]
    assert first == [b["truth"].tolist() for b in batches]
    assert sorted(i for b in first for i in b) == list(range(10))
    batches.epoch = 1
    assert first != [b["truth"].tolist() for b in batches]
    assert [len(b["truth"]) for b in Batches(d, batch_size=3, seed=1)] == [3, 3, 4]
    assert len(Batches(d, batch_size=3, seed=1)) == 3
    assert [len(b["truth"]) for b in Batches(d, batch_size=3)] == [3, 3, 3, 1]


@pytest.mark.parametrize("shape", [(12, 16), (8, 6, 10)])
@pytest.mark.parametrize("change", [Flip(), Flip(axis=0, p=1), Affine(), Affine(degrees=0, scale=0, shift=0.2)])
def test_pictures_and_mask_move_together(shape, change):
    """A picture that is its own mask stays so, and the second picture follows the first."""
    g = torch.Generator().manual_seed(0)
    blob = torch.nn.functional.avg_pool1d(torch.rand(5, 1, int(np.prod(shape)), generator=g), 3, 1, 1)
    blob = blob.reshape(5, 1, *shape)
    mask = torch.zeros(5, *shape, dtype=torch.uint8)
    mask[(slice(None), *[slice(2, s - 3) for s in shape])] = 1
    images = {"a": mask[:, None].float(), "b": blob, "c": 2 * blob}
    got, moved = change(images, mask, torch.Generator().manual_seed(1))
    assert moved.dtype == mask.dtype
    # Linear interpolation of a box is a product of one ramp per axis, and nearest is 1 where all of them exceed a half.
    linear = got["a"][:, 0]
    assert (moved[linear > 0.501] == 1).all()
    assert (moved[linear < 0.499 ** len(shape)] == 0).all()
    assert torch.allclose(got["c"], 2 * got["b"])
    assert not torch.equal(moved, mask)
    again, _ = change(images, mask, torch.Generator().manual_seed(1))
    assert torch.equal(got["b"], again["b"])


def test_a_quarter_turn_keeps_shapes_that_are_not_square():
    """Rotation in pixels, not in the grid's own units: a disc stays a disc in a wide picture."""
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(60.0), indexing="ij")
    disc = (((y - 9.5) ** 2 + (x - 29.5) ** 2) < 36).float()[None, None].repeat(30, 1, 1, 1)
    got, _ = Affine(degrees=90, scale=0, shift=0)({"a": disc}, None, torch.Generator().manual_seed(0))
    assert (got["a"] - disc).abs().mean() < 0.01


def test_no_change_changes_nothing():
    d = data()
    images = {k: d[k] for k in "ab"}
    for change in (Affine(degrees=0, scale=0, shift=0), Flip(p=0), Intensity(gain=0, bias=0)):
        got, mask = change(images, d["truth"], torch.Generator())
        assert torch.allclose(got["a"], images["a"], atol=1e-5)
        assert torch.equal(mask, d["truth"])


def test_intensity_changes_each_picture_by_a_line_and_leaves_the_mask():
    d = data()
    got, mask = Intensity(gain=0.3, bias=0.2)({"a": d["a"]}, d["truth"], torch.Generator().manual_seed(0))
    assert torch.equal(mask, d["truth"])
    slopes = []
    for x, y in zip(d["a"], got["a"]):
        slope, offset = np.polyfit(x.flatten(), y.flatten(), 1)
        np.testing.assert_allclose(y.flatten(), slope * x.flatten() + offset, atol=1e-5)
        slopes.append(slope)
    assert 0.69 < min(slopes) < max(slopes) < 1.31
    assert np.std(slopes) > 0.05


def test_tables_and_validation_are_never_augmented():
    d = data(mask=False) | {"t": torch.arange(24.0).reshape(8, 3)}
    (batch,) = Batches(d, batch_size=8, seed=0, augment=[Flip(p=1)])
    assert torch.equal(batch["t"], d["t"][batch["truth"]])
    assert torch.equal(batch["a"], d["a"][batch["truth"]].flip(-1))


def test_augmentations_by_name():
    got = as_augmentations(["flip", {"affine": {"degrees": 3}, "intensity": None}, Flip(axis=0)])
    assert got == [Flip(), Affine(degrees=3), Intensity(), Flip(axis=0)]
    with pytest.raises(UsageError, match="give a list"):
        as_augmentations("flip")


def test_class_weights():
    y = torch.tensor([0, 0, 0, 1, 2, 2])
    want = compute_class_weight("balanced", classes=np.arange(3), y=y.numpy())
    np.testing.assert_allclose(class_weights(y, activation="softmax", classes=3), want, rtol=1e-6)
    labels = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    assert class_weights(labels, activation="sigmoid", classes=2).tolist() == [3.0, pytest.approx(1 / 3)]
    with pytest.raises(UsageError, match="no training case of class 2;"):
        class_weights(y[:4], activation="softmax", classes=3)


def segmenter(k):
    return Predictor(nn.Identity(), inputs=["x"], task="segmentation", classes=[str(i) for i in range(k)])


def test_segmentation_loss_is_dice_plus_cross_entropy():
    """Against MONAI, whose smoothing is set to ours."""
    from monai.losses import DiceLoss

    torch.manual_seed(0)
    out, truth = torch.randn(2, 3, 6, 5), torch.randint(0, 3, (2, 6, 5))
    dice = DiceLoss(
        include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=1, smooth_dr=1
    )(out, truth[:, None])
    want = dice + nn.functional.cross_entropy(out, truth)
    assert make_loss(segmenter(3))(out, truth.to(torch.uint8)) == pytest.approx(float(want), rel=1e-5)
    one, mask = out[:, :1], (truth == 1).long()
    dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=1, smooth_dr=1)(one, mask[:, None])
    want = dice + nn.functional.binary_cross_entropy_with_logits(one[:, 0], mask.float())
    assert make_loss(segmenter(1))(one, mask) == pytest.approx(float(want), rel=1e-5)


def test_scores_of_shape_b_are_not_broadcast():
    """``(B,)`` against ``(B, 1)`` would silently become ``(B, B)``."""
    p = Predictor(nn.Identity(), inputs=["x"], task="regression")
    truth = torch.arange(4.0)[:, None]
    assert float(make_loss(p)(torch.arange(4.0), truth)) == 0.0
    assert float(make_loss(p, name="huber")(torch.arange(4.0), truth)) == 0.0


def test_thresholds_are_the_best_of_all(tmp_path):
    rng = np.random.default_rng(0)
    y = (rng.random((40, 2)) < 0.3).astype(int)
    p = np.round(np.clip(0.4 * y + rng.random((40, 2)) * 0.6, 0, 1), 2)
    got = best_thresholds(torch.tensor(y), torch.tensor(p))
    for k in range(2):
        best = max(f1_score(y[:, k], p[:, k] > t, zero_division=0) for t in np.r_[-1, np.unique(p[:, k])])
        assert f1_score(y[:, k], p[:, k] > got[k]) == pytest.approx(best)


def test_truths_that_do_not_fit_the_task():
    labels = Predictor(nn.Identity(), inputs=["x"], task="classification", classes=["a", "b"], activation="sigmoid")
    with pytest.raises(InputError, match="independent labels need 2 values"):
        columns([Case(id="p", inputs={"x": torch.zeros(1, 4, 4)}, truth=1)], labels)
    with pytest.raises(InputError, match="2 values of 0 or 1"):
        columns([Case(id="p", inputs={"x": torch.zeros(1, 4, 4)}, truth=[0.5, 1])], labels)
    with pytest.raises(InputError, match="truth is no mask"):
        columns([Case(id="p", inputs={"x": torch.zeros(1, 4, 4)}, truth=1)], segmenter(1))
    with pytest.raises(InputError, match="values 0 to 2, the classes go from 0 to 1"):
        columns([Case(id="p", inputs={"x": torch.zeros(1, 2, 3)}, truth=[[0, 1, 2]] * 2)], segmenter(1))
    named = Predictor(nn.Identity(), inputs=["x"], task="classification", classes=["a", "b"])
    assert columns([Case(id="p", inputs={"x": torch.zeros(1, 4, 4)}, truth="b")], named)["truth"] == [1]
    with pytest.raises(InputError, match="no class index"):
        columns([Case(id="p", inputs={"x": torch.zeros(1, 4, 4)}, truth=0.5)], named)
