"""``pellucid methods --layers``, and ``pc.layers``: where a class activation map can be made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import pellucid as pc
from contract.families import FAMILIES, explain
from pellucid.cli import app

RUNNER = CliRunner()
NET = '''
import torch
import pellucid as pc

class Two(torch.nn.Module):
    """A branch with a residual block for each picture, and a layer for the table."""
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        conv = lambda i, o: torch.nn.Conv2d(i, o, 3, padding=1)
        self.ct, self.block, self.pet = conv(1, 3), conv(3, 3), conv(2, 4)
        self.pool = torch.nn.MaxPool2d(2)
        self.table, self.head = torch.nn.Linear(5, 2), torch.nn.Linear(9, 2)
    def forward(self, ct, pet, ehr):
        h = torch.relu(self.ct(ct))
        h = h + self.block(h)
        parts = [self.pool(h).mean((2, 3)), self.pet(pet).mean((2, 3)), self.table(ehr)]
        return self.head(torch.cat(parts, 1))

class One(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 3, 3)
    def forward(self, x):
        return self.conv(x).mean((2, 3))

def two():
    return pc.Predictor(Two().eval(), inputs=["ct", "pet", "ehr"], task="classification", classes=["no", "yes"])

def tables():
    return pc.Predictor(torch.nn.Linear(4, 2).eval(), inputs=["ehr"], task="classification", classes=["no", "yes"])
'''
SHAPES = ("--shape", "ct=1,16,12", "--shape", "pet=2,8,8", "--shape", "ehr=5")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def call(*words: object) -> tuple[int, str, str]:
    result = RUNNER.invoke(app, ["methods", *(str(w) for w in words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def test_each_branch_has_its_candidates_and_its_automatic_layer(net: Path) -> None:
    status, printed, said = call("--layers", f"{net}:two", *SHAPES, "--json")
    assert (status, said) == (0, "")
    rows = {r["name"]: r for r in json.loads(printed)}
    assert list(rows) == ["ct", "block", "pool", "pet"]
    assert {k: r["automatic"] for k, r in rows.items()} == {"ct": "ct", "block": "", "pool": "", "pet": "pet"}
    assert {k: r["inputs"] for k, r in rows.items()} == {"ct": "ct", "block": "ct", "pool": "ct", "pet": "pet"}
    assert {k: r["around"] for k, r in rows.items()} == {"ct": "", "block": "ct", "pool": "", "pet": ""}
    assert rows["pool"]["grid"] == [8, 6]
    assert (rows["pet"]["kind"], rows["pet"]["channels"], rows["pet"]["grid"]) == ("Conv2d", 4, [8, 8])
    assert rows["ct"]["depth"] < rows["block"]["depth"] < rows["pool"]["depth"]
    status, printed, _ = call("--layers", f"{net}:two", *SHAPES)
    assert status == 0
    assert "automatic" in printed
    assert "block" in printed


def test_a_bare_module_and_a_file(net: Path, tmp_path: Path) -> None:
    Image.fromarray((np.random.default_rng(0).random((20, 14)) * 255).astype("uint8")).save(tmp_path / "x.png")
    for words in (("--input", tmp_path / "x.png"), ("--shape", "1,20,14"), ("--shape", "scan=1,20,14")):
        status, printed, said = call("--layers", f"{net}:One", *words, "--task", "regression", "--json")
        assert status == 0, said
        (row,) = json.loads(printed)
        assert (row["name"], row["grid"]) == ("conv", [18, 12])
        assert row["automatic"] == ("scan" if "scan=1,20,14" in words else "image")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--layers", "NET:two"], 2, "give either --input [NAME=]FILE or --shape"),
        (["--layers", "NET:two", *SHAPES, "--input", "ct=x.png"], 2, "give either --input [NAME=]FILE or --shape"),
        (["--layers", "NET:two", *SHAPES[:4]], 2, "the model wants input 'ehr': give its shape"),
        (["--layers", "NET:two", *SHAPES[:4], "--shape", "her=5"], 2, "did you mean 'ehr'"),
        (["--layers", "NET:two", "--shape", "1,16,12"], 2, "the model has inputs ct, pet, ehr; say NAME=1,16,12"),
        (["--layers", "NET:two", *SHAPES[:4], "--shape", "ehr=five"], 2, "give whole numbers, channels first"),
        (["--layers", "NET:two", *SHAPES[:4], "--shape", "ehr=0"], 2, "give 1 or more along every axis"),
        (["--layers", "NET:two", "--shape", "ct=3,16,12", *SHAPES[2:]], 3, "to have 1 channels, but got 3"),
        (["--layers", "NET:tables", "--shape", "4"], 2, "takes tables only: none of its layers has a spatial map"),
        (["--layers", "NET:One", "--shape", "1,20,14"], 2, "give --task"),
        (["--layers", "NET:tow", *SHAPES], 3, "did you mean 'two'"),
        (["--shape", "1,20,14"], 2, "go with --layers MODEL"),
    ],
)
def test_bad_calls(net: Path, words: list[str], status: int, said: str) -> None:
    code, _, heard = call(*(w.replace("NET", str(net)) for w in words))
    assert code == status, heard
    assert said in heard
    assert "Traceback" not in heard


class Tokens(nn.Module):
    """A patch embedding, then tokens, as a vision transformer has them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.norm = nn.Conv2d(1, 6, 4, 4), nn.LayerNorm(6)
        self.block, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head((tokens + torch.tanh(self.block(self.norm(tokens)))).mean(1))


def test_a_map_that_is_cut_into_tokens_is_listed_but_not_taken() -> None:
    p = pc.Predictor(Tokens().eval(), inputs=["x"], task="classification", classes=["a", "b"])
    table = pc.layers(p, {"x": (1, 16, 16)})
    assert table["tokens"].to_dict() == {"patches": True}
    assert table["automatic"].to_list() == [""]
    assert "works on tokens" in table.attrs["without"]["x"]
    case = pc.Case(id="1", inputs={"x": torch.rand(1, 16, 16)})
    with pytest.raises(pc.UsageError, match=r"behind 'patches' the model works on tokens.*family 'attention', or name"):
        pc.explain(p, case, method="grad_cam")
    with pytest.raises(pc.UsageError, match=r"layer 'block' has no spatial map .*returns \(16, 6\).*have one: patches"):
        pc.explain(p, case, method="hires_cam", layer="block")
    assert pc.explain(p, case, method="grad_cam", layer="patches", sign="signed").maps["x"].shape == (16, 16)


def test_what_the_table_names_is_what_an_explanation_takes() -> None:
    for f in FAMILIES.values():
        if not f.runs("grad_cam"):
            continue
        p, case = f.predictor(), f.cases(1)[0]
        table = pc.layers(p, case)
        ((a,),) = explain("grad_cam", p, [case], f.targets[:1])
        for name, layer in a.notes["layers"].items():
            row = table.loc[layer["layer"]]
            assert name in row["automatic"].split(", ")
            assert list(row["grid"]) == layer["grid"]
            assert (name in row["around"].split(", ")) == layer["bypassed"]
