"""The ResNet of the MRI study's seed: a 2×2 convolution in the place of the pooling."""

import pytest
import torch
from torch.nn import functional as F

import pellucid as pc
from pellucid.errors import UsageError
from pellucid.nets import build_network, load_predictor, save_predictor, save_weights, start_from
from reference.torchvision_nets import twin

CONV = {"classes": 2, "conv": 6}


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return twin("resnet18", classes=1000)


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(theirs.state_dict(), path)
    return path


def stages(net, x):
    """The feature map of the twin, written out."""
    x = F.max_pool2d(F.relu(net.bn1(net.conv1(x))), 3, stride=2, padding=1)
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))


@pytest.mark.parametrize("size", [None, 72])
def test_torchvisions_stages_and_a_new_head_are_what_is_written_out(size, theirs, file):
    """One channel by the sum of the filters; the head convolves, and averages or takes all places."""
    torch.manual_seed(1)
    ours = build_network("resnet18", CONV | ({"size": size} if size else {})).eval()
    found = start_from(ours, file, network="resnet18")
    assert found["channels"] == "sum of RGB"
    assert found["loaded"] == 120
    assert found["new"] == ["fc.conv.weight", "fc.conv.bias", "fc.out.weight", "fc.out.bias"]
    x, own = torch.rand(2, 1, 72, 72), dict(ours.named_parameters())
    with torch.no_grad():
        seen = F.relu(F.conv2d(stages(theirs, x.expand(-1, 3, -1, -1)), own["fc.conv.weight"], own["fc.conv.bias"]))
        assert seen.shape == (2, 6, 2, 2)
        flat = seen.mean((2, 3)) if size is None else seen.reshape(2, -1)
        wanted = flat @ own["fc.out.weight"].T + own["fc.out.bias"]
        assert wanted.std() > 1e-3
        torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=1e-5)


def test_a_file_of_ours_comes_back_whole(tmp_path):
    save_weights(build_network("resnet18", CONV), tmp_path / "mine.safetensors")
    assert start_from(build_network("resnet18", CONV), tmp_path / "mine.safetensors", network="resnet18")["new"] == []
    plain = build_network("resnet18", {"classes": 2})
    found = start_from(plain, tmp_path / "mine.safetensors", network="resnet18")
    assert found["new"] == ["fc.weight", "fc.bias"]


def test_a_size_of_which_one_place_is_left_and_a_volume():
    """Pictures of up to 32 pixels a side leave one place, which is repeated: the convolution sees it in all corners."""
    net = build_network("resnet18", CONV).eval()
    features = []
    net.layer4.register_forward_hook(lambda _, __, y: features.append(y))
    with torch.no_grad():
        got = net(torch.rand(1, 1, 20, 32))
        assert features[0].shape == (1, 512, 1, 1)
        kernel = net.fc.conv.weight.sum((2, 3))
        hidden = F.relu(kernel @ features[0].flatten() + net.fc.conv.bias)
        torch.testing.assert_close(got[0], net.fc.out.weight @ hidden + net.fc.out.bias, atol=1e-5, rtol=1e-5)
        volumes = build_network("resnet18", CONV | {"spatial_dims": 3, "size": 33, "head": 3, "dropout": 0.5})
        assert volumes.eval()(torch.rand(1, 1, 33, 33, 33)).shape == (1, 2)
        assert volumes.fc.conv.weight.shape == (6, 512, 2, 2, 2)
        assert build_network("resnet50", CONV).fc.conv.weight.shape == (6, 2048, 2, 2)


def test_numbers_that_cannot_be():
    for options, words in (
        ({"conv": 0}, "conv is 0; give at least 1"), ({"conv": 4, "size": 0}, "size is 0"),
        ({"size": 64}, "size is 64, and there is no 'conv' that it is for"), ({"conv": 4, "head": 0}, "head is 0"),
        ({"conv": 4, "dropout": 1}, "dropout is 1"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            build_network("resnet18", options)
    with pytest.raises(UsageError, match=r"pictures of 64 a side .* this one is \(64, 40\); leave 'size' out"):
        build_network("resnet18", {"conv": 4, "size": 64})(torch.rand(1, 1, 64, 40))


def test_it_is_saved_read_and_explained(tmp_path):
    torch.manual_seed(0)
    net = build_network("resnet18", CONV).train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(4, 1, 72, 40))
    given = {"inputs": ["mri"], "task": "classification", "classes": ["no", "yes"]}
    folder = save_predictor(pc.Predictor(net.eval(), **given), tmp_path, network="resnet18", options=CONV)
    predictor = load_predictor(folder)
    case = pc.Case(id="c", inputs={"mri": torch.rand(1, 72, 40)})
    for method, options in (
        ("grad_cam", {"sign": "signed"}), ("cam", {}), ("lrp", {}), ("deeplift", {}),
        ("integrated_gradients", {"n_steps": 8}), ("gradient_shap", {}),
    ):  # fmt: skip
        a = pc.explain(predictor, case, method=method, target=pc.ClassScore(1), **options)
        values = a.maps["mri"]
        assert torch.isfinite(values).all(), method
        assert values.abs().sum() > 0, method
        if "layers" in a.notes:
            assert a.notes["layers"]["mri"] | {"bypassed": 0} == {"layer": "fc.relu", "grid": [2, 1], "bypassed": 0}
        if method == "deeplift":
            assert "incomplete" not in a.flags
        if method == "lrp":
            assert a.notes["unknown"] == []
