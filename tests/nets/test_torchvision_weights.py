"""torchvision's weights in our networks: the same outputs, and clear refusals."""

import pytest
import torch

from pellucid.errors import ModelError, UsageError
from pellucid.nets import build_network, pretrained, save_weights
from pellucid.nets.picture_norm import PictureNorm
from pellucid.nets.pretrained import FILES, find_weights, start_from
from pellucid.nets.torchvision_weights import LAST, fitted, looks_like
from pellucid.nets.weights import sha256
from reference.torchvision_nets import old_spelling, twin


@pytest.fixture(scope="module")
def twins():
    torch.manual_seed(0)
    made = {}
    return lambda name: made.setdefault(name, twin(name, classes=3))


@pytest.fixture
def file(tmp_path):
    def write(state, name="weights.pth"):
        torch.save(state, tmp_path / name)
        return tmp_path / name

    return write


def x_of(channels, size=64):
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_b0"])
def test_outputs_are_equal(name, twins, file):
    """Colour with torchvision's last layer, and grey by the sum of the filters: what the grey RGB picture gets."""
    theirs, x = twins(name), x_of(3)
    path = file(theirs.state_dict())
    ours = build_network(name, {"classes": 3, "in_channels": 3})
    found = start_from(ours, path, network=name)
    assert found == {
        "file": "weights.pth", "sha256": sha256(path), "loaded": len(theirs.state_dict()), "new": [],
        "channels": "as they are",
    }  # fmt: skip
    with torch.no_grad():
        wanted = theirs(x)
        assert wanted.std() > 1e-3
        torch.testing.assert_close(ours.eval()(x), wanted, atol=1e-5, rtol=1e-5)
        grey = build_network(name, {"classes": 3})
        assert start_from(grey, path, network=name)["channels"] == "sum of RGB"
        torch.testing.assert_close(
            grey.eval()(x[:, :1]), theirs(x[:, :1].expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
def test_outputs_of_the_large_ones_are_equal(name):
    """The two above, and these, are all; one pass each, and no file."""
    assert {"resnet18", "densenet121", "resnet50", "resnet101", "efficientnet_b0"} == set(LAST)
    torch.manual_seed(0)
    theirs, ours = twin(name, classes=3), build_network(name, {"classes": 3})
    state, new = fitted(theirs.state_dict(), ours, network=name)
    assert new == []
    ours.load_state_dict(state)
    x = x_of(1)
    with torch.no_grad():
        wanted = theirs(x.expand(-1, 3, -1, -1))
        assert wanted.std() > 1e-3
        torch.testing.assert_close(ours.eval()(x), wanted, atol=1e-5, rtol=1e-5)


def test_both_spellings_of_densenet(twins):
    state = twins("densenet121").state_dict()
    old = {k: v for k, v in old_spelling(state).items() if "num_batches" not in k}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert len(set(old) - set(state)) == 58 * 10
    ours = build_network("densenet121", {"classes": 3})
    (a, _), (b, _) = (fitted(s, ours, network="densenet121") for s in (state, old))
    assert set(a) - set(b) == {k for k in a if "num_batches" in k}
    assert all(torch.equal(v, a[k]) for k, v in b.items())
    ours.load_state_dict(ours.state_dict() | b)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_another_number_of_classes_or_a_head_leaves_the_last_layer_new(name, twins, file):
    path = file(twins(name).state_dict())
    for options in ({"classes": 5}, {"classes": 3, "head": 4}):
        module = build_network(name, options)
        before = {k: v.clone() for k, v in module.state_dict().items()}
        found = start_from(module, path, network=name)
        assert found["new"] == [k for k in before if k.startswith(LAST[name])]
        for key, value in module.state_dict().items():
            assert torch.equal(value, before[key]) == (key in found["new"] or "num_batches" in key), key


def test_a_file_of_ours_comes_back_whole_and_with_any_prefix(tmp_path, twins, file):
    mine = build_network("resnet18", {"classes": 2, "head": 4, "standardise": "picture"})
    save_weights(mine, tmp_path / "mine.safetensors")
    other = build_network("resnet18", {"classes": 2, "head": 4})
    assert start_from(other, tmp_path / "mine.safetensors", network="resnet18")["new"] == []
    assert all(torch.equal(v, mine.state_dict()["network." + k]) for k, v in other.state_dict().items())
    parallel = {"module." + k: v for k, v in twins("resnet18").state_dict().items()}
    behind = build_network("resnet18", {"classes": 3, "standardise": "picture"}).eval()
    start_from(behind, file({"state_dict": parallel}), network="resnet18")
    x = x_of(1)
    with torch.no_grad():
        seen = PictureNorm()(x).expand(-1, 3, -1, -1)
        torch.testing.assert_close(behind(x), twins("resnet18")(seen), atol=1e-5, rtol=1e-5)


def test_a_file_of_another_network_is_told_by_its_name(tmp_path, twins, file):
    resnet, dense = file(twins("resnet18").state_dict(), "r.pth"), file(twins("densenet121").state_dict(), "d.pth")
    unet = build_network("unet", {"channels": (4, 8)})
    save_weights(unet, tmp_path / "u.safetensors")
    gates = build_network("attention_unet", {"channels": (4, 8, 16)})
    for name, path, found in (
        ("resnet50", resnet, "resnet18"), ("densenet121", resnet, "resnet18"), ("resnet18", dense, "densenet121"),
        ("resnet18", tmp_path / "u.safetensors", "unet"),
    ):  # fmt: skip
        module = build_network(name)
        before = module.state_dict()[next(iter(module.state_dict()))].clone()
        with pytest.raises(ModelError, match=f"look like those of {found}, and the network is '{name}'"):
            start_from(module, path, network=name)
        assert torch.equal(module.state_dict()[next(iter(module.state_dict()))], before)
    with pytest.raises(ModelError, match=r"weights d\.pth: the weights look like those of densenet121, and the network is 'unet'"):
        start_from(unet, dense, network="unet")
    assert looks_like(gates.state_dict()) == "attention_unet"
    holed = file({k: v for k, v in twins("resnet18").state_dict().items() if k != "layer4.1.bn2.bias"})
    with pytest.raises(ModelError, match=r"1 missing \(layer4\.1\.bn2\.bias\)"):
        start_from(build_network("resnet18"), holed, network="resnet18")
    # The same names, other sizes: U-Nets say so as load_weights does.
    with pytest.raises(ModelError, match="wrong shape"):
        start_from(build_network("unet", {"channels": (6, 8)}), tmp_path / "u.safetensors", network="unet")


def test_other_channels_and_volumes_are_refused(twins, file):
    path = file(twins("resnet18").state_dict())
    with pytest.raises(ModelError, match=r"for 3 input channels, this network has 2.*set in_channels to 3 or 1"):
        start_from(build_network("resnet18", {"in_channels": 2}), path, network="resnet18")
    with pytest.raises(ModelError, match="of 2 spatial axes, this one has 3"):
        start_from(build_network("resnet18", {"spatial_dims": 3}), path, network="resnet18")
    one = file(build_network("resnet18").state_dict(), "one.pth")
    with pytest.raises(ModelError, match=r"for 1 input channels, this network has 3.*set in_channels to 1"):
        start_from(build_network("resnet18", {"in_channels": 3}), one, network="resnet18")


def published(monkeypatch, tmp_path, state):
    """A server (a folder), a hub and no ``PELLUCID_WEIGHTS``; the file's name has its digest, as torchvision's have."""
    (tmp_path / "server").mkdir()
    torch.save(state, tmp_path / "server" / "x.pth")
    name = f"resnet18-{sha256(tmp_path / 'server' / 'x.pth')[:8]}.pth"
    (tmp_path / "server" / "x.pth").rename(tmp_path / "server" / name)
    monkeypatch.setitem(FILES, "resnet18", name)
    monkeypatch.setattr(pretrained, "BASE", (tmp_path / "server").as_uri() + "/")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.delenv("PELLUCID_WEIGHTS", raising=False)
    return name


def test_imagenet_is_fetched_once_and_kept_where_the_hub_keeps_its_files(monkeypatch, tmp_path, twins):
    name = published(monkeypatch, tmp_path, twins("resnet18").state_dict())
    module = build_network("resnet18", {"classes": 3, "in_channels": 3}).eval()
    found = start_from(module, "imagenet", network="resnet18")
    assert found["file"] == name
    kept = tmp_path / "home" / "hub" / "checkpoints" / name
    assert kept.is_file()
    with torch.no_grad():
        torch.testing.assert_close(module(x_of(3)), twins("resnet18")(x_of(3)), atol=1e-5, rtol=1e-5)
    (tmp_path / "server" / name).unlink()
    assert find_weights("imagenet", network="resnet18") == kept
    # A folder that the user names comes first.
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("PELLUCID_WEIGHTS", str(tmp_path / "mine"))
    assert find_weights("imagenet", network="resnet18") == kept
    (tmp_path / "mine" / name).write_bytes(kept.read_bytes())
    assert find_weights("imagenet", network="resnet18") == tmp_path / "mine" / name
    (tmp_path / "mine" / name).write_bytes(b"cut off")
    with pytest.raises(ModelError, match="its SHA-256 does not begin with"):
        find_weights("imagenet", network="resnet18")


def test_offline_says_which_file_to_put_where(monkeypatch, tmp_path, twins):
    name = published(monkeypatch, tmp_path, twins("resnet18").state_dict())

    def no_net(*_, **__):
        from urllib.error import URLError

        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", no_net)
    with pytest.raises(ModelError) as caught:
        start_from(build_network("resnet18"), "imagenet", network="resnet18")
    for part in (name, "no route to host", str(tmp_path / "home" / "hub" / "checkpoints"), "PELLUCID_WEIGHTS"):
        assert part in str(caught.value)


def test_a_transfer_that_was_damaged_is_not_used(monkeypatch, tmp_path, twins):
    name = published(monkeypatch, tmp_path, twins("resnet18").state_dict())
    path = tmp_path / "server" / name
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"cannot be fetched \(invalid hash value"):
        start_from(build_network("resnet18"), "imagenet", network="resnet18")
    assert not (tmp_path / "home" / "hub" / "checkpoints" / name).exists()


def test_what_has_no_imagenet_weights_and_files_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match="'imagenet' are there for resnet18, resnet50, resnet101, densenet121, efficientnet_b0"):
        start_from(build_network("unet", {"channels": (4, 8)}), "imagenet", network="unet")
    with pytest.raises(ModelError, match="no such file; give a file of weights, or 'imagenet'"):
        start_from(build_network("resnet18"), tmp_path / "none.pth", network="resnet18")


def test_the_published_files_are_named_by_their_digest():
    assert set(FILES) == set(LAST)
    for name, file_name in FILES.items():
        stem, _, digits = file_name.removesuffix(".pth").partition("-")
        assert stem.removesuffix("_rwightman") == name
        assert len(digits) == 8
        int(digits, 16)


def test_each_encoder_of_a_fusion_network_starts_from_the_file_of_its_own_kind(twins, file):
    inputs = [{"kind": "image", "in_channels": 1}, {"kind": "table", "features": 2}, {"kind": "image", "in_channels": 3}]
    net = build_network("fusion", {"inputs": inputs, "encoder": ["small", "resnet18"]})
    before = {k: v.clone() for k, v in net.state_dict().items()}
    theirs = twins("resnet18")
    found = start_from(net, file(theirs.state_dict()), network="fusion")
    assert found["loaded"] == len(theirs.state_dict()) - 2
    assert {k.partition(".")[0] + k.partition(".")[2][:2] for k in found["new"]} >= {"encoders0.", "encoders1.", "head" + "we"}
    x = x_of(3)
    with torch.no_grad():
        wanted = theirs.layer1(torch.nn.functional.max_pool2d(theirs.bn1(theirs.conv1(x)).relu(), 3, stride=2, padding=1))
        torch.testing.assert_close(net.encoders[2].eval().pyramid(x)[1], wanted, atol=1e-5, rtol=1e-5)
    after = net.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in found["new"])
    whole = file(before, "own.pth")
    assert start_from(net, whole, network="fusion")["new"] == []
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    with pytest.raises(ModelError, match=r"look like those of densenet121, and the network's encoders are small, resnet18"):
        start_from(net, file(twins("densenet121").state_dict()), network="fusion")
    with pytest.raises(UsageError, match="'imagenet' are there for"):
        start_from(build_network("fusion"), "imagenet", network="fusion")
