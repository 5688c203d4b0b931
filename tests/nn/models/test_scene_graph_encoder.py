import pytest
import torch

from graphkit.datasets import SceneBatch
from graphkit.nn import SceneGraphEncoder
from graphkit.testing.asserts import assert_close
from tests.nn.scenes.problems import OBJECTS, PREDICATES, SMALL, scene, some_scenes, union


def make(**options):
    torch.manual_seed(0)
    return SceneGraphEncoder(OBJECTS, PREDICATES, **{**SMALL, **options}).double().eval()


def loop(encoder, data, new=None):
    """One scene with its special nodes built by hand, the image last."""
    objects, predicates = encoder.embed_objects.weight, encoder.embed_predicates.weight
    count = data.num_nodes
    rows = [objects[c] for c in data.x.tolist()]
    rows += [] if new is None else [new]
    rows.append(objects[OBJECTS])
    image = len(rows) - 1
    links = list(zip(*data.edge_index.tolist(), strict=True))
    features = [predicates[p] for p in data.edge_attr.tolist()]
    for i in range(image):
        links.append((i, image))
        features.append(predicates[PREDICATES])
    for i in range(count if new is not None else 0):
        links.append((count, i))
        features.append(predicates[PREDICATES + 1])
    edges = torch.tensor(links, dtype=torch.long).view(-1, 2).t()
    x = torch.stack(rows)
    attr = torch.stack(features) if features else x.new_zeros(0, x.size(1))
    for conv in encoder.convs:
        out, out_attr = conv(x, edges, attr)
        x, attr = (x + out, attr + out_attr) if encoder.residual else (out, out_attr)
    return x


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("with_new", [False, True])
def test_a_batch_is_its_scenes_one_by_one(residual, with_new):
    encoder, parts = make(residual=residual), some_scenes()
    new = torch.randn(len(parts), 16).double() if with_new else None
    encoded = encoder(SceneBatch.from_data(parts), new)
    place = 0
    for i, data in enumerate(parts):
        rows = loop(encoder, data, None if new is None else new[i])
        assert_close(encoded.objects[place : place + data.num_nodes], rows[: data.num_nodes])
        assert_close(encoded.images[i], rows[-1])
        if with_new:
            assert_close(encoded.new[i], rows[-2])
        place += data.num_nodes
    assert encoded.new.size(0) == (len(parts) if with_new else 0)
    assert encoded.predicates.size(0) == sum(data.num_edges for data in parts)


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_every_layer_pools_as_the_encoder_was_told(pooling):
    data = some_scenes()[0]
    encoder = make(pooling=pooling)
    for conv in (rebuilt := make()).convs:
        conv.pooling = pooling
    batch = SceneBatch.from_data([data])
    assert_close(encoder(batch).objects, rebuilt(batch).objects)
    other = make(pooling="sum" if pooling == "mean" else "mean")
    assert not torch.allclose(encoder(batch).objects, other(batch).objects)


def test_order_of_objects_and_triples_does_not_matter():
    encoder = make()
    data = some_scenes()[0]
    order = torch.randperm(data.num_nodes)
    place = order.argsort()
    shuffle = torch.randperm(data.num_edges)
    other = data.clone()
    other.x = data.x[order]
    other.edge_index, other.edge_attr = place[data.edge_index][:, shuffle], data.edge_attr[shuffle]
    one, two = (encoder(SceneBatch.from_data(each)) for each in (data, other))
    assert_close(two.objects, one.objects[order])
    assert_close(two.images, one.images)


def test_soft_rows_give_what_numbers_give_and_carry_a_gradient():
    encoder, scenes = make(), union()
    hard = encoder(scenes)
    scenes.x_soft = torch.nn.functional.one_hot(scenes.x, OBJECTS).double().requires_grad_()
    scenes.edge_soft = torch.nn.functional.one_hot(scenes.edge_attr, PREDICATES).double()
    soft = encoder(scenes)
    assert_close(soft.objects, hard.objects)
    soft.images.sum().backward()
    assert scenes.x_soft.grad.abs().sum() > 0


def test_reset_renews_everything():
    encoder = make()
    before = [p.clone() for p in encoder.parameters()]
    encoder.reset_parameters()
    assert not any(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


@pytest.mark.parametrize(
    ("scenes", "message"),
    [
        (scene([28], []), "'x' must lie between 0 and 27"),
        (scene([-1], []), "'x' must lie between 0 and 27"),
        (scene([0], [(0, 13, 0)]), "'edge_attr' must lie between 0 and 12"),
    ],
)
def test_unknown_names_are_refused(scenes, message):
    with pytest.raises(ValueError, match=message):
        make()(SceneBatch.from_data(scenes))


@pytest.mark.parametrize(
    "options", [{"num_objects": 0}, {"num_predicates": 0}, {"num_layers": 0}, {"dropout": 1.0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match=f"'{next(iter(options))}' must"):
        SceneGraphEncoder(**{"num_objects": 3, "num_predicates": 2, **options})
