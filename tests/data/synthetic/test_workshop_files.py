"""The folder of the workshop: seventeen files, and values that come back as they went."""

import json

import numpy as np
import pytest
import torch

from pellucid.data import load_dataset
from pellucid.data.synthetic import make
from pellucid.data.synthetic.workshop import INPUTS, read_workshop, write_workshop
from pellucid.errors import InputError, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("workshop") / "data"
    write_workshop(out, n=4, xai_n=2, size=48)
    return out


def test_seventeen_files_and_the_masks_beside_them(folder):
    files = sorted(p.name for p in folder.iterdir() if p.is_file())
    assert len(files) == 17
    assert files == sorted(json.loads((folder / "metadata.json").read_text())["files"])
    assert len(list((folder / "signal").iterdir())) == 6
    assert not list(folder.rglob("*.part"))
    text = (folder / "README.md").read_text()
    for name in ("classification_", "regression_", "segmentation_", "features", "signal", "999"):
        assert name in text


@pytest.mark.parametrize("task", INPUTS)
@pytest.mark.parametrize(("part", "n", "seed"), [("main", 4, 42), ("xai", 2, 999)])
def test_values_come_back(folder, task, part, n, seed):
    made, read = make(task, n=n, seed=seed, size=48), read_workshop(folder, task, part)
    assert len(read) == n
    for a, b in zip(made, read):
        assert (a.id, a.group, a.spacing) == (b.id, b.group, b.spacing)
        assert list(a.inputs) == list(b.inputs)
        assert all(torch.equal(a.inputs[k], b.inputs[k]) for k in a.inputs)
        assert torch.equal(a.truth, b.truth) if task == "segmentation" else a.truth == b.truth
        assert set(a.regions) == set(b.regions)
        assert all(torch.equal(a.regions[k].long(), b.regions[k].long()) for k in a.regions)


def test_it_is_a_data_set_and_the_parts_share_no_patient(folder):
    main = load_dataset("workshop", folder, task="regression")
    xai = load_dataset("workshop", folder, task="regression", part="xai")
    assert not {c.group for c in main} & {c.group for c in xai}
    assert len(load_dataset("workshop", folder, task="regression", limit=1)) == 1


def test_written_twice_it_is_the_same(folder, tmp_path):
    for path in write_workshop(tmp_path, n=4, xai_n=2, size=48):
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def test_without_the_masks_it_still_reads(folder, tmp_path):
    write_workshop(tmp_path, n=2, xai_n=1, size=32)
    (tmp_path / "signal" / "regression_main_regions.npz").unlink()
    assert read_workshop(tmp_path, "regression")[0].regions == {}


def test_what_is_broken_is_named(folder, tmp_path):
    with pytest.raises(UsageError, match="would have been trained on"):
        write_workshop(tmp_path, seed=3, xai_seed=3)
    with pytest.raises(UsageError, match="did you mean 'regression'"):
        read_workshop(folder, "regresion")
    with pytest.raises(InputError, match=r"metadata\.json is missing"):
        read_workshop(tmp_path / "nowhere", "regression")
    write_workshop(tmp_path, n=2, xai_n=1, size=32)
    np.savez(tmp_path / "regression_main_images.npz", t1=np.zeros((1, 1, 32, 32)), t2=np.zeros((2, 1, 32, 32)))
    with pytest.raises(InputError, match="2 lines in its table, but 1 of 't1'"):
        read_workshop(tmp_path, "regression")
    (tmp_path / "regression_main_images.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="cannot be read"):
        read_workshop(tmp_path, "regression")
    np.savez(tmp_path / "regression_main_images.npz", t1=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        read_workshop(tmp_path, "regression")
