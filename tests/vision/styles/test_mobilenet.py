import pytest
import torch

from graphkit.vision import MobileNetFeatures


@pytest.mark.vision
def test_maps_are_those_of_torchvision():
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    theirs = mobilenet_v2(weights=None).eval()
    with torch.no_grad():
        for module in theirs.features.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    ours = MobileNetFeatures((0, 4, 17), theirs.state_dict())
    x = torch.rand(2, 3, 64, 64)
    h, maps = (x - ours.mean) / ours.deviation, []
    for number, layer in enumerate(theirs.features[:18]):
        h = layer(h)
        maps += [h] if number in (0, 4, 17) else []
    for a, b in zip(ours(x), maps, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.data
def test_the_published_weights_fit(data_root):
    path = data_root / "weights" / "mobilenet_v2_features.pt"
    state = torch.load(path, weights_only=True)
    model = MobileNetFeatures((1, 17), state)
    assert torch.equal(model.features[17].conv[6].weight, state["features.17.conv.6.weight"])
    first, last = model(torch.rand(1, 3, 64, 64))
    assert first.shape == (1, 16, 32, 32)
    assert last.shape == (1, 320, 2, 2)
    assert last.std() > 0.1


def test_it_judges_and_does_not_learn():
    model = MobileNetFeatures().train()
    assert not any(module.training for module in model.modules())
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    sum(maps.sum() for maps in model(x)).backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.parameters())


def test_wrong_arguments_are_named():
    for blocks in ((), (18,), (-1,)):
        with pytest.raises(ValueError, match="'blocks'"):
            MobileNetFeatures(blocks)
    with pytest.raises(ValueError, match="'state'"):
        MobileNetFeatures(state={"features.0.0.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="'x'"):
        MobileNetFeatures()(torch.rand(1, 1, 32, 32))
