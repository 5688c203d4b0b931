import pytest
import torch
from torch_geometric.data import Data

from graphkit.sampling import GraphSAINTRandomWalkSampler
from tests.sampling.graphs import graph


def test_batches_are_induced_by_walks():
    data = graph()
    for batch in GraphSAINTRandomWalkSampler(data, 3, 2, num_steps=5):
        assert batch.num_nodes <= 9
        assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
        inside = torch.isin(data.edge_index, batch.n_id).all(0).nonzero().view(-1)
        assert torch.equal(batch.e_id.sort().values, inside)
        assert torch.equal(batch.x, data.x[batch.n_id])
        assert torch.equal(batch.edge_attr, data.edge_attr[batch.e_id])


def test_walks_follow_edges_and_stay_at_dead_ends():
    """A path of directed edges: a walk of three steps covers what follows its start."""
    path = torch.stack([torch.arange(9), torch.arange(1, 10)])
    loader = GraphSAINTRandomWalkSampler(Data(edge_index=path, num_nodes=10), 1, 3, num_steps=50)
    starts = set()
    for batch in loader:
        first = int(batch.n_id[0])
        starts.add(first)
        assert batch.n_id.tolist() == list(range(first, min(first + 4, 10)))
    assert starts == set(range(10))


def test_norms_make_sums_unbiased():
    """The mean over batches of normed node values is the mean over all nodes."""
    data = graph()
    torch.manual_seed(0)
    loader = GraphSAINTRandomWalkSampler(data, 4, 2, num_steps=400, sample_coverage=300, log=False)
    total, edges = 0.0, torch.zeros(60)
    for batch in loader:
        total += float((batch.node_norm * batch.y).sum()) / 400
        weight = batch.edge_norm * (batch.edge_norm < 1e4)
        edges.index_add_(0, batch.n_id[batch.edge_index[0]], weight)
    assert total == pytest.approx(float(data.y.float().mean()), rel=0.05)
    out_degree = torch.bincount(data.edge_index[0], minlength=60)
    counts = torch.zeros(60)
    for batch in loader:
        counts[batch.n_id] += 1
    busy = out_degree > 0
    torch.testing.assert_close(
        edges[busy] / counts[busy], out_degree[busy].float(), rtol=0.5, atol=0
    )


def test_workers_do_not_matter_and_norms_are_kept(tmp_path):
    data, passes = graph(), []
    for workers in (0, 2):
        loader = GraphSAINTRandomWalkSampler(
            data, 3, 2, 6, num_workers=workers, generator=torch.Generator().manual_seed(1)
        )
        passes.append([batch.n_id.tolist() for batch in loader])
    assert passes[0] == passes[1]
    options = {"sample_coverage": 5, "save_dir": tmp_path, "log": False}
    first = GraphSAINTRandomWalkSampler(data, 3, 2, **options).norms
    second = GraphSAINTRandomWalkSampler(data, 3, 2, **options).norms
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with pytest.raises(ValueError, match="norms of 60 nodes"):
        GraphSAINTRandomWalkSampler(graph(50), 3, 2, **options)
    (file,) = tmp_path.glob("*.pt")
    other = data.clone()
    other.edge_index = torch.stack([data.edge_index[0], data.edge_index[1].roll(1)])
    for graph_of, walks in ((other, 3), (data, 4)):
        with pytest.raises(ValueError, match=r"another graph or 'batch_size'; delete it"):
            GraphSAINTRandomWalkSampler(graph_of, walks, 2, **options)
    node_norm, edge_norm, mark = torch.load(file)
    for wrong in (torch.nan, torch.inf, 0.0, -1.0):
        torch.save([node_norm, edge_norm.masked_fill(edge_norm == edge_norm[3], wrong), mark], file)
        with pytest.raises(
            ValueError, match=r"saint\.pt' holds norms that are no positive numbers"
        ):
            GraphSAINTRandomWalkSampler(data, 3, 2, **options)
    torch.save([node_norm, edge_norm], file)
    with pytest.raises(ValueError, match="holds no norms"):
        GraphSAINTRandomWalkSampler(data, 3, 2, **options)
    file.write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"cannot read .*delete it"):
        GraphSAINTRandomWalkSampler(data, 3, 2, **options)


def test_what_is_wrong_is_refused_by_name():
    data = graph()
    for name in ("batch_size", "num_steps"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            GraphSAINTRandomWalkSampler(data, **{"batch_size": 1, "walk_length": 1, name: 0})
    data.node_norm = torch.ones(60)
    with pytest.raises(ValueError, match="node_norm"):
        GraphSAINTRandomWalkSampler(data, 1, 1)


def test_norms_come_from_the_given_generator() -> None:
    data = Data(edge_index=torch.randint(20, (2, 60)), num_nodes=20)
    norms = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(0)
        loader = GraphSAINTRandomWalkSampler(
            data, 4, 2, 5, sample_coverage=20, log=False, generator=generator
        )
        norms.append(loader.norms[0])
    assert torch.equal(*norms)
