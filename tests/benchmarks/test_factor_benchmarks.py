import pickle

import pytest
import torch

from benchmarks.harness import recipe, runner
from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import factor_benchmarks
from graphkit.datasets import DamagedDataError, MissingDataError

TRAIN = {"epochs": 2, "lr": 0.01}


def ring(size):
    """Adjacency of a ring whose bonds are of type 1."""
    eye = torch.eye(size, dtype=torch.long)
    return eye.roll(1, 0) + eye.roll(-1, 0)


def write_zinc(folder):
    raw = folder / "ZINC" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "val", "test"):
        molecules = [
            {
                "atom_type": torch.arange(n) % 28,
                "bond_type": ring(n),
                "logP_SA_cycle_normalized": torch.tensor([n / 10]),
            }
            for n in (3, 4, 5, 6)
        ]
        (raw / f"{split}.pickle").write_bytes(pickle.dumps(molecules))
        (raw / f"{split}.index").write_text("0,1,3\n")


def write_pattern(folder):
    raw = folder / "PATTERN" / "raw"
    raw.mkdir(parents=True)

    def graph(n):
        return {
            "x": torch.eye(3)[torch.arange(n) % 3],
            "edge_index": ring(n).nonzero().t(),
            "y": torch.arange(n) % 2,
        }

    torch.save([[graph(n) for n in (4, 6)] for _ in range(3)], raw / "PATTERN_v2.pt")


def test_other_files_of_a_set_that_a_protocol_brings_are_no_continuation(data_folder, tmp_path):
    zinc = recipe.load("factorgcn-zinc")

    def data():
        return runner.facts_of(zinc, runner.Options(1, tmp_path))["data"]

    assert data() == "-"
    write_zinc(data_folder)
    before = data()
    assert before != "-"
    (data_folder / "ZINC" / "raw" / "val.index").write_text("0,1,2\n")
    assert data() not in ("-", before)


def test_zinc_in_the_published_format(data_folder):
    write_zinc(data_folder)
    parts = factor_benchmarks.load("ZINC")
    assert [[graph.num_nodes for graph in part] for part in parts] == [[3, 4, 6]] * 3
    assert parts[0][0].x.shape == (3, 28)
    assert parts[0][2].y.tolist() == pytest.approx([0.6])
    model = {"name": "FactorGCN", "hidden_channels": 8, "num_factors": 4, "head": "mean"}
    metrics = factor_benchmarks.run(
        {"name": "ZINC"}, model, seed=0, fit=Fitter(TRAIN, 0), batch_size=2
    )
    assert metrics["test_score"] >= 0


def test_pattern_in_the_published_format(data_folder):
    write_pattern(data_folder)
    model = {"name": "FactorGCN", "hidden_channels": 8, "num_factors": 4, "head": "node"}
    metrics = factor_benchmarks.run(
        {"name": "PATTERN"}, model, seed=0, fit=Fitter(TRAIN, 0), batch_size=2
    )
    assert 0 <= metrics["test_score"] <= 1


def test_an_index_without_a_newline_names_the_same_molecules(data_folder):
    write_zinc(data_folder)
    for path in (data_folder / "ZINC" / "raw").glob("*.index"):
        path.write_bytes(b"\xef\xbb\xbf0,1,3")
    parts = factor_benchmarks.load("ZINC")
    assert [[graph.num_nodes for graph in part] for part in parts] == [[3, 4, 6]] * 3


@pytest.mark.parametrize(
    "dump", [lambda harm, path: path.write_bytes(pickle.dumps(harm)), torch.save]
)
@pytest.mark.parametrize(
    ("name", "file", "write"),
    [("ZINC", "val.pickle", write_zinc), ("PATTERN", "PATTERN_v2.pt", write_pattern)],
)
def test_nothing_in_the_files_is_run(data_folder, tmp_path, name, file, write, dump):
    class Harm:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'harm')!r}, 'w')",))

    write(data_folder)
    dump([Harm()], data_folder / name / "raw" / file)
    with pytest.raises(DamagedDataError, match=file):
        factor_benchmarks.load(name)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["ZINC", "PATTERN"])
def test_missing_files_are_named(data_folder, name):
    with pytest.raises(MissingDataError, match=f"{name}.*raw/"):
        factor_benchmarks.load(name)


def test_balanced_figures_by_hand():
    y = torch.tensor([0, 0, 0, 1])
    out = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert float(factor_benchmarks.balanced_accuracy(out, y)) == pytest.approx((2 / 3 + 1) / 2)
    losses = torch.nn.functional.cross_entropy(out, y, reduction="none")
    mean = (losses[:3].mean() + losses[3]) / 2
    assert torch.allclose(factor_benchmarks.balanced_loss(out, y), mean)


def test_recipes_are_ready_and_other_data_is_refused():
    for name in ("factorgcn-zinc", "factorgcn-pattern"):
        assert recipe.load(name).protocol == "factor_benchmarks"
    with pytest.raises(ValueError, match="Cora"):
        factor_benchmarks.load("Cora")


def test_atoms_that_there_are_not_are_named(data_folder):
    write_zinc(data_folder)
    path = data_folder / "ZINC" / "raw" / "val.pickle"
    molecules = pickle.loads(path.read_bytes())
    molecules[1]["atom_type"] += 28
    path.write_bytes(pickle.dumps(molecules))
    with pytest.raises(DamagedDataError, match="ZINC/raw', atoms of 28 kinds"):
        factor_benchmarks.load("ZINC")
