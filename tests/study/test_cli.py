"""The command line: exit statuses, one clear sentence, JSON on standard output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import pellucid as pc
from pellucid.cli import _compatibility, app

RUNNER = CliRunner()
NET = '''
import torch
import pellucid as pc

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv{d}d(1, 3, 3, padding=1)
        self.head = torch.nn.Linear(3, 2)
    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).flatten(2).mean(2))

def predictor():
    return pc.Predictor(Small().eval(), inputs=["image"], task="classification", classes=["no", "yes"])

class Odd(Small):
    def forward(self, x):
        return super().forward(x), x

class Broken(Small):
    def forward(self, x):
        return super().forward(x) * float("nan")
'''


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET.replace("{d}", "2"))
    (tmp_path / "net3.py").write_text(NET.replace("{d}", "3"))
    return tmp_path / "net.py"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    values = (np.random.default_rng(0).random((24, 20)) * 255).astype("uint8")
    Image.fromarray(values).save(tmp_path / "x.png")
    return tmp_path / "x.png"


def call(*words: object) -> tuple[int, str, str]:
    result = RUNNER.invoke(app, [str(w) for w in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def test_explain_ones_own_picture(net: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    status, printed, _ = call(
        "explain", "--model", f"{net}:predictor", "--input", picture, "--method", "saliency,grad_cam", "--target",
        "yes", "--out", out, "--json",
    )  # fmt: skip
    assert status == 0
    rows = json.loads(printed)
    assert [r["method"] for r in rows] == ["saliency", "grad_cam"]
    assert rows[0]["target"]["label"] == "yes"
    assert set(rows[0]["checks"]) == {"finite", "not_empty", "not_flat", "complete", "stable", "sane", "better"}
    for row in rows:
        for file in row["files"]:
            assert (out / file).stat().st_size > 0


def test_explain_ones_own_volume_keeps_the_geometry(net: Path, tmp_path: Path) -> None:
    affine = np.array([[0, -0.9, 0.1, 10.0], [0.8, 0, 0, -20], [0, 0.1, 3.0, 5], [0, 0, 0, 1]])
    volume = np.random.default_rng(0).normal(size=(8, 9, 10)).astype("float32")
    nib.save(nib.Nifti1Image(volume, affine), tmp_path / "v.nii.gz")
    out = tmp_path / "maps"
    status, printed, said = call(
        "explain", "--model", f"{tmp_path / 'net3.py'}:Small", "--task", "classification", "--classes", "no,yes",
        "--input", tmp_path / "v.nii.gz", "--method", "input_x_gradient", "--out", out, "--json",
    )  # fmt: skip
    assert status == 0, said
    (path,) = [out / f for f in json.loads(printed)[0]["files"] if f.endswith(".nii.gz")]
    written = nib.load(path)
    assert written.shape == (8, 9, 10)
    assert np.allclose(written.affine, affine, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"--method": "grad_cm"}, 2, "did you mean 'grad_cam'"),
        ({"--target": "maybe"}, 2, "unknown class 'maybe'"),
        ({"--target": "7"}, 2, "has 2 classes"),
        ({"--model": "NET:predictr"}, 3, "did you mean 'predictor'"),
        ({"--model": "nowhere.py:X"}, 3, "no such file"),
        ({"--model": "NET:Small"}, 2, "give --task"),
        ({"--model": "NET:Odd", "--task": "classification", "--classes": "no,yes"}, 3, "returned a tuple"),
        ({"--model": "NET:Broken", "--task": "classification", "--classes": "no,yes"}, 3, "NaN"),
        ({"--input": "absent.png"}, 3, "absent.png"),
        ({"--input": "imge=x.png"}, 2, "did you mean 'image'"),
        ({"--device": "cuda"} if not torch.cuda.is_available() else {"--device": "warp"}, 2, "device"),
    ],
)
def test_bad_calls(
    net: Path, picture: Path, tmp_path: Path, change: dict[str, str], status: int, said: str
) -> None:
    words = {"--model": f"{net}:predictor", "--input": picture, "--method": "saliency", "--out": tmp_path / "o"}
    words |= {k: v.replace("NET", str(net)) for k, v in change.items()}
    code, _, heard = call("explain", *(w for pair in words.items() for w in pair))
    assert code == status, heard
    assert said in heard
    assert "Traceback" not in heard


def test_corrupt_files(net: Path, tmp_path: Path) -> None:
    for name, content in (("x.png", b"\x89PNG\r\n\x1a\nrubbish"), ("x.dcm", b"\0" * 128 + b"DICMrubbish"),
                          ("x.nii.gz", b"\x1f\x8brubbish")):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        code, _, heard = call(
            "explain", "--model", f"{net}:predictor", "--input", tmp_path / name, "--out", tmp_path / "o"
        )  # fmt: skip
        assert code == 3, heard
        assert name in heard


def test_weights_that_do_not_fit_or_hold_code(net: Path, picture: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "pwned",)

    torch.save({"conv.weigth": torch.zeros(2)}, tmp_path / "other.pt")
    torch.save({"w": Evil()}, tmp_path / "evil.pt")
    base = ("explain", "--model", f"{net}:predictor", "--input", picture, "--out", tmp_path / "o", "--weights")
    code, _, heard = call(*base, tmp_path / "other.pt")
    assert code == 3
    assert "conv.weight" in heard
    code, _, heard = call(*base, tmp_path / "evil.pt")
    assert code == 3
    assert "hold code" in heard
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("verb", ["methods", "metrics", "datasets", "networks", "doctor"])
def test_lists(verb: str) -> None:
    status, printed, _ = call(verb, "--json")
    assert status == 0
    assert json.loads(printed)
    assert call(verb)[0] == 0


def test_wrong_recipes_and_folders(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: x\ntaks: []\n")
    code, _, heard = call("run", tmp_path / "r.yaml")
    assert code == 2
    assert "did you mean 'tasks'" in heard
    code, _, heard = call("report", tmp_path)
    assert code == 3
    assert "no run folder" in heard
    code, _, heard = call("demo", "--task", "classfication", "--out", tmp_path / "o")
    assert code == 2
    assert "did you mean 'classification'" in heard


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    code, _, heard = call("demo", "--quick", "--task", "classification", "--fresh", "--out", tmp_path)
    assert code == 2
    assert "holds no run" in heard
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_python_m_pellucid() -> None:
    done = subprocess.run([sys.executable, "-m", "pellucid", "--help"], capture_output=True, text=True, check=True)
    assert "explain" in done.stdout


def test_methods_print_the_compatibility_table() -> None:
    status, printed, heard = call("methods")
    assert status == 0
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert set(lines) == {"name", *pc.methods().index}
    for column in ("2-D", "3-D", "inputs", "tasks", "gradients", "passes", "resolution", "stochastic", "source"):
        assert column in lines["name"]
    for name, row in pc.methods().iterrows():
        assert f"  {row['passes']}  " in lines[name]
        assert lines[name].rstrip().endswith(row["source"])
    assert "no room" not in heard


def test_a_narrow_terminal_gets_the_columns_it_has_room_for() -> None:
    short, left_out = _compatibility(pc.methods(), 90)
    assert list(short.columns)[:2] == ["family", "2-D"]
    assert "source" in left_out
    assert not set(short.columns) & set(left_out)
