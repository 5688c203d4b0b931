import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.datasets import DamagedDataError, MissingDataError, mobilenet_weights
from graphkit.vision import MobileNetFeatures
from graphkit.vision.mobile_net import flat


def test_sizes_are_those_of_the_paper():
    model = MobileNetFeatures(pool=False).eval()
    sizes = []
    for block in model.features:
        block.register_forward_hook(lambda *given: sizes.append(tuple(given[2].shape[1:])))
    x = torch.rand(1, 3, 64, 64)
    maps = model(x)
    channels = [32, 16, *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320, 1280]
    sides = [32, 32, *[16] * 2, *[8] * 3, *[4] * 7, *[2] * 5]
    assert sizes == [(c, s, s) for c, s in zip(channels, sides, strict=True)]
    assert sum(p.numel() for p in model.parameters()) == 2_223_872
    pooled = MobileNetFeatures(model.state_dict()).eval()
    torch.testing.assert_close(pooled(x), maps.mean((2, 3)))


def nested(name):
    """A flat name as torchvision has it, by its rule: activation, nest."""
    match = re.fullmatch(r"features\.(\d+)\.conv\.(\d+)\.(\w+)", name)
    if match is None:
        return name
    block, place, what = int(match[1]), int(match[2]), match[3]
    last = {3: "1", 4: "2"} if block == 1 else {6: "2", 7: "3"}
    inner = last.get(place, f"{place // 3}.{place % 3}")
    return f"features.{block}.conv.{inner}.{what}"


def test_both_layouts_and_a_classifier_are_understood():
    state = MobileNetFeatures().state_dict()
    other = {nested(name): t for name, t in state.items()}
    assert "features.2.conv.0.0.weight" in other
    assert "features.17.conv.3.running_var" in other
    assert {flat(name) for name in other} == set(state)
    model = MobileNetFeatures({**other, "classifier.1.weight": torch.zeros(10, 1280)})
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())


@pytest.mark.vision
def test_equal_to_torchvision():
    from torchvision.models import mobilenet_v2

    model = mobilenet_v2(weights=None).eval()
    own = MobileNetFeatures(model.state_dict(), pool=False).eval()
    x = torch.rand(2, 3, 64, 32)
    torch.testing.assert_close(own(x), model.features((x - own.mean) / own.std))


def test_wrong_arguments_are_named():
    model = MobileNetFeatures()
    with pytest.raises(ValueError, match="'x' must be images"):
        model(torch.rand(1, 1, 32, 32))
    with pytest.raises(ValueError, match="'weights' do not fit"):
        MobileNetFeatures({"features.0.0.weight": torch.zeros(1)})


def test_weights_that_are_missing_or_damaged_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingDataError, match=r"mobilenet_v2_features\.pt"):
        mobilenet_weights(tmp_path)
    path = tmp_path / "weights" / "mobilenet_v2_features.pt"
    path.parent.mkdir()
    path.write_bytes(b"cut off")
    with pytest.raises(DamagedDataError, match="cannot read"):
        mobilenet_weights(tmp_path)
    torch.save([1, 2], path)
    with pytest.raises(DamagedDataError, match="no named tensors"):
        mobilenet_weights(tmp_path)


def fits(model, x):
    """How means of what comes to the norms after an activation agree with those of training."""
    values = []

    def compare(norm, given):
        means = torch.stack([given[0].mean((0, 2, 3)), norm.running_mean])
        values.append(torch.corrcoef(means)[0, 1])

    for block in model.features[1:18]:
        norms = [m for m in block.conv if isinstance(m, nn.BatchNorm2d)]
        for norm in norms[-2:]:
            norm.register_forward_pre_hook(compare)
    with torch.no_grad():
        model.eval()(x)
    return torch.stack(values)


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize("fault", [None, "residual", "activation"])
def test_photographs_look_to_imagenets_weights_as_their_statistics_say(fault):
    from sklearn.datasets import load_sample_images

    x = torch.stack([torch.tensor(image) for image in load_sample_images().images])
    x = F.interpolate(x.permute(0, 3, 1, 2).float() / 255, (224, 224), mode="area")
    model = MobileNetFeatures(mobilenet_weights())
    for block in model.features[1:18]:
        if fault == "residual":
            block.residual = False
        if fault == "activation":
            block.conv.append(nn.ReLU6())
    agreement = fits(model, x)
    assert len(agreement) == 34
    assert bool(agreement.min() > 0.8) == (fault is None)
