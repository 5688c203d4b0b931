"""The zoos, their tables and the protocols on transferability, on small data made here."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.canvas import canvas
from benchmarks.protocols import (
    layer_selection,
    learned_attribution,
    model_ranking,
    taskonomy_ranking,
)
from benchmarks.zoo import graph_zoo, measure
from benchmarks.zoo.images import image_zoo, tasks
from benchmarks.zoo.speed import similarity_times
from graphkit.datasets import DamagedDataError, MissingDataError
from graphkit.metrics import precision_at_k
from graphkit.transfer import AttributionGraph, ModelSpace

QUICK = (3, 2, 8, 0.004, 2, 20)
"""Steps, steps of fine-tuning, batch size, learning rate, labels and test images."""


@pytest.fixture
def folder(data_folder: Path) -> Path:
    for function in (tasks.load_pool, tasks.task, graph_zoo.graph):
        function.cache_clear()
    yield data_folder
    for function in (tasks.load_pool, tasks.task, graph_zoo.graph):
        function.cache_clear()


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write_images(folder: Path) -> None:
    """A few files in exactly the published formats."""
    generator = np.random.default_rng(0)
    (folder / "MNIST").mkdir(parents=True)
    digits = {}
    for part, count in (("train", 30), ("test", 20)):
        digits[f"x_{part}"] = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        digits[f"y_{part}"] = (np.arange(count) % 10).astype(np.uint8)
    np.savez(folder / "MNIST/mnist.npz", **digits)
    (folder / "CIFAR10").mkdir()
    with tarfile.open(folder / "CIFAR10/cifar10_jpg.tar.gz", "w:gz") as archive:
        for part in ("train", "test"):
            for number in range(20):
                name = tasks.OBJECTS[number % 10]
                data = png(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8), "JPEG")
                entry = tarfile.TarInfo(f"CIFAR-10-images/{part}/{name}/{number:04}.jpg")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    (folder / "omniglot").mkdir()
    for name, alphabets in (
        ("small1", ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")),
        ("small2", ("Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog")),
    ):
        stem = f"images_background_{name}"
        with zipfile.ZipFile(folder / f"omniglot/{stem}.zip", "w") as archive:
            for alphabet in alphabets:
                for character in (1, 2):
                    for drawer in range(1, 21):
                        pixels = (generator.random((105, 105)) > 0.1).astype(np.uint8) * 255
                        path = f"{stem}/{alphabet}/character{character:02}/0001_{drawer:02}.png"
                        archive.writestr(path, png(pixels))


def test_image_tasks_and_their_files(folder: Path) -> None:
    with pytest.raises(MissingDataError, match=r"the image zoo needs .*mnist\.npz"):
        tasks.load_pool("digits")
    write_images(folder)
    for name in tasks.TASKS:
        task = tasks.task(name)
        assert task.x.shape[1:] == (3, 28, 28)
        assert 0 <= float(task.x.min()) <= float(task.x.max()) <= 1
        assert set(task.y.tolist()) == set(range(task.num_classes)), name
        assert len(task.test_x) == len(task.test_y) > 0
    assert len(tasks.task("digits-low").x) == 15
    turned = tasks.task("digits-rotation")
    upright = tasks.task("digits").x
    for row, quarter in enumerate(turned.y[:8].tolist()):
        assert torch.equal(torch.rot90(turned.x[row], -quarter, (1, 2)), upright[row])
    probes = tasks.probe_images(4)
    assert probes.shape == (12, 3, 28, 28)
    assert torch.equal(probes, tasks.probe_images(4))


def test_damaged_image_files_are_named(folder: Path) -> None:
    write_images(folder)
    for domain, names in tasks.FILES.items():
        path = folder / names[0]
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(DamagedDataError, match=path.name):
            tasks.load_pool(domain)


def test_images_that_are_none_are_never_kept(folder: Path) -> None:
    write_images(folder)
    path, kept = folder / tasks.FILES["digits"][0], tasks.cache_root() / "zoo" / "digits.npz"
    with np.load(path) as file:
        arrays = dict(file)
    for key, wrong in (
        ("x_train", arrays["x_train"][:, :27]),
        ("x_test", arrays["x_test"].astype(np.int64)),
        ("y_train", arrays["y_train"][:, None]),
    ):
        np.savez(path, **{**arrays, key: wrong})
        with pytest.raises(DamagedDataError, match=r"mnist\.npz"):
            tasks.load_pool("digits")
        assert not kept.exists()
    np.savez(path, **arrays)
    tasks.load_pool("digits")
    tasks.load_pool.cache_clear()
    with np.load(kept) as file:
        arrays = dict(file)
    np.savez(kept, **{**arrays, "train_y": arrays["train_y"] + 9})
    with pytest.raises(DamagedDataError, match=r"digits\.npz'.*delete it"):
        tasks.load_pool("digits")


def test_networks_are_trained_once_and_tables_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(folder)
    names = ["digits", "vehicles", "greek"]
    monkeypatch.setattr(image_zoo.Budget.__init__, "__defaults__", QUICK)
    quick = measure.Zoo(image_zoo, image_zoo.Budget())
    monkeypatch.setitem(measure.ZOOS, "images", quick)
    monkeypatch.setattr(image_zoo, "TASKS", {name: tasks.TASKS[name] for name in names})
    monkeypatch.setattr(measure, "RESULTS", folder)
    assert measure.measure("images", "probe", draws=2, minutes=0.0) is None
    for kind in measure.MEASURES:
        path = measure.write("images", kind, measure.measure("images", kind, draws=2))
    assert path == folder / "zoo-images.yaml"
    found, truth = measure.load_table("images", "probe")
    assert found == names
    assert bool(truth.diagonal().isnan().all())
    assert 0 <= float(truth.nan_to_num(0.5).min()) <= float(truth.nan_to_num(0.5).max()) <= 1
    before = image_zoo.pretrained("digits").state_dict()
    monkeypatch.setattr(image_zoo, "train", None)
    after = image_zoo.pretrained("digits").state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    with pytest.raises(ValueError, match="'measure' must be one of"):
        measure.load_table("images", "accuracy")


def test_the_prefix_stays_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(folder)
    monkeypatch.setattr(image_zoo.Budget.__init__, "__defaults__", QUICK)
    dataset = {"name": "images", "pairs": [["digits", "vehicles"]], "probes": 8}
    fit = Fitter({}, 0)
    found = layer_selection.run(dataset, seed=0, note_size=fit.note_size, draws=1, steps=2)
    regrets = [value for name, value in found.items() if name.startswith("regret")]
    assert min(regrets) >= 0
    accuracies = [value for name, value in found.items() if name.startswith("accuracy")]
    assert found["regret_last"] == pytest.approx(max(accuracies) - accuracies[-1])
    assert found["regret_random"] == pytest.approx(max(accuracies) - np.mean(accuracies))
    blocks = [torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)]
    halves = layer_selection.FrozenPrefix([blocks[0]], [blocks[1]]).train()
    halves(torch.randn(4, 3, 2, 2) + 5).sum().backward()
    assert bool((blocks[0].running_mean == 0).all())
    assert bool((blocks[1].running_mean != 0).all())
    assert blocks[0].weight.grad is None


def test_the_published_ranking_and_its_floors(data_root: Path) -> None:
    truth = taskonomy_ranking.load()
    assert truth.shape == (18, 20)
    assert truth.isnan().sum(1).tolist() == [1] * 18
    found = taskonomy_ranking.run({"name": "taskonomy"}, seed=0)
    assert (found["p5_oracle"], found["r5_oracle"]) == (1.0, 1.0)
    assert found["p19_oracle"] == pytest.approx(0.2632, abs=1e-4)
    assert found["p5_random"] == pytest.approx(0.2632, abs=1e-4)
    assert found["p1_popularity"] == pytest.approx(0.389, abs=1e-3)
    votes = (truth >= 15).double()
    others = (votes.sum(0) - votes).masked_fill(truth.isnan(), torch.nan)
    published = {1: 0.389, 3: 0.593, 5: 0.511}
    for k, value in published.items():
        assert float(precision_at_k(others, truth, k).mean()) == pytest.approx(value, abs=0.026)


def test_attribution_files_of_a_user(folder: Path) -> None:
    place = folder / taskonomy_ranking.RANKING
    place.parent.mkdir(parents=True)
    targets = [t for t in range(20) if t not in (7, 19)]
    line = torch.randn(20, 1).numpy()
    order = [np.argsort(np.abs(line - line[t])[:, 0], kind="stable") for t in targets]
    np.save(place, np.array(order))
    maps = folder / "maps"
    maps.mkdir()
    dataset = {"name": "taskonomy", "attributions": "maps"}
    with pytest.raises(MissingDataError, match=r"lacks autoencoder\.maps\.npy"):
        taskonomy_ranking.run(dataset, seed=0)
    angle = torch.rand(12, 30, 1).numpy()
    for task, value in zip(taskonomy_ranking.TASKS, line[:, 0], strict=True):
        waves = np.cos(np.arange(40) * 0.01 + angle * 6 + 0.2 * value)
        np.save(maps / f"{task}.maps.npy", waves.astype(np.float16))
        np.save(maps / f"{task}.features.npy", waves[:, 0, :7])
    found = taskonomy_ranking.run(dataset, seed=0)
    assert found["rho_node"] > 0.9
    assert found["rho_node"] > found["rho_popularity"]
    assert {"rho_depara", "rho_depara_ranks", "rho_edge", "rho_rsa"} <= set(found)
    place.write_bytes(place.read_bytes()[:100])
    with pytest.raises(DamagedDataError, match="sort_gt"):
        taskonomy_ranking.load()


def test_canvases_know_where_the_digit_is() -> None:
    found = canvas("train", 6, seed=1, noise=0.0)
    assert found.x.shape == (6, 1, 24, 24)
    assert found.box.flatten(1).sum(1).tolist() == [64] * 6
    assert float(found.x[~found.box].abs().max()) == 0
    assert torch.equal(canvas("train", 6, seed=1).x, canvas("train", 6, seed=1).x)
    assert not torch.equal(canvas("train", 6, seed=1).x, canvas("test", 6, seed=1).x)


def test_learned_attribution_protocol() -> None:
    found = learned_attribution.run(
        {"name": "canvas"},
        seed=0,
        note_size=Fitter({}, 0).note_size,
        images=8,
        train_steps=4,
        learned={"steps": 2},
    )
    for name in ("learned", "input_x_gradient", "integrated_gradients_smooth", "grad_cam"):
        for key in ("insertion", "deletion", "energy", "pointing", "kept", "area"):
            assert 0 <= found[f"{key}_{name}"] <= 1
    rivals = [
        found[f"deletion_{name}{end}"]
        for name in learned_attribution.RIVALS
        for end in ("", "_smooth")
    ]
    assert found["gain_deletion"] == pytest.approx(min(rivals) - found["deletion_learned"])


def test_similarities_are_timed() -> None:
    found = similarity_times(models=3, probes=10, width=50, channels=4)
    assert found["seconds_all"] > 0
    assert found["peak_mb"] > 0


@pytest.fixture
def graphs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_geometric.data import Data
    from torch_geometric.utils import erdos_renyi_graph, to_undirected

    def load(name: str) -> list[Data]:
        torch.manual_seed(len(name))
        x = torch.rand(120, 90)
        edges = to_undirected(erdos_renyi_graph(120, 0.08))
        return [Data(x=x, y=torch.arange(120) % 4, edge_index=edges)]

    monkeypatch.setattr(graph_zoo, "load_dataset", load)


@pytest.mark.usefixtures("graphs")
def test_graph_zoo_trains_and_transfers() -> None:
    budget = graph_zoo.Budget(epochs=2, tune_epochs=2, labels=3, test=20)
    for name in ("Cora-classes", "Cora-links", "CiteSeer-even"):
        source = graph_zoo.pretrained(name, budget)
        for target in ("CiteSeer-odd", "Cora-links", "Cora-degrees"):
            for judge in (graph_zoo.probe, graph_zoo.finetune):
                assert 0 <= judge(source, target, budget, 0) <= 1
    data = graph_zoo.graph("Cora")
    assert data.x.shape == (data.num_nodes, graph_zoo.WIDTH)
    train, test = (graph_zoo.pairs(data, 10_000, 0, half)[0] for half in ("train", "test"))
    linked = [
        {tuple(sorted(p)) for p in part[:, : part.size(1) // 2].T.tolist()}
        for part in (train, test)
    ]
    assert not linked[0] & linked[1]


def test_architectures_take_turns_in_the_mixed_zoo_alone() -> None:
    def kinds(zoo: str) -> list[str]:
        budget = measure.ZOOS[zoo].budget
        return [type(graph_zoo.untrained(name, budget)).__name__ for name in graph_zoo.TASKS]

    assert set(kinds("graphs")) == {"GCN"}
    mixed = kinds("graphs-mixed")
    assert {name: mixed.count(name) for name in mixed} == dict.fromkeys(graph_zoo.NETWORKS, 5)
    marks = {zoo.module.mark(zoo.budget) for zoo in measure.ZOOS.values()}
    assert len(marks) == len(measure.ZOOS)


@pytest.mark.usefixtures("graphs")
def test_every_ranking_is_judged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = (
        "Cora-classes",
        "Cora-links",
        "CS-even",
        "CS-odd",
        "CS-degrees",
        "Cora-degrees",
        "CS-classes",
    )
    monkeypatch.setattr(graph_zoo, "TASKS", tasks)
    quick = measure.Zoo(graph_zoo, graph_zoo.Budget(epochs=2, tune_epochs=2, labels=3, test=20))
    monkeypatch.setitem(measure.ZOOS, "graphs", quick)
    monkeypatch.setattr(measure, "RESULTS", folder)
    for kind in measure.MEASURES:
        measure.write("graphs", kind, measure.measure("graphs", kind))
    dataset = {"name": "graphs", "probes": 20}
    found = model_ranking.run(dataset, seed=0, note_size=Fitter({}, 0).note_size)
    assert all(np.isfinite(value) for value in found.values())
    names = {name.removeprefix("rho_") for name in found if name.startswith("rho_")}
    assert {"depara", "own_depara_ranks", "own_edge", "rsa", "log_me", "popularity"} <= names
    assert {f"probe_regret_{name}" for name in names} <= set(found)
    assert found["saved_depara"] == pytest.approx(
        found["regret_popularity"] - found["regret_depara"]
    )


@pytest.mark.usefixtures("graphs")
def test_own_probes_are_those_of_the_targets_graph() -> None:
    probes, nodes = model_ranking.probes_of("graphs", 9, 0)
    models = {
        name: graph_zoo.untrained(name).eval() for name in ("Cora-links", "CS-even", "CS-odd")
    }
    whole = {
        name: AttributionGraph.build(model, probes, nodes=nodes, neighbors=0)
        for name, model in models.items()
    }
    probed = {name: (graph.x, graph.feature) for name, graph in whole.items()}
    found = model_ranking.on_own_probes("graphs", probed, 9, 0.25)
    start = 0
    for place, name in enumerate(graph_zoo.GRAPHS):
        data = graph_zoo.graph(name)
        rows = nodes[9 * place : 9 * (place + 1)] - start
        start += data.num_nodes
        assert 0 <= int(rows.min()) <= int(rows.max()) < data.num_nodes
        alone = ModelSpace()
        for model in models:
            graph = AttributionGraph.build(models[model], data, nodes=rows, neighbors=0)
            alone.add(model, graph)
        for target, model in enumerate(models):
            if model_ranking.domain_of("graphs", model) == name:
                expected = alone.similarity(0.25)[target]
                torch.testing.assert_close(found["depara"][target], expected, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="'probes' must not be more than"):
        model_ranking.on_own_probes("graphs", probed, 10, 0.25)
    assert model_ranking.domain_of("graphs", "CS-even") == "CS"
    assert model_ranking.domain_of("images", "greek") == "letters"
