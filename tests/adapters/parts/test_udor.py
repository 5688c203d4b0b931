import pytest
import torch

from graphkit.adapters import ObjectGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import UDOR


def lengths(model, x):
    return model.encode(x).norm(dim=2).detach()


def between(model, x):
    """A threshold that half of the lengths exceed; at a length itself the last bit would decide."""
    ordered = lengths(model, x).flatten().sort().values
    middle = len(ordered) // 2
    return float(ordered[middle - 1 : middle + 1].mean())


class TestObjectGraphAdapter(AdapterSuite):
    def make(self):
        model = UDOR(1, 8, num_parts=3)
        for layer in (0, 2, 5, 7):
            torch.nn.init.zeros_(model.encoder[layer].bias)
        return ObjectGraphAdapter(model, tau=between(model, self.example()[0]))

    def example(self):
        return (torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)),)

    def degenerate(self):
        return {
            "no image": (torch.rand(0, 1, 8, 8),),
            "one image": (torch.rand(1, 1, 8, 8),),
            "nothing in it": (torch.zeros(2, 1, 8, 8),),
        }

    def recovered(self, graph, x):
        """The image as the objects in the graph make it."""
        adapter, _ = self.build()
        codes = adapter.model.encode(x)
        kept = codes * (codes.norm(dim=2) > adapter.tau).unsqueeze(2)
        return {"images": (adapter.decode(graph), adapter.model.decode(kept))}


def test_deleting_a_node_is_removing_an_object():
    model = UDOR(1, 8, num_parts=3)
    adapter, x = ObjectGraphAdapter(model, tau=0.0), torch.rand(4, 1, 8, 8)
    graph = adapter(x)
    keep = graph["object"].part != 1
    edited = graph.subgraph({"object": keep})
    codes = model.encode(x).clone()
    codes[:, 1] = 0
    assert torch.allclose(adapter.decode(edited), model.decode(codes), atol=1e-6)


def test_edges_are_those_of_the_objects():
    model = UDOR(1, 8, num_parts=3)
    x = torch.rand(5, 1, 8, 8)
    tau = between(model, x)
    graph = ObjectGraphAdapter(model, tau)(x)
    here = lengths(model, x) > tau
    node = graph["object"]
    assert torch.equal(torch.stack([node.image, node.part]), here.nonzero().t())
    same = (node.image[:, None] == node.image) & ~torch.eye(len(node.part), dtype=torch.bool)
    assert torch.equal(graph["with"].edge_index, same.nonzero().t())
    cosine = torch.cosine_similarity(node.x[:, None], node.x[None], dim=2)
    assert torch.allclose(graph["with"].edge_weight, cosine[same], atol=1e-6)
    p = model.categories(node.x)[:, :3]
    source, target = graph["is_a"].edge_index
    assert torch.allclose(graph["is_a"].edge_weight, p[source, target])
    mean = torch.stack(
        [node.x[node.part == k].sum(0) / max((node.part == k).sum(), 1) for k in range(3)]
    )
    assert torch.allclose(graph["category"].x, mean, atol=1e-6)


def test_images_without_an_object_stay_as_isolated_nodes():
    graph = ObjectGraphAdapter(UDOR(1, 8, num_parts=2), tau=1e6)(torch.rand(3, 1, 8, 8))
    assert graph["image"].num_nodes == 3
    assert graph["object"].num_nodes == graph["contains"].num_edges == 0
    assert not graph["category"].x.any()
    with pytest.raises(ValueError, match="tau"):
        ObjectGraphAdapter(UDOR(1, 8, num_parts=2), tau=-1.0)
