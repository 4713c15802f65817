"""Data sets by name."""

import pytest

from pellucid.data import DATASETS, load_dataset
from pellucid.errors import UsageError


def test_the_synthetic_sets_are_registered_and_described():
    names = {f"synthetic_{task}" for task in ("classification", "regression", "segmentation", "volume")}
    assert names | {"workshop"} <= set(DATASETS)
    for _, loader in DATASETS.items():
        assert loader.__doc__


@pytest.mark.parametrize("task", ["classification", "regression", "segmentation", "volume"])
def test_options_reach_the_maker(task):
    cases = load_dataset(f"synthetic_{task}", n=2, seed=1, size=32)
    assert len(cases) == 2
    assert max(cases[0].spatial) == 32
    assert cases[0].id == f"{task}-1-0000"


@pytest.mark.parametrize(
    ("name", "root", "options", "message"),
    [
        ("sinthetic_volume", None, {}, "unknown data set .* did you mean 'synthetic_volume'"),
        ("synthetic_volume", None, {"sized": 3}, "no option 'sized'; did you mean 'size'"),
        ("synthetic_volume", "here", {}, "is made, not read"),
        ("workshop", None, {"task": "regression"}, "give root"),
        ("workshop", "here", {}, "needs task"),
    ],
)
def test_wrong_calls_are_refused(name, root, options, message):
    with pytest.raises(UsageError, match=message):
        load_dataset(name, root, **options)
