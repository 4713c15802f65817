"""Networks as users bring them: MONAI's, and hand-written ones in the style of well-known libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from monai.networks import nets
from torch import Tensor, nn

from pellucid.core.case import Case
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore, Target

MEAN, SD = torch.tensor([60.0, 1.7, 80.0, 0.5, 120.0]), torch.tensor([12.0, 0.1, 15.0, 0.5, 20.0])
HU = {"ct": (-200.0, 500.0)}


class BasicBlock(nn.Module):
    """One ReLU module used twice, in place, and an in-place sum."""

    def __init__(self, inside: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.down(x)
        return self.relu(y)


class Torchvision(nn.Module):
    """A residual network with ceil-mode pooling and a functional ReLU, which returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.maxpool = nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.layer1, self.layer2 = BasicBlock(8, 8), BasicBlock(8, 16, 2)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.layer2(self.layer1(self.maxpool(F.relu(self.bn1(self.conv1(x))))))
        return {"features": h, "logits": self.fc(torch.flatten(self.avgpool(h), 1))}


class ConvNextBlock(nn.Module):
    """Depthwise convolution, a layer norm with the channels last, GELU, a learned scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.wide, self.narrow = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.narrow(F.gelu(self.wide(y)))).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """Patches, one block, the mean over space, a layer norm, a linear head."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, width, 4, 4), ConvNextBlock(width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.block(self.stem(x)).mean([-2, -1])))


class Gated(nn.Module):
    """Squeeze and excitation with hard activations, as in MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Hardswish(inplace=True)
        self.squeeze, self.excite, self.gate = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1), nn.Hardsigmoid()
        self.head = nn.Sequential(nn.Linear(16, 16), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.conv(x)))
        gate = self.gate(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.head((gate * x).mean([2, 3]))


class SlicesInTurn(nn.Module):
    """Convolutions on each slice of a volume, a GRU over the slices."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU())
        self.gru, self.head = nn.GRU(12, 10, batch_first=True), nn.Linear(10, 3)

    def forward(self, volume: Tensor) -> Tensor:
        slices = self.conv(volume.transpose(1, 2).flatten(0, 1)).mean((2, 3)).unflatten(0, volume.shape[::2][:2])
        return self.head(self.gru(slices)[0][:, -1])


def _resnet() -> nn.Module:
    return nets.ResNet(
        "basic", [1, 1, 1, 1], [8, 8, 12, 16], spatial_dims=3, n_input_channels=1, num_classes=3
    )


def _vit() -> nn.Module:
    return nets.ViT(
        1, (32, 32), (8, 8), hidden_size=24, mlp_dim=48, num_layers=2, num_heads=2, classification=True, num_classes=3,
        spatial_dims=2, post_activation="none",
    )  # fmt: skip


def _swin() -> nn.Module:
    return nets.SwinUNETR(
        in_channels=1, out_channels=3, feature_size=12, spatial_dims=2, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2),
        use_checkpoint=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Net:
    """A network, what it wants, and what it offers to methods (``Explainer.needs``).

    ``layer`` is the automatic one of a class activation map.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    offers: frozenset[str]
    layer: str = ""
    task: str = "classification"
    output: int | str | None = None
    normalise: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def input(self) -> str:
        return "ct" if self.normalise else "table" if len(self.shape) == 1 else "x"

    @property
    def targets(self) -> list[Target]:
        if self.task == "segmentation":
            return [RegionScore(1, region="image"), RegionScore(2, region="image")]
        return [ClassScore(0), ClassScore(2)]

    def runs(self, method: str) -> bool:
        cls = EXPLAINERS[method]
        return set(cls.needs) <= self.offers | {"gradient"} and self.task in cls.tasks

    def module(self) -> nn.Module:
        """In eval mode, its batch norms as after training: with the statistics of such cases."""
        torch.manual_seed(0)
        net = self.make()
        norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        net.eval()
        for m in norms:
            m.momentum = None
            m.train()
        with torch.no_grad():
            net(*self.shown(self.cases(6)).values())
        return net.eval().to(memory_format=torch.channels_last) if self.output == "logits" else net.eval()

    def predictor(self, module: nn.Module) -> Predictor:
        table = {"table": (MEAN, SD)} if self.input == "table" else {}
        return Predictor(
            module, inputs=[self.input], task=self.task, classes=["a", "b", "c"], output=self.output,  # type: ignore[arg-type]
            normalise=self.normalise or table,
        )  # fmt: skip

    def cases(self, count: int = 2) -> list[Case]:
        """Smooth pictures with a little noise in [0, 1], volumes in Hounsfield units, tables in their own units."""
        out = []
        for i in range(count):
            g = torch.Generator().manual_seed(50 + i)
            if len(self.shape) == 1:
                x = MEAN + SD * torch.randn(self.shape, generator=g)
            else:
                coarse = torch.randn((1, self.shape[0], *[4] * (len(self.shape) - 1)), generator=g)
                x = 0.5 + 0.25 * F.interpolate(coarse, size=self.shape[1:])[0]
                x = (x + 0.05 * torch.randn(self.shape, generator=g)).clamp(0, 1)
            out.append(Case(id=f"c{i}", inputs={self.input: 2000 * x - 1000 if self.normalise else x}))
        return out

    def shown(self, cases: list[Case]) -> dict[str, Tensor]:
        """What the network sees."""
        x = torch.stack([c.inputs[self.input] for c in cases])
        mean, sd = self.normalise.get(self.input, (MEAN, SD) if self.input == "table" else (0.0, 1.0))
        return {self.input: (x - mean) / sd}


LAYER = frozenset({"layer"})
POOLED = frozenset({"layer", "linear_head"})
ATTENTION = frozenset({"attention"})
NETS = {
    "monai_resnet_hounsfield": Net(_resnet, (1, 16, 32, 32), POOLED, "layer4", normalise=HU),
    "torchvision_dict_channels_last": Net(Torchvision, (3, 32, 32), POOLED, "layer2", output="logits"),
    "convnext": Net(ConvNext, (3, 32, 32), LAYER, "block"),
    "squeeze_excite": Net(Gated, (1, 32, 32), LAYER, "act"),
    "monai_vit_tuple": Net(_vit, (1, 32, 32), ATTENTION, output=0),
    "monai_unet": Net(
        lambda: nets.UNet(2, 1, 3, (8, 12, 16), (2, 2), num_res_units=1), (1, 32, 32), LAYER, "model.1.submodule.1",
        "segmentation",
    ),
    "monai_swin_unetr_checkpoints": Net(_swin, (1, 64, 64), LAYER | ATTENTION, "encoder10", "segmentation"),
    "gru_over_slices": Net(SlicesInTurn, (1, 6, 32, 32), frozenset(), normalise=HU),
    "table_alone": Net(
        lambda: nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)), (5,),
        frozenset(),
    ),
}  # fmt: skip
