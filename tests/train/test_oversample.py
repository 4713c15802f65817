"""Which cases are drawn more often, and that they are the same ones again."""


import pytest
import torch

from pellucid.errors import UsageError
from pellucid.train import fit
from pellucid.train.data import Batches
from pellucid.train.oversample import drawn_rows
from tiny_networks import SETTINGS, Noisy, Press, cases, registered

ALL = cases(26, "t")
TRAIN, VAL = [c for i, c in enumerate(ALL) if c.truth == 0 or i < 8], cases(6, "v", seed=1)  # 13 and 4
OVER = SETTINGS | {"balance": "oversample", "augment": ["flip"]}


@pytest.fixture(autouse=True)
def _noisy():
    with registered(noisy=Noisy):
        yield


@pytest.mark.parametrize("counts", [(7, 7), (13, 4), (1, 9), (5, 12, 1)])
def test_every_class_as_often_as_the_largest_and_every_case_at_least_once(counts):
    classes = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    classes = classes[torch.randperm(len(classes), generator=torch.Generator().manual_seed(1))]
    rows = drawn_rows(classes, torch.Generator().manual_seed(0))
    assert torch.bincount(classes[rows]).tolist() == [max(counts)] * len(counts)
    times = torch.bincount(rows, minlength=len(classes))
    assert int(times.min()) == 1
    for k in range(len(counts)):
        assert int(times[classes == k].max() - times[classes == k].min()) <= 1


def test_what_is_missing_is_drawn_anew_in_every_epoch():
    classes = torch.tensor([0] * 13 + [1] * 4)
    batches = Batches({"truth": torch.arange(17)}, batch_size=26, seed=0, oversample=classes)
    more = [torch.bincount(torch.tensor(order_of(batches, epoch)[0]))[13:].argmax() for epoch in range(24)]
    assert {int(i) for i in more} == {0, 1, 2, 3}  # 13 is three times 4, and one of them


def order_of(batches, epoch):
    batches.epoch = epoch
    return [b["truth"].tolist() for b in batches]


def test_the_draw_is_of_the_seed_and_the_epoch_and_shared_by_devices():
    data = {"truth": torch.arange(17)}
    classes = torch.tensor([0] * 13 + [1] * 4)

    def made(seed=0):
        return Batches(data, batch_size=5, seed=seed, oversample=classes)

    batches = made()
    assert len(batches) == 5  # of 26: the last single one joins the batch before it
    assert [batches.size(i) for i in range(5)] == [5, 5, 5, 5, 6]
    assert order_of(batches, 3) == order_of(made(), 3)
    assert order_of(batches, 3) != order_of(batches, 4)
    assert order_of(batches, 3) != order_of(made(seed=1), 3)
    batches.epoch = 3
    assert [b["truth"].tolist() for b in batches.going_on(2)] == order_of(made(), 3)[2:]
    shared = []
    for rank in (0, 1):
        device = made()
        device.rank, device.world = rank, 2
        shared.append([part[: device.own(i)] for i, part in enumerate(order_of(device, 3))])
    together = [sorted(a + b) for a, b in zip(*shared)]
    assert together == [sorted(batch) for batch in order_of(made(), 3)]


def test_stopped_within_an_epoch_and_resumed_it_equals_unbroken(tmp_path):
    press = Press()
    whole = fit(TRAIN, VAL, **OVER | {"augment": ["flip", press]})
    assert press.seen == 3 * 7  # 26 cases in batches of four
    with pytest.raises(KeyboardInterrupt):
        fit(TRAIN, VAL, **OVER | {"augment": ["flip", Press(10)]}, out=tmp_path)
    again = fit(TRAIN, VAL, **OVER | {"augment": ["flip", Press()]}, out=tmp_path, resume=True)
    ours, theirs = again.predictor.module.state_dict(), whole.predictor.module.state_dict()
    assert all(torch.equal(ours[k], v) for k, v in theirs.items())
    columns = ["epoch", "train_loss", "val_loss", "val_metric", "lr"]
    assert whole.history[columns].equals(again.history[columns])
    plain = fit(TRAIN, VAL, **SETTINGS | {"augment": ["flip"]}).predictor.module.state_dict()
    assert not all(torch.equal(plain[k], v) for k, v in theirs.items())


def test_one_label_of_0_and_1_is_two_classes():
    settings = OVER | {"classes": ["yes"], "options": {"classes": 1}, "epochs": 1}
    press = Press()
    assert fit(TRAIN, VAL, **settings | {"augment": [press]}).predictor.activation == "sigmoid"
    assert press.seen == 7
    with pytest.raises(UsageError, match="all training cases have 'yes' = 0"):
        fit([c for c in TRAIN if c.truth == 0], VAL, **settings)


def test_what_has_no_exclusive_classes_is_refused():
    def scored(value):
        return [[c.replace(truth=value(c.truth)) for c in part] for part in (TRAIN, VAL)]

    with pytest.raises(UsageError, match=r"the 2 labels here are independent.*use class_weights"):
        fit(*scored(lambda y: [y, 1 - y]), **OVER | {"activation": "sigmoid"})
    with pytest.raises(UsageError, match="oversample is for classification, this model does regression; leave"):
        fit(*scored(float), **OVER | {"task": "regression", "classes": None, "options": {"classes": 1}})
    with pytest.raises(UsageError, match="no training case of class yes; drop the class, or leave balance out"):
        fit([c for c in TRAIN if c.truth == 0], VAL, **OVER)
    with pytest.raises(UsageError, match="balance is 'over'; known: class_weights, mlsmote, oversample, smote, or leave it out"):
        fit(TRAIN, VAL, **OVER | {"balance": "over"})
