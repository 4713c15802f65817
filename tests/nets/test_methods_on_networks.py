"""What the methods find in our networks with heads, dropout, padding and standardised pictures."""

from functools import cache

import pytest
import torch

import pellucid as pc
from pellucid.errors import UsageError
from pellucid.nets import build_network

NETS = {
    "resnet18": ("resnet18", {"classes": 2, "head": 8, "dropout": 0.5}, (1, 40, 33), "layer4"),
    "resnet18 with dropout": ("resnet18", {"classes": 2, "dropout": 0.5}, (1, 40, 33), "layer4"),
    "resnet18, standardised": ("resnet18", {"classes": 2, "standardise": "picture"}, (1, 40, 33), "network.layer4"),
    "densenet121": ("densenet121", {"classes": 2, "head": 8}, (1, 33, 64), "class_layers.relu"),
    "unet": ("unet", {"channels": (4, 6, 8)}, (1, 15, 18), "network.down.1"),
    "unet, standardised": (
        "unet", {"channels": (4, 6, 8), "standardise": "picture"}, (1, 15, 18), "network.network.down.1"
    ),
    "unet of volumes": (
        "unet", {"channels": (4, 6), "spatial_dims": 3, "norm": "instance"}, (1, 7, 6, 5), "network.down.0"
    ),
    "attention_unet": (
        "attention_unet", {"channels": (4, 6, 8)}, (1, 15, 18), "network.model.1.submodule.1.submodule"
    ),
}  # fmt: skip
STANDARDISED = [k for k in NETS if "standardised" in k]


@cache
def made(kind):
    """The network after a few batches of pictures, its case and target."""
    name, options, shape, _ = NETS[kind]
    torch.manual_seed(0)
    module = build_network(name, options).train()
    with torch.no_grad():
        for _ in range(3):
            module(torch.rand(4, *shape) * torch.rand(4, *[1] * len(shape)))
    segments = "unet" in name
    predictor = pc.Predictor(
        module.eval(), inputs=["image"], task="segmentation" if segments else "classification",
        classes=["lesion"] if segments else ["no", "yes"],
    )  # fmt: skip
    case = pc.Case(id="c", inputs={"image": torch.rand(shape)})
    return predictor, case, pc.RegionScore(0, region="image", reduce="mean") if segments else pc.ClassScore(1)


def explained(kind, method, **options):
    predictor, case, target = made(kind)
    return pc.explain(predictor, case, method=method, target=target, **options)


@pytest.mark.parametrize("kind", [k for k in NETS if k != "resnet18 with dropout"])
@pytest.mark.parametrize("method", ["saliency", "guided_backprop", "lrp", "deeplift"])
def test_gradient_methods(kind, method):
    a = explained(kind, method)
    assert a.maps["image"].shape == made(kind)[1].inputs["image"].shape
    assert torch.isfinite(a.maps["image"]).all()
    assert "empty" not in a.flags
    if method == "lrp":
        assert a.notes["unknown"] == []
        assert "incomplete" not in a.flags
    if method == "deeplift":  # no rule for norms of the picture itself, and for products of two computed tensors
        lost = kind in STANDARDISED or kind in ("unet of volumes", "attention_unet")
        assert ("incomplete" in a.flags) == lost


@pytest.mark.parametrize("kind", NETS)
def test_grad_cam_finds_the_last_map(kind):
    a = explained(kind, "grad_cam", sign="signed")
    assert a.notes["layers"]["image"]["layer"] == NETS[kind][3]
    assert "empty" not in a.flags


@pytest.mark.parametrize("kind", ["resnet18 with dropout", "densenet121"])
def test_cam_wants_one_linear_layer_behind_the_pooling(kind):
    if "head" in NETS[kind][1]:
        with pytest.raises(UsageError, match="cam needs"):
            explained(kind, "cam")
    else:
        assert torch.isfinite(explained(kind, "cam").maps["image"]).all()


@pytest.mark.parametrize("kind", STANDARDISED)
def test_a_standardised_picture_cannot_be_faded_into_a_constant(kind):
    """What the page of the networks says of integrated gradients, input × gradient and the rules of LRP."""
    faded = explained(kind, "integrated_gradients", baseline="zero", n_steps=24)
    assert faded.checks["complete"].value == pytest.approx(1, abs=0.05)  # all of the change is missed
    assert "incomplete" in faded.flags
    predictor, case, target = made(kind)
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in case.inputs["image"].shape[1:]], indexing="ij")
    blob = (-4 * (columns**2 + rows**2)).exp() + 0.2 * columns + 0.05 * case.inputs["image"]  # noise would blur away
    blurred = pc.explain(
        predictor, pc.Case(id="b", inputs={"image": blob}), method="integrated_gradients", target=target,
        baseline="blur", n_steps=24,
    )  # fmt: skip
    assert blurred.checks["complete"].value < 0.1
    product = explained(kind, "input_x_gradient").maps["image"]
    assert abs(float(product.sum())) < 1e-3 * float(product.abs().sum())
    with pytest.raises(UsageError, match="the model changes it before; use first='same'"):
        explained(kind, "lrp", first="box")
