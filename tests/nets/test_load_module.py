import pytest
import torch
from torch import nn

from pellucid.core.predictor import Predictor
from pellucid.errors import ModelError, UsageError
from pellucid.nets import build_network, load_module, save_predictor

CODE = """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class Options:
    width: int = 3

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(Options().width, 1)
    def forward(self, x):
        return self.layer(x)

class Needs(nn.Module):
    def __init__(self, width):
        super().__init__()

def make():
    return Net()

ready = nn.Linear(2, 2)
number = 5
def text():
    return "hello"
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path / "mine.py"


def test_class_factory_and_instance_of_a_file(file):
    assert load_module(f"{file}:Net").layer.in_features == 3
    assert isinstance(load_module(f"{file}:make"), nn.Module)
    assert load_module(f"{file}:ready").in_features == 2


def test_a_module_that_python_can_import():
    assert isinstance(load_module("torch.nn:Identity"), nn.Identity)


def test_a_folder(tmp_path):
    module = build_network("two_stream")
    save_predictor(Predictor(module, inputs=["a", "b"], task="regression"), tmp_path, network="two_stream")
    got = load_module(tmp_path)
    assert isinstance(got, Predictor)
    assert torch.equal(got.module.head[0].weight, module.head[0].weight)


def test_what_cannot_be_used(file, tmp_path):
    with pytest.raises(UsageError, match=r"give a folder with model\.json"):
        load_module("resnet18")
    with pytest.raises(ModelError, match="no such file"):
        load_module(f"{tmp_path}/none.py:Net")
    with pytest.raises(ModelError, match="has no 'Nett'; did you mean 'Net'"):
        load_module(f"{file}:Nett")
    with pytest.raises(ModelError, match="could not be made without arguments: TypeError"):
        load_module(f"{file}:Needs")
    with pytest.raises(ModelError, match="is a int"):
        load_module(f"{file}:number")
    with pytest.raises(ModelError, match="gave a str"):
        load_module(f"{file}:text")
    with pytest.raises(ModelError, match="cannot be imported: ModuleNotFoundError"):
        load_module("no_such_package.at_all:Net")
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(ModelError, match="cannot be imported: ZeroDivisionError"):
        load_module(f"{tmp_path}/broken.py:Net")
    with pytest.raises(ModelError, match=r"model.json is missing"):
        load_module(tmp_path)
