"""The protocol of scene enrichment: what it reports, its priors, and its generated graphs."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import scene_enrichment
from benchmarks.rivals.scenes import (
    CooccurrencePrior,
    FrequencyPrior,
    NearestNeighbour,
    SetTransformer,
)
from benchmarks.speed import scenes as speed
from graphkit.datasets import SceneBatch, SyntheticScenes, find_card
from tests.datasets.scenes.scene_files import VG_LIMITS, write_visual_genome
from tests.nn.scenes.problems import OBJECTS, PREDICATES, scene, some_scenes

TRAIN = {"epochs": 1, "lr": 0.01}
SMALL = {"hidden_channels": 12, "triple_channels": 12, "num_layers": 1}


def run(network, **options):
    dataset = {"name": "SyntheticScenes", "num_graphs": 80}
    return scene_enrichment.run(dataset, network, seed=0, fit=Fitter(TRAIN, 0), **options)


def test_reports_everything_the_issue_asks_for():
    network = {"name": "SceneGraphEnricher", **SMALL}
    arms = {"both": {"channels": 8}, "no_local": {"local": False, "channels": 8}, "alone": None}
    metrics = run(network, arms=arms, arm_train={"lr": 0.001})
    for prior in ("", "frequency_", "cooccurrence_", "neighbour_"):
        assert {f"{prior}recall@5", f"{prior}mean_recall@5", f"{prior}perplexity"} <= {*metrics}
    for prior in ("", "frequency_", "cooccurrence_"):
        assert {f"{prior}relation@20", f"{prior}mean_relation@50"} <= {*metrics}
    for made in ("", "cooccurrence_"):
        assert {f"{made}mmd", f"{made}two_sample", f"{made}distinct_triples"} <= {*metrics}
    assert {"bayes_recall@1", "share_of_bayes@1", "stop_whole", "lacking_mmd"} <= {*metrics}
    for arm in ("no_local", "alone"):
        assert {f"{arm}_recall@5", f"{arm}_mmd", f"{arm}_two_sample"} <= {*metrics}
    gain = metrics["recall@5"] - metrics["cooccurrence_recall@5"]
    assert metrics["gain_recall@5"] == pytest.approx(gain)
    assert all(value == value for value in metrics.values())


def test_the_set_transformer_is_judged_alike_and_sees_no_triples():
    metrics = run({"name": "SetTransformer", "hidden_channels": 8, "num_layers": 1, "heads": 2})
    assert "relation@20" in metrics
    assert "mmd" not in metrics
    model = SetTransformer(OBJECTS, PREDICATES, 8, 1, 2).eval()
    parts = some_scenes()
    union = SceneBatch.from_data(parts)
    bare = SceneBatch.from_data([scene(data.x.tolist(), []) for data in parts])
    assert torch.equal(model(union).object_logits, model(bare).object_logits)
    for i, data in enumerate(parts):
        alone = model(SceneBatch.from_data(data)).object_logits[0]
        assert torch.allclose(model(union).object_logits[i], alone, atol=1e-5)


def knocked(scenes):
    return SceneBatch.from_data(scenes).leave_one_out()


def test_priors_count_as_by_hand():
    taken = knocked([scene([0, 1], [(0, 2, 1)]), scene([0, 1, 2], [(0, 1, 1), (0, 1, 2)])])
    prior = FrequencyPrior(taken, 4, 3)
    assert prior.objects.exp().tolist() == pytest.approx([3, 3, 2, 1])
    pairs = prior.relations.exp()
    assert pairs[0].tolist() == pytest.approx([1 / 12, 3 / 12, 2 / 12, 6 / 12])
    joint = CooccurrencePrior(taken, taken, 4, 3)
    assert joint.counts[0].tolist() == [0, 2, 1, 0]
    assert joint.pairs[0, 1, 0].tolist() == [0, 1, 1, 0]
    assert joint.pairs[0, 1, 1].tolist() == [0, 0, 0, 2]
    assert joint.pairs[1, 2, 0].tolist() == [0, 0, 0, 1]


def test_priors_learn_what_goes_together():
    pairs = [scene([0, 1], [(0, 2, 1)])] * 30 + [scene([2, 3], [(0, 1, 1)])] * 60
    taken = knocked(pairs)
    for prior in (CooccurrencePrior(taken, taken, 4, 3), NearestNeighbour(taken, taken, 4)):
        logits = prior.object_logits(knocked([scene([0, 1], [(0, 2, 1)])]).rest)
        assert logits.argmax(1).tolist() == [0, 1]
    rest = SceneBatch.from_data(scene([1], []))
    relations = CooccurrencePrior(taken, taken, 4, 3).relation_logits(rest, torch.tensor([0]))
    assert relations[0].argmax(-1).tolist() == [2, 3]
    assert torch.allclose(relations.exp().sum(-1), torch.ones(1, 2))


def test_the_grammar_is_solved_by_its_own_posterior():
    grammar = SyntheticScenes(60)
    slot = torch.cat([data.slot for data in grammar])
    test = SceneBatch.from_data(list(grammar)).leave_one_out().choose(slot >= 0)
    scores = {"recall@1": 0.5}
    found = scene_enrichment.judge_grammar(scores, grammar, slot[slot >= 0], test)
    assert found["bayes_recall@1"] == pytest.approx(found["bayes_expected@1"], abs=0.1)
    assert found["share_of_bayes@1"] == pytest.approx(0.5 / found["bayes_recall@1"])


def test_visual_genome_runs_on_files_in_the_published_format(tmp_path, monkeypatch):
    write_visual_genome(tmp_path / "data")
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    original = scene_enrichment.load_dataset
    monkeypatch.setattr(
        scene_enrichment, "load_dataset", lambda name, **kw: original(name, **kw, **VG_LIMITS)
    )
    parts = scene_enrichment.load("VisualGenome")
    assert [part.num_graphs for part in parts[:3]] == [3, 1, 1]
    assert parts.names.objects == ("man", "horse", "ant")


def test_without_its_files_visual_genome_says_what_to_get(data_folder, tmp_path):
    data_folder.mkdir()
    done = CliRunner().invoke(app, ["run", "enrich-visualgenome", "--out", str(tmp_path / "o")])
    assert done.exit_code == 1
    assert find_card("VisualGenome").source in done.stderr
    with pytest.raises(ValueError, match="'num_graphs' is for 'SyntheticScenes'"):
        scene_enrichment.load("VRD", num_graphs=3)


@pytest.mark.data
def test_vrd_is_split_once_for_all_seeds(data_root):
    one, other = scene_enrichment.load("VRD"), scene_enrichment.load("VRD")
    assert torch.equal(one.val.x, other.val.x)
    assert one.train.num_graphs + one.val.num_graphs == 3780 - 2
    assert int(one.test.node_ptr.diff().min()) >= 2


def test_generated_graphs_have_the_published_sizes(tmp_path):
    scenes = speed.generated_scenes(5_000)
    objects, triples = scenes.node_ptr.diff(), scenes.edge_ptr.diff()
    assert float(objects.float().mean()) == pytest.approx(10, abs=0.3)
    assert float(triples.float().mean()) == pytest.approx(5, abs=0.3)
    assert (int(objects.min()), int(objects.max()), int(triples.min())) == (3, 30, 1)
    assert speed.epoch_seconds(scenes.select(torch.arange(40)), True) > 0


def test_the_speed_part_is_a_command(tmp_path, monkeypatch):
    monkeypatch.setattr(
        speed, "generated_scenes", lambda count, make=speed.generated_scenes: make(600)
    )
    done = CliRunner().invoke(app, ["speed", "scenes", "--quick", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.stderr
    rows = json.loads((tmp_path / "speed.json").read_text())["scenes"]
    assert [row["what"] for row in rows] == ["without discriminators", "with both discriminators"]
