import os
import signal
import threading

import numpy as np
import pytest
import torch

from pellucid.core.case import Case
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.train import Trained, fit
from pellucid.train.layout import channels_last, lay_out


def cases(n, prefix, seed=0, side=16):
    """A bright square or none, in units of 100; a table whose first column knows the class."""
    rng, made = np.random.default_rng(seed), []
    for i in range(n):
        y = i % 2
        image = rng.random((1, side, side)).astype(np.float32)
        image[0, 4:10, 4:10] += 1.5 * y
        mask = np.zeros((side, side), int)
        mask[4:10, 4:10] = y
        table = rng.normal(size=3) + np.array([y, 0, 0])
        regions = {"square": mask}
        made.append(Case(id=f"{prefix}{i}", inputs={"a": 100 * image, "b": image, "t": table}, truth=y, regions=regions))
    return made


CLASSIFY = {
    "network": "image_tabular", "options": {"features": 3}, "inputs": ["a", "t"], "task": "classification",
    "classes": ["no", "yes"], "batch_size": 8, "progress": False,
}  # fmt: skip
TRAIN, VAL = cases(24, "t"), cases(11, "v", seed=1)


def weights(trained):
    return trained.predictor.module.state_dict()


def same(a, b):
    return all(torch.equal(v, b[k]) for k, v in a.items())


def test_classification_learns_and_records():
    got = fit(TRAIN, VAL, **CLASSIFY, epochs=12)
    assert isinstance(got, Trained)
    assert list(got.history.columns) == ["epoch", "train_loss", "val_loss", "val_metric", "lr", "seconds"]
    assert got.history.epoch.tolist() == list(range(1, 13))
    assert got.metric == "accuracy"
    assert got.history.val_metric.iloc[got.best_epoch - 1] == 1.0
    assert got.history.train_loss.iloc[-1] < 0.5 * got.history.train_loss.iloc[0]
    assert got.best_epoch == got.history.val_loss.argmin() + 1
    assert not got.stopped_early
    assert got.history.lr.iloc[0] == 1e-3
    assert got.history.lr.is_monotonic_decreasing
    assert got.predictor.classes == ("no", "yes")
    assert not got.predictor.module.training


def test_regression_learns():
    def score(c):
        return c.replace(truth=2.0 + 3 * c.truth)

    got = fit(
        [score(c) for c in TRAIN], [score(c) for c in VAL], network="two_stream", inputs=["a", "b"],
        task="regression", epochs=12, lr=1e-2, batch_size=8, progress=False,
    )  # fmt: skip
    assert got.metric == "rmse"
    # A constant at the mean has 1.5.
    assert got.history.val_metric.min() < 0.4


@pytest.mark.parametrize("classes", [["lesion"], ["background", "lesion"]])
def test_segmentation_learns(classes):
    def masked(c):
        return c.replace(truth=c.regions["square"])

    got = fit(
        [masked(c) for c in TRAIN], [masked(c) for c in VAL], network="two_encoder_unet", inputs=["a", "b"],
        task="segmentation", classes=classes, options={"width": 4, "classes": len(classes)}, epochs=10, lr=1e-2,
        batch_size=4, progress=False,
    )  # fmt: skip
    assert got.metric == "dice"
    assert got.history.val_metric.max() > 0.9


def test_a_volume_is_segmented():
    rng = np.random.default_rng(0)
    made = []
    for i in range(8):
        mask = np.zeros((8, 8, 8), int)
        mask[2:6, 2:6, 2:6], mask[6:] = 1, 2
        made.append(Case(id=str(i), inputs={"ct": (mask + 0.3 * rng.normal(size=mask.shape))[None]}, truth=mask))
    got = fit(
        made[:6], made[6:], network="unet_3d", inputs=["ct"], task="segmentation", classes=["bg", "one", "two"],
        options={"classes": 3, "channels": [4, 8]}, epochs=10, lr=1e-2, batch_size=2, progress=False,
    )  # fmt: skip
    assert got.history.val_metric.max() > 0.9
    # Trained channels last, given back in the usual layout.
    assert all(p.stride() == torch.empty(p.shape).stride() for p in got.predictor.module.parameters())


def test_one_channel_is_trained_channels_last_too():
    """Through the first convolution PyTorch takes on the layout that the strides say, of one channel as well."""
    net = lay_out(torch.nn.Conv2d(1, 4, 3), last=True)
    assert net(channels_last(torch.zeros(2, 1, 8, 8))).is_contiguous(memory_format=torch.channels_last)
    lay_out(net, last=False)
    assert net.weight.stride() == (9, 9, 3, 1)
    assert not net(torch.zeros(2, 1, 8, 8)).is_contiguous(memory_format=torch.channels_last)


def test_labels_get_thresholds_from_validation():
    def labelled(c):
        return c.replace(truth=[c.truth, 1 - c.truth])

    options = CLASSIFY | {"activation": "sigmoid", "epochs": 1}
    train, val = [labelled(c) for c in TRAIN], [labelled(c) for c in VAL]
    got = fit(train, val, **options)
    assert got.predictor.activation == "sigmoid"
    assert len(got.predictor.thresholds) == 2
    # Other truths in the validation split, other thresholds; the weights come from the same training cases.
    swapped = [c.replace(truth=[i % 3 == 0, i % 3 == 1]) for i, c in enumerate(val)]
    other = fit(train, swapped, **options)
    assert same(weights(other), weights(got))
    assert other.predictor.thresholds != got.predictor.thresholds


def test_one_sigmoid_class_takes_0_and_1():
    options = CLASSIFY | {"classes": ["yes"], "options": {"features": 3, "classes": 1}, "epochs": 3}
    got = fit(TRAIN, VAL, **options, balance="class_weights")
    assert got.predictor.activation == "sigmoid"
    assert got.history.val_metric.iloc[-1] > 0.8


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = fit(TRAIN, VAL, **CLASSIFY, epochs=2, augment=["flip", "affine", "intensity"], seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(7)
    second = fit(TRAIN, VAL, **CLASSIFY, epochs=2, augment=["flip", "affine", "intensity"], seed=3)
    other = fit(TRAIN, VAL, **CLASSIFY, epochs=2, augment=["flip", "affine", "intensity"], seed=4)
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(other))


class Stop(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_killed_and_resumed_equals_unbroken(tmp_path, optimizer):
    options = CLASSIFY | {"epochs": 5, "augment": ["affine"], "optimizer": optimizer, "weight_decay": 0.01}
    whole = fit(TRAIN, VAL, **options)

    def kill(record):
        if record["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        fit(TRAIN, VAL, **(options | {"progress": kill}), out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]
    seen = []
    again = fit(TRAIN, VAL, **(options | {"progress": seen.append}), out=tmp_path, resume=True)
    assert [r["epoch"] for r in seen] == [3, 4, 5]
    assert same(weights(whole), weights(again))
    columns = ["epoch", "train_loss", "val_loss", "val_metric", "lr"]
    assert whole.history[columns].equals(again.history[columns])
    assert whole.best_epoch == again.best_epoch
    # A finished training has nothing left to do.
    seen.clear()
    finished = fit(TRAIN, VAL, **(options | {"progress": seen.append}), out=tmp_path, resume=True)
    assert not seen
    assert same(weights(whole), weights(finished))


def test_resuming_with_batch_norm_and_dropout_equals_unbroken(tmp_path):
    options = {
        "network": "densenet121", "options": {"dropout": 0.2, "classes": 2}, "inputs": ["a"], "task": "classification",
        "classes": ["no", "yes"], "batch_size": 5, "epochs": 2,
    }  # fmt: skip
    train, val = cases(9, "t", side=32), cases(4, "v", side=32)
    whole = fit(train, val, **options, progress=False)

    def kill(record):
        raise Stop

    with pytest.raises(Stop):
        fit(train, val, **options, progress=kill, out=tmp_path)
    again = fit(train, val, **options, progress=False, out=tmp_path, resume=True)
    assert whole.history.train_loss.equals(again.history.train_loss)
    assert same(weights(whole), weights(again))


def test_resume_refuses_other_settings_and_damage(tmp_path):
    fit(TRAIN, VAL, **CLASSIFY, epochs=1, out=tmp_path)
    with pytest.raises(UsageError, match=r"lr was 0\.001, now 0\.01"):
        fit(TRAIN, VAL, **CLASSIFY, epochs=1, lr=0.01, out=tmp_path, resume=True)
    with pytest.raises(UsageError, match="cases was"):
        fit(TRAIN[1:] + TRAIN[:1], VAL, **CLASSIFY, epochs=1, out=tmp_path, resume=True)
    with pytest.raises(UsageError, match="give the folder"):
        fit(TRAIN, VAL, **CLASSIFY, epochs=1, resume=True)
    path = tmp_path / "last.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="damaged"):
        fit(TRAIN, VAL, **CLASSIFY, epochs=1, out=tmp_path, resume=True)


def test_early_stopping_fires_and_the_best_epoch_is_kept():
    noise = [c.replace(truth=int(i < 12)) for i, c in enumerate(TRAIN)]
    got = fit(noise, VAL, **CLASSIFY, epochs=60, patience=2, lr=3e-3, schedule="constant")
    assert got.stopped_early
    assert len(got.history) == got.best_epoch + 2 < 60
    assert got.history.val_loss.argmin() + 1 == got.best_epoch
    short = fit(noise, VAL, **CLASSIFY, epochs=got.best_epoch, lr=3e-3, schedule="constant")
    assert same(weights(got), weights(short))


def test_ctrl_c_stops_between_batches_with_the_state_kept(tmp_path):
    assert threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)

    def press(record):
        if record["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **(CLASSIFY | {"progress": press}), epochs=5, out=tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    again = fit(TRAIN, VAL, **CLASSIFY, epochs=5, out=tmp_path, resume=True)
    assert same(weights(fit(TRAIN, VAL, **CLASSIFY, epochs=5)), weights(again))


def test_a_bar_goes_to_standard_error(capfd):
    fit(TRAIN, VAL, **(CLASSIFY | {"progress": True}), epochs=1)
    out, err = capfd.readouterr()
    assert out == ""
    assert "accuracy" in err
    fit(TRAIN, VAL, **CLASSIFY, epochs=1)
    assert capfd.readouterr() == ("", "")


def test_a_last_single_case_joins_the_batch_before():
    fit(TRAIN[:9], VAL, network="two_stream", inputs=["a", "b"], task="regression", epochs=1, batch_size=8, progress=False)


def test_bad_calls():
    def call(train=TRAIN, val=VAL, **changes):
        return fit(train, val, **(CLASSIFY | {"epochs": 1} | changes))

    with pytest.raises(UsageError, match="takes 2 inputs, 1 are named"):
        call(inputs=["a"])
    with pytest.raises(InputError, match="case t0: the model wants input 'ct'"):
        call(inputs=["ct", "t"])
    with pytest.raises(UsageError, match="unknown network 'resnet19'"):
        call(network="resnet19")
    with pytest.raises(UsageError, match=r"gives \(1, 2\) for one case, \(1, 3\) is wanted"):
        call(classes=["a", "b", "c"])
    with pytest.raises(UsageError, match="cannot take these inputs"):
        call(options={"features": 4})
    for changes, words in (
        ({"optimizer": "adm"}, "did you mean 'adam'"), ({"schedule": "cos"}, "unknown schedule"),
        ({"augment": ["flop"]}, "did you mean 'flip'"), ({"augment": [{"flip": {"axes": 1}}]}, "did you mean 'axis'"),
        ({"loss": "mse"}, "loss 'mse' for classification"), ({"epochs": 0}, "epochs is 0"), ({"lr": 0}, "lr is 0"),
        ({"batch_size": 0}, "batch_size is 0"), ({"precision": "fp8"}, "training precision"),
        ({"patience": 0}, "patience is 0"), ({"balance": "smot"}, "balance is 'smot'"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            call(**changes)


def test_bad_cases():
    def call(train=TRAIN, val=VAL):
        return fit(train, val, **CLASSIFY, epochs=1)

    with pytest.raises(InputError, match="no cases"):
        call(train=[])
    with pytest.raises(InputError, match="case t0: truth is 2, the classes go from 0 to 1"):
        call([TRAIN[0].replace(truth=2), *TRAIN[1:]])
    with pytest.raises(InputError, match="case t3: truth is None"):
        call([*TRAIN[:3], TRAIN[3].replace(truth=None)])
    with pytest.raises(InputError, match="case t1: the id occurs twice"):
        call([*TRAIN, TRAIN[1]])
    odd = TRAIN[2].replace(inputs={**TRAIN[2].inputs, "a": torch.zeros(1, 8, 8)}, regions={})
    with pytest.raises(InputError, match=r"case t2: input 'a' is \(1, 8, 8\), that of the first case \(1, 16, 16\)"):
        call([*TRAIN[:2], odd])
    with pytest.raises(InputError, match="patients are in the training and in the validation"):
        call(val=[*VAL, TRAIN[0].replace(id="other", group=TRAIN[0].group)])


def test_a_training_that_diverges_says_so():
    with pytest.raises(ModelError, match=r"diverged in epoch \d+: .* lower lr"):
        fit(
            [c.replace(truth=1e30 * c.truth) for c in TRAIN], VAL, network="two_stream", inputs=["a", "b"],
            task="regression", epochs=3, lr=1e30, optimizer="sgd", progress=False,
        )  # fmt: skip
