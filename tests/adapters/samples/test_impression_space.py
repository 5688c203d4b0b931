import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.adapters import ImpressionGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import ImpressionSpace
from tests.torchvision_networks import network


def make(k=3):
    blocks = [
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU()),
    ]
    return ImpressionGraphAdapter(ImpressionSpace(blocks), k=k)


class TestImpressionGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return torch.rand(12, 1, 6, 6), torch.arange(12) % 3

    def degenerate(self):
        label = torch.zeros(3, dtype=torch.long)
        x = torch.rand(3, 1, 6, 6)
        return {
            "no image": (x[:0], label[:0]),
            "one image": (x[:1], label[:1]),
            "fewer than k": (x, label),
            "all the same": (x[:1].expand(3, 1, 6, 6).clone(), label),
        }

    def recovered(self, graph, x, y):
        """The cosines of centred impressions, from the weights."""
        adapter, _ = self.build()
        v = adapter.space.vectors(x)
        cosine = F.cosine_similarity((v - v.mean(0))[:, None], (v - v.mean(0))[None], dim=2)
        near = cosine[tuple(graph.edge_index)]
        return {
            "classes": (graph.y, y),
            "impressions": (graph.x, v),
            "cosines": (2 * graph.edge_weight - 1, near),
        }


def test_each_image_has_its_k_nearest_before_symmetry():
    adapter, x = make(k=2), torch.rand(15, 1, 6, 6)
    graph = adapter(x)
    v = adapter.space.vectors(x)
    unit = F.normalize(v - v.mean(0), dim=1)
    near = (unit @ unit.t()).fill_diagonal_(-2).topk(2).indices
    expected = torch.zeros(15, 15, dtype=torch.bool).scatter(1, near, True)
    expected |= expected.t().clone()
    assert torch.equal(graph.edge_index, expected.nonzero().t())
    assert 0 <= graph.edge_weight.min() <= graph.edge_weight.max() <= 1


def test_duplicates_have_weight_one():
    x = torch.rand(6, 1, 6, 6)
    graph = make(k=1)(torch.cat([x, x]))
    twin = (graph.edge_index[0] - graph.edge_index[1]).abs() == 6
    assert twin.sum() == 12
    assert torch.allclose(graph.edge_weight[twin], torch.ones(12))
    assert make()(x).y.tolist() == [-1] * 6


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        make(k=0)
    with pytest.raises(ValueError, match="'y'"):
        make()(torch.rand(4, 1, 6, 6), torch.zeros(3).long())


@pytest.mark.vision
def test_images_of_torchvision_through_its_transforms_become_a_graph():
    """A data set of PIL images, loaded in batches, gives what its stacked tensors give."""
    from torch.utils.data import DataLoader
    from torchvision import tv_tensors
    from torchvision.datasets import FakeData
    from torchvision.transforms import v2

    steps = [v2.ToImage(), v2.Resize(32, antialias=True), v2.ToDtype(torch.float64, scale=True)]
    data = FakeData(size=10, image_size=(3, 40, 40), num_classes=3, transform=v2.Compose(steps))
    x, y = next(iter(DataLoader(data, batch_size=10)))
    model = network("resnet")
    adapter = ImpressionGraphAdapter(ImpressionSpace([model.conv1, model.bn1, model.layer1]), k=3)
    graph = adapter(tv_tensors.Image(x), y)
    assert type(graph.x) is torch.Tensor
    plain = adapter(x.as_subclass(torch.Tensor), y)
    for name in ("x", "edge_index", "edge_weight", "y"):
        assert torch.equal(graph[name], plain[name]), name
    assert graph.y.tolist() == [int(label) for _, label in data]
    assert graph.validate()
