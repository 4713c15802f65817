"""Training on patches: where they are cut, what the validation sees, and that a resumed training is the same."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from monai.transforms import RandCropByLabelClasses
from torch import nn

from pellucid.core.case import Case
from pellucid.core.windows import windows
from pellucid.errors import InputError, UsageError
from pellucid.nets import load_predictor, save_predictor
from pellucid.train import fit
from pellucid.train.data import TRUTH, Batches
from pellucid.train.patches import Patches
from pellucid.train.ragged import Ragged
from tiny_networks import Press, registered

SIZES = [(12, 10, 9), (8, 14, 7), (10, 6, 8), (9, 9, 9)]


class Thick(nn.Module):
    """Two convolutions, a batch norm and dropout, for volumes of two modalities."""

    def __init__(self, *, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(2, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.Dropout(0.2), nn.Conv3d(6, classes, 1)
        )

    def forward(self, a, b):
        """Two inputs to logits."""
        return self.body(torch.cat([a, b], dim=1))


@pytest.fixture(autouse=True)
def _thick():
    with registered(thick=Thick):
        yield


def volumes(n, prefix, seed=0):
    """A bright box (1) and a dark one (2), in volumes of several sizes; every voxel of ``b`` is its own number."""
    rng, found = np.random.default_rng(seed), []
    for i in range(n):
        shape = SIZES[i % len(SIZES)]
        mask = np.zeros(shape, dtype=np.int64)
        mask[1:5, 1:4, 2:6] = 1
        mask[5:8, 3:6, 1:4] = 2
        a = rng.normal(size=shape) + np.array([0.0, 3.0, -3.0])[mask]
        b = np.arange(mask.size, dtype=float).reshape(shape)
        found.append(Case(id=f"{prefix}{i}", inputs={"a": a[None], "b": b[None]}, truth=mask))
    return found


TRAIN, VAL = volumes(6, "t"), volumes(3, "v", seed=1)
SETTINGS = {
    "network": "thick", "inputs": ["a", "b"], "task": "segmentation", "classes": ["body", "bright", "dark"],
    "batch_size": 4, "epochs": 3, "lr": 3e-2, "progress": False, "device": "cpu", "patch": (6, 7, 6), "patches": 2,
    "augment": ["flip", "intensity"], "windows": {"roi": (6, 7, 6), "overlap": 0.5, "value": -1.0},
}  # fmt: skip


def data(cases):
    inputs = {k: [c.inputs[k] for c in cases] for k in ("a", "b")}
    return inputs | {TRUTH: [c.truth.to(torch.uint8) for c in cases]}


def batches(cases=TRAIN, *, size=(6, 7, 6), number=3, **more):
    cut = Patches(size, number=number, windows=windows(size, value=-9.0))
    return Batches(data(cases), batch_size=4, seed=3, patches=cut, **more)


def test_a_patch_is_the_one_that_monai_draws():
    case = {k: v[0] for k, v in data(TRAIN).items()}
    cut = Patches((6, 7, 6), number=1, windows=windows((6, 7, 6)))
    got = [cut.drawn(case, 0, torch.Generator().manual_seed(i)) for i in range(20)]
    for i, patch in enumerate(got):
        number = int(torch.randint(2**32, (), generator=torch.Generator().manual_seed(i)))
        oracle = RandCropByLabelClasses(spatial_size=(6, 7, 6), num_classes=3, num_samples=1)
        oracle.set_random_state(state=np.random.RandomState(number))
        oracle.randomize(case[TRUTH][None], None, None)
        for name, value in {"a": case["a"], "b": case["b"], TRUTH: case[TRUTH][None]}.items():
            (wanted,) = oracle(value, randomize=False)
            assert torch.equal(torch.as_tensor(wanted), patch[name] if name != TRUTH else patch[TRUTH][None])
    assert len({tuple(p["b"].flatten().tolist()) for p in got}) > 5


def test_every_class_is_in_the_middle_as_often_as_any_other():
    volume = np.zeros((20, 20, 20), dtype=np.int64)
    volume[10:12, 10:12, 10:12], volume[3:17, 3:9, 3:17] = 1, 2
    case = {"a": torch.zeros(1, 20, 20, 20), TRUTH: torch.from_numpy(volume).to(torch.uint8)}
    cut = Patches((3, 3, 3), number=1, windows=windows((3, 3, 3)))
    generator = torch.Generator().manual_seed(0)
    middles = [int(cut.drawn(case, 0, generator)[TRUTH][1, 1, 1]) for _ in range(600)]
    counts = np.bincount(middles, minlength=3) / 600
    assert np.abs(counts - 1 / 3).max() < 0.08, counts


def test_pictures_and_mask_are_cut_alike_in_every_batch():
    seen = 0
    for batch in batches():
        for a, b, mask in zip(batch["a"], batch["b"], batch[TRUTH]):
            (case,) = [c for c in TRAIN if (inner := b[0][b[0] >= 0]).numel() and _holds(c, a, inner)]
            index = b[0].long()
            inside = index >= 0
            assert torch.equal(mask[inside].long(), case.truth.flatten()[index[inside]])
            assert torch.equal(a[0][inside], case.inputs["a"].flatten()[index[inside]])
            assert not mask[~inside].any()
            assert torch.equal(a[0][~inside], torch.full_like(a[0][~inside], -9))
            seen += 1
    assert seen == 18


def _holds(case, a, index):
    index = index.long()
    values = case.inputs["a"].flatten()
    return int(index.max()) < len(values) and bool(torch.isin(values[index], a).all())


def test_a_volume_smaller_than_the_patch_is_padded_as_its_windows_are():
    case = {k: v[2] for k, v in data(TRAIN).items()}  # 10 × 6 × 8
    cut = Patches((6, 9, 11), number=1, windows=windows((4, 4, 4), value=-9.0))
    patch = cut.middle(case)
    wanted = F.pad(case["a"][:, 2:8], (1, 2, 1, 2, 0, 0), value=-9.0)
    assert torch.equal(patch["a"], wanted)
    assert torch.equal(patch[TRUTH], F.pad(case[TRUTH][2:8], (1, 2, 1, 2, 0, 0)))
    seen = []
    whole = {k: v[None, :, 2:8] for k, v in case.items() if k != TRUTH}
    sliding_window_inference(whole["a"], (6, 9, 11), 1, lambda x: (seen.append(x.clone()), x)[1], cval=-9.0)
    assert torch.equal(patch["a"], seen[0][0])


def test_a_table_stays_whole_in_training_and_with_every_window():
    cases = [c.replace(inputs={**c.inputs, "age": [50.0 + i]}) for i, c in enumerate(TRAIN)]
    given = data(cases) | {"age": [c.inputs["age"] for c in cases]}
    cut = Patches((6, 7, 6), number=1, windows=windows((6, 7, 6)))
    ages = torch.cat([b["age"] for b in Batches(given, batch_size=2, seed=0, patches=cut)])
    assert sorted(ages.flatten().tolist()) == [50.0, 51.0, 52.0, 53.0, 54.0, 55.0]


@pytest.fixture(scope="module")
def trained():
    with registered(thick=Thick):
        return fit(TRAIN, VAL, **SETTINGS | {"epochs": 16})


def test_it_learns_and_the_metric_is_that_of_the_stitched_volumes(trained):
    assert trained.history["val_metric"].iloc[-1] > 0.75
    p, found = trained.predictor, []
    mean, sd = (torch.cat([p.normalise[k][i] for k in ("a", "b")])[None, :, None, None, None] for i in (0, 1))

    def run(v):
        return p.module.eval()(*((v - mean) / sd).split(1, dim=1))

    for case in VAL:
        x = torch.cat([case.inputs["a"], case.inputs["b"]])[None]
        with torch.inference_mode():
            z = sliding_window_inference(x, (6, 7, 6), 1, run, overlap=0.5, mode="gaussian", cval=-1.0)
        labels = z.argmax(1)[0]
        for k in (1, 2):
            a, b = labels == k, case.truth == k
            found.append(float(2 * (a & b).sum() / (a.sum() + b.sum())))
    assert trained.history["val_metric"][trained.best_epoch - 1] == pytest.approx(np.mean(found), abs=1e-6)


def test_the_windows_stay_with_the_model(trained, tmp_path):
    assert trained.predictor.windows == windows((6, 7, 6), overlap=0.5, value=-1.0)
    assert trained.settings["windows"]["roi"] == [6, 7, 6]
    again = load_predictor(save_predictor(trained.predictor, tmp_path, network="thick"))
    assert again.windows == trained.predictor.windows
    plain = fit(TRAIN, VAL, **SETTINGS | {"windows": None, "epochs": 1})
    assert plain.predictor.windows == windows((6, 7, 6))


def test_stopped_within_an_epoch_and_resumed_it_equals_unbroken(tmp_path):
    whole = fit(TRAIN, VAL, **SETTINGS | {"augment": [*SETTINGS["augment"], Press()]})
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **SETTINGS | {"augment": [*SETTINGS["augment"], Press(5)]}, out=tmp_path)
    again = fit(TRAIN, VAL, **SETTINGS | {"augment": [*SETTINGS["augment"], Press()]}, out=tmp_path, resume=True)
    columns = ["epoch", "train_loss", "val_loss", "val_metric", "lr"]
    assert whole.history[columns].equals(again.history[columns])
    theirs = again.predictor.module.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in whole.predictor.module.state_dict().items())
    options = SETTINGS | {"augment": [*SETTINGS["augment"], Press()], "patches": 3}
    with pytest.raises(UsageError, match=r"patch was \[6, 7, 6, 2\], now \[6, 7, 6, 3\]"):
        fit(TRAIN, VAL, **options, out=tmp_path, resume=True)


def test_the_augmentation_sees_patches_and_an_epoch_has_so_many_of_each_case():
    seen = []
    list(batches(augment=[lambda images, mask, _: (seen.append(tuple(mask.shape)), (images, mask))[1]]))
    assert seen == [(4, 6, 7, 6)] * 4 + [(2, 6, 7, 6)]
    again = [b["a"] for b in batches()]
    assert all(torch.equal(x, y["a"]) for x, y in zip(again, batches()))
    other = batches()
    other.epoch = 1
    assert not torch.equal(next(iter(other))["a"], again[0])


def test_volumes_of_several_sizes_are_shared_between_processes_in_one_piece():
    made = batches()
    before = [b["a"] for b in made]
    made.for_several()
    assert isinstance(made.data["a"], Ragged)
    assert len({x.untyped_storage().data_ptr() for x in made.data["a"]}) == 1
    assert made.data["a"].flat.is_shared()
    assert all(torch.equal(x, y["a"]) for x, y in zip(before, made))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"patch": (6, 0, 6)}, "patch is .* give two or three positive"),
        ({"patch": (6, 6)}, "patch .* has 2 axes, the windows"),
        ({"patches": 0}, "patches is 0"),
        ({"patch": None}, "patches is 2, and there is no patch"),
        ({"balance": "oversample"}, "balance is for classification; patches are balanced"),
        ({"task": "classification"}, "patch is for a segmentation, this model does classification"),
    ],
)
def test_settings_that_do_not_go_together(change, sentence):
    with pytest.raises(UsageError, match=sentence):
        fit(TRAIN, VAL, **SETTINGS | change)


def test_cases_that_cannot_be_cut():
    two_grids = TRAIN[0].replace(inputs={"a": TRAIN[0].inputs["a"], "b": torch.zeros(1, 5, 5, 5)})
    with pytest.raises(InputError, match=r"case t0: input 'b' is \(5, 5, 5\), the first picture \(12, 10, 9\)"):
        fit([two_grids, *TRAIN[1:]], VAL, **SETTINGS)
    flat = [Case(id=str(i), inputs={"a": torch.rand(1, 8, 8), "b": torch.rand(1, 8, 8)}, truth=torch.ones(8, 8)) for i in (0, 1)]  # fmt: skip
    with pytest.raises(InputError, match=r"case 0: its pictures are \(8, 8\), patches and windows have 3 axes"):
        fit(flat, VAL, **SETTINGS)
    with pytest.raises(InputError, match=r"training needs one size, resample the cases, or train .* on patches"):
        fit(TRAIN, VAL, **SETTINGS | {"patch": None, "patches": 1})
