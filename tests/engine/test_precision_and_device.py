"""The same maps in any precision and on any device."""

from __future__ import annotations

import pytest
import torch

from contract.families import FAMILIES, METHODS, explain, gap
from pellucid.core.explainer import EXPLAINERS
from pellucid.engine import Engine
from pellucid.errors import UsageError

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; PyTorch sees none")


@pytest.mark.parametrize("family", ["picture_and_table", "segmentation"])
@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "smoothgrad", "gradient_shap", "deeplift", "grad_cam", "occlusion"])
def test_bf16_is_close_to_float32(family: str, method: str) -> None:
    f = FAMILIES[family]
    full = explain(method, f.predictor(), f.cases(2), f.targets)
    half = explain(method, f.predictor(), f.cases(2), f.targets, precision="bf16")
    for x, y in zip(full, half):
        for a, b in zip(x, y):
            assert all(m.dtype == torch.float32 for m in b.maps.values())
            for name in a.maps:
                pair = torch.stack([a.maps[name].flatten(), b.maps[name].flatten()]).double()
                assert float(torch.corrcoef(pair)[0, 1]) > (0.6 if method == "occlusion" else 0.97)
            assert b.provenance["precision"] == "bf16"


def test_bf16_finds_the_same_layers() -> None:
    """The cast of the output must not hide which layer is the output."""
    from torch import nn

    from pellucid.core.predictor import Predictor

    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()
    p = Predictor(net, inputs=["x"], task="segmentation", classes=list("abc"))
    x = {"x": torch.zeros(1, 1, 8, 8)}
    for precision in ("float32", "bf16", "float64"):
        engine = Engine(p, precision=precision)  # type: ignore[arg-type]
        inputs = {k: v.to(engine.dtype) for k, v in x.items()}
        assert [layer.name for layer in engine.layers(inputs) if layer.final] == ["2"]
        assert engine.layer_for("x", inputs).name == "1"


def test_float64_runs_in_float64() -> None:
    f = FAMILIES["picture"]
    engine = Engine(f.predictor(), precision="float64")
    assert {p.dtype for p in engine.module.parameters()} == {torch.float64}
    assert {p.dtype for p in f.predictor().module.parameters()} == {torch.float32}
    assert engine.predict(f.cases(1)).dtype == torch.float64


def test_devices_that_are_not_there() -> None:
    f = FAMILIES["picture"]
    with pytest.raises(UsageError, match="no device 'gpu0'; use 'auto', 'cpu' or 'cuda'"):
        Engine(f.predictor(), device="gpu0")
    with pytest.raises(UsageError, match="unknown precision 'float23'; did you mean 'float32'"):
        Engine(f.predictor(), precision="float23")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="chunk=0"):
        Engine(f.predictor(), chunk=0)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="device 'cuda' asked for, but PyTorch sees no GPU"):
            Engine(f.predictor(), device="cuda")
        assert Engine(f.predictor()).device.type == "cpu"


@gpu
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_cuda_gives_the_maps_of_the_cpu(family: str, method: str) -> None:
    f = FAMILIES[family]
    cpu = explain(method, f.predictor(), f.cases(), f.targets, device="cpu")
    cuda = explain(method, f.predictor(), f.cases(), f.targets, device="cuda")
    rounding = 1e-6 if EXPLAINERS[method].family == "perturbation" else 0.0
    for x, y in zip(cpu, cuda):
        for a, b in zip(x, y):
            assert all(not m.is_cuda for m in b.maps.values())
            assert gap(a, b, rounding=rounding) < 1e-4
            assert b.cost.peak_bytes
            assert (a.cost.forwards, a.cost.backwards) == (b.cost.forwards, b.cost.backwards)


@gpu
def test_cuda_memory_is_halved_for_real() -> None:
    from torch import Tensor, nn

    from pellucid.core.case import Case
    from pellucid.core.predictor import Predictor
    from pellucid.core.target import ClassScore

    class Hungry(nn.Module):
        """Takes a quarter of the GPU for each row that goes through, for a moment."""

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            total = torch.cuda.get_device_properties(x.device).total_memory
            held = torch.empty(len(x) * total // 4, dtype=torch.uint8, device=x.device)
            return self.head(x.flatten(1)) + held[:1].float() * 0

    p = Predictor(Hungry().eval(), inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="1", inputs={"x": torch.randn(1, 4, 4)})
    ((a,),) = explain("occlusion", p, [case], [ClassScore(0)], device="cuda")
    ((b,),) = explain("occlusion", p, [case], [ClassScore(0)], device="cuda", chunk=1)
    assert gap(a, b) < 1e-4
