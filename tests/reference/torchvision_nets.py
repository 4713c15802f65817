"""ResNet, DenseNet, EfficientNet written out literally, with torchvision's names of modules, from the papers' tables.

He et al., 2016, table 1 (with the stride of a bottleneck on its 3×3 convolution, as torchvision has it), and Huang et
al., 2017, table 1, and Tan and Le, 2019, table 1. For pictures of three channels.
"""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.nn import functional as F


def _conv(a, b, k, stride=1):
    return nn.Conv2d(a, b, k, stride=stride, padding=k // 2, bias=False)


class Basic(nn.Module):
    def __init__(self, a, width, stride):
        super().__init__()
        self.conv1, self.bn1 = _conv(a, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3), nn.BatchNorm2d(width)
        if stride != 1 or a != width:
            self.downsample = nn.Sequential(_conv(a, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Bottleneck(nn.Module):
    def __init__(self, a, width, stride):
        super().__init__()
        self.conv1, self.bn1 = _conv(a, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        if stride != 1 or a != 4 * width:
            self.downsample = nn.Sequential(_conv(a, 4 * width, 1, stride), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet(nn.Module):
    def __init__(self, block, counts, growth, classes):
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        a = 64
        for level, count in enumerate(counts):
            width, blocks = 64 * 2**level, []
            for i in range(count):
                blocks.append(block(a, width, 2 if level > 0 and i == 0 else 1))
                a = width * growth
            setattr(self, f"layer{level + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(a, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(a), _conv(a, 128, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), _conv(128, 32, 3)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


class Transition(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(a), _conv(a, a // 2, 1)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet121(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", _conv(3, 64, 7, 2))
        self.features.add_module("norm0", nn.BatchNorm2d(64))
        a = 64
        for i, count in enumerate((6, 12, 24, 16)):
            block = nn.Sequential()
            for j in range(count):
                block.add_module(f"denselayer{j + 1}", DenseLayer(a))
                a += 32
            self.features.add_module(f"denseblock{i + 1}", block)
            if i < 3:
                self.features.add_module(f"transition{i + 1}", Transition(a))
                a //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(a))
        self.classifier = nn.Linear(a, classes)

    def forward(self, x):
        f = self.features
        x = F.max_pool2d(F.relu(f.norm0(f.conv0(x))), 3, stride=2, padding=1)
        for i in range(1, 5):
            x = getattr(f, f"denseblock{i}")(x)
            if i < 4:
                x = getattr(f, f"transition{i}")(x)
        return self.classifier(F.relu(f.norm5(x)).mean((2, 3)))


def _conv_norm(a, b, k, stride=1, groups=1, act=True):
    conv = nn.Conv2d(a, b, k, stride=stride, padding=k // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(b), *([nn.SiLU()] if act else []))


class Squeeze(nn.Module):
    def __init__(self, a, fewer):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(a, fewer, 1), nn.Conv2d(fewer, a, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(F.silu(self.fc1(x.mean((2, 3), keepdim=True)))))


class MBConv(nn.Module):
    def __init__(self, a, b, k, stride, growth):
        super().__init__()
        wide = a * growth
        parts = [] if growth == 1 else [_conv_norm(a, wide, 1)]
        parts += [_conv_norm(wide, wide, k, stride, groups=wide), Squeeze(wide, a // 4)]
        self.block = nn.Sequential(*parts, _conv_norm(wide, b, 1, act=False))
        self.whole = stride == 1 and a == b

    def forward(self, x):
        return self.block(x) + x if self.whole else self.block(x)


class EfficientNetB0(nn.Module):
    def __init__(self, classes):
        super().__init__()
        stages, a = [_conv_norm(3, 32, 3, 2)], 32
        for growth, b, count, stride, k in (
            (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
            (6, 320, 1, 1, 3),
        ):  # fmt: skip
            blocks = [MBConv(a if i == 0 else b, b, k, stride if i == 0 else 1, growth) for i in range(count)]
            stages.append(nn.Sequential(*blocks))
            a = b
        self.features = nn.Sequential(*stages, _conv_norm(a, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def twin(name, classes=1000):
    """Torchvision's network of that name, with random weights and statistics, in eval mode."""
    make = {
        "resnet18": lambda: ResNet(Basic, (2, 2, 2, 2), 1, classes),
        "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3), 4, classes),
        "resnet101": lambda: ResNet(Bottleneck, (3, 4, 23, 3), 4, classes),
        "densenet121": lambda: DenseNet121(classes),
        "efficientnet_b0": lambda: EfficientNetB0(classes),
    }
    module = make[name]()
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(m.weight, 0.5, 1.0)
            nn.init.normal_(m.bias, 0, 0.1)
    return module.eval()


def old_spelling(state):
    """As torchvision's published DenseNet file has it: ``denselayer1.norm.1`` for ``denselayer1.norm1``."""
    return {
        re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key) if "denselayer" in key else key: value
        for key, value in state.items()
    }
