import json
import pickle

import pytest
import torch
from torch import nn

from pellucid.core.predictor import Predictor
from pellucid.errors import ModelError, UsageError
from pellucid.nets import build_network, load_predictor, load_weights, save_predictor, save_weights


@pytest.fixture
def predictor():
    torch.manual_seed(1)
    module = build_network("two_encoder_unet", {"width": 2, "classes": 2})
    # Batch norm's running numbers have to travel too.
    module(torch.rand(4, 1, 16, 16), torch.rand(4, 1, 16, 16))
    return Predictor(
        module.eval(), inputs=["flair", "t1ce"], task="segmentation", classes=["bg", "lesion"],
        normalise={"flair": (0.1, 0.3), "t1ce": ([2.0], [7.0])}, thresholds=(0.4, 0.6), name="mine",
    )  # fmt: skip


def save(predictor, folder, **more):
    return save_predictor(
        predictor, folder, network="two_encoder_unet", options={"width": 2, "classes": 2}, **more
    )


def test_round_trip(predictor, tmp_path):
    save(predictor, tmp_path / "deep" / "model", info={"dice": float("nan"), "auroc": 0.9})
    other = load_predictor(tmp_path / "deep" / "model")
    x, y = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    assert torch.equal(predictor.module(x, y), other.module(x, y))
    assert not other.module.training
    for field in ("inputs", "task", "classes", "activation", "thresholds", "features", "output", "name"):
        assert getattr(other, field) == getattr(predictor, field)
    for name in predictor.inputs:
        assert all(torch.equal(a, b) for a, b in zip(other.normalise[name], predictor.normalise[name]))
    assert other.weights_hash() == predictor.weights_hash()
    text = json.loads((tmp_path / "deep/model/model.json").read_text())
    assert text["info"] == {"dice": None, "auroc": 0.9}
    assert text["weights"]["hash"] == predictor.weights_hash()
    assert sorted(p.name for p in (tmp_path / "deep/model").iterdir()) == ["model.json", "weights.safetensors"]


def test_a_table_and_thresholds_round_trip(tmp_path):
    module = build_network("image_tabular", {"features": 2, "classes": 3})
    made = Predictor(
        module, inputs=["ct", "ehr"], task="classification", classes=["a", "b", "c"], activation="sigmoid",
        thresholds=[0.1, float("nan"), 0.3], temperature=2.5, features={"ehr": ["age", "bmi"]},
        normalise={"ehr": ([60, 25], [10, 4])},
    )  # fmt: skip
    save_predictor(made, tmp_path, network="image_tabular", options={"features": 2, "classes": 3})
    written = json.loads((tmp_path / "model.json").read_text())
    assert written["predictor"]["thresholds"] == [0.1, None, 0.3]
    got = load_predictor(tmp_path)
    assert str(got.thresholds) == "(0.1, nan, 0.3)"
    assert got.without_threshold == ("b",)
    assert got.temperature == 2.5
    # A folder of before there were temperatures.
    del written["predictor"]["temperature"]
    (tmp_path / "model.json").write_text(json.dumps(written))
    assert load_predictor(tmp_path).temperature == 1
    assert got.features == {"ehr": ("age", "bmi")}
    assert got.activation == "sigmoid"


def test_saving_again_replaces(predictor, tmp_path):
    save(predictor, tmp_path)
    with torch.no_grad():
        predictor.module.out.bias.add_(1)
    save(predictor, tmp_path)
    assert load_predictor(tmp_path).weights_hash() == predictor.weights_hash()


def test_tampered_weights_are_refused(predictor, tmp_path):
    save(predictor, tmp_path)
    path = tmp_path / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"not the file that model\.json describes"):
        load_predictor(tmp_path)


def test_damaged_folders(predictor, tmp_path):
    with pytest.raises(ModelError, match=r"model.json is missing"):
        load_predictor(tmp_path)
    save(predictor, tmp_path)
    good = json.loads((tmp_path / "model.json").read_text())

    def write(content):
        (tmp_path / "model.json").write_text(content if isinstance(content, str) else json.dumps(content))

    write("{")
    with pytest.raises(ModelError, match="not JSON"):
        load_predictor(tmp_path)
    write(good | {"format": 99})
    with pytest.raises(ModelError, match="format 99"):
        load_predictor(tmp_path)
    write({k: v for k, v in good.items() if k != "predictor"})
    with pytest.raises(ModelError, match="incomplete"):
        load_predictor(tmp_path)
    write(good | {"network": "two_encoder_net"})
    with pytest.raises(ModelError, match="did you mean 'two_encoder_unet'"):
        load_predictor(tmp_path)
    write(good)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors is missing"):
        load_predictor(tmp_path)


def test_only_registered_networks_can_be_saved(predictor, tmp_path):
    with pytest.raises(UsageError, match="unknown network 'segnet'"):
        save_predictor(predictor, tmp_path, network="segnet")


@pytest.mark.parametrize("wrap", [
    lambda s: s,
    lambda s: {"state_dict": s, "epoch": 3},
    lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
    lambda s: {"state_dict": {f"model.module.{k}": v for k, v in s.items()}},
])  # fmt: skip
def test_state_dicts_as_people_save_them(wrap, tmp_path):
    torch.manual_seed(0)
    source, other = build_network("two_stream"), build_network("two_stream")
    torch.save(wrap(source.state_dict()), tmp_path / "w.pt")
    load_weights(other, tmp_path / "w.pt")
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in source.state_dict().items())


def test_safetensors(tmp_path):
    torch.manual_seed(0)
    source, other = build_network("two_stream"), build_network("two_stream")
    save_weights(source, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in source.state_dict().items())


def test_weights_that_do_not_fit_are_named_and_nothing_is_changed(tmp_path):
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state = module.state_dict() | {"0.weight": torch.zeros(5, 3), "9.extra": torch.zeros(1)}
    del state["1.bias"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError) as error:
        load_weights(module, tmp_path / "w.pth")
    text = str(error.value)
    assert "1 missing: 1.bias" in text
    assert "1 unexpected: 9.extra" in text
    assert "0.weight is (5, 3), wanted (2, 3)" in text
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_many_wrong_keys_are_counted(tmp_path):
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"\d+ missing: .* and \d+ more; 2 unexpected"):
        load_weights(build_network("two_stream"), tmp_path / "w.pt")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    mark = tmp_path / "ran"
    torch.save({"state_dict": Evil(mark)}, tmp_path / "new.pt")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Evil(mark)))
    for name in ("new.pt", "old.pth"):
        with pytest.raises(ModelError, match=rf"weights {name} hold code or objects"):
            load_weights(nn.Linear(1, 1), tmp_path / name)
    assert not mark.exists()


def test_files_that_are_no_weights(tmp_path):
    module = nn.Linear(1, 1)
    with pytest.raises(ModelError, match="no such file"):
        load_weights(module, tmp_path / "none.pt")
    (tmp_path / "text.safetensors").write_text("hello, this is not a file of weights")
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        load_weights(module, tmp_path / "text.safetensors")
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"empty.pt"):
        load_weights(module, tmp_path / "empty.pt")
    (tmp_path / "text.pt").write_text("hello, this is not a file of weights")
    with pytest.raises(ModelError, match=r"text.pt"):
        load_weights(module, tmp_path / "text.pt")
    save_weights(module, tmp_path / "whole.safetensors")
    torch.save(module.state_dict(), tmp_path / "whole.pt")
    for kind in ("safetensors", "pt"):
        (tmp_path / f"cut.{kind}").write_bytes((tmp_path / f"whole.{kind}").read_bytes()[:60])
        with pytest.raises(ModelError, match=rf"cut.{kind}"):
            load_weights(module, tmp_path / f"cut.{kind}")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(ModelError, match="a state dict is wanted"):
        load_weights(module, tmp_path / "tensor.pt")
    torch.save({"weight": torch.zeros(1, 1), "lr": 0.1}, tmp_path / "mixed.pt")
    with pytest.raises(ModelError, match="not tensors: lr"):
        load_weights(module, tmp_path / "mixed.pt")


def test_no_place_to_write(predictor, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be written"):
        save(predictor, tmp_path / "file")
