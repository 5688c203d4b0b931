from types import SimpleNamespace

import pytest
import torch
from torch_geometric.datasets import KarateClub

from graphkit.nn import SPAGAN
from graphkit.train import NodeTask, PathRounds, Trainer, seed_everything


def task():
    data = KarateClub()[0]
    data.val_mask = ~data.train_mask
    data.test_mask = data.val_mask
    return NodeTask(data)


def fit(rounds, checkpoint=None, resume=False, epochs=3):
    seed_everything(0)
    model = SPAGAN(34, 4, 4, heads=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(
        epochs,
        seed=0,
        callbacks=[PathRounds(rounds)],
        progress=False,
        checkpoint=checkpoint,
        resume=resume,
    )
    return model, trainer.fit(model, optimizer, task())


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_every_round_adds_a_stage(rounds):
    model, result = fit(rounds)
    assert result.stages == rounds + 1
    assert [entry["stage"] for entry in result.history] == [
        stage for stage in range(rounds + 1) for _ in range(3)
    ]
    assert bool(model.paths) == bool(rounds)


def test_paths_come_back_with_the_checkpoint(tmp_path):
    file = tmp_path / "run.pt"
    model, _ = fit(1, file)
    data = task().data
    wanted = model.eval()(data.x, data.edge_index)
    again, _ = fit(1, file, resume=True)
    assert torch.equal(again.paths[3], model.paths[3])
    assert torch.equal(again.eval()(data.x, data.edge_index), wanted)


def test_a_second_run_of_one_trainer_is_as_the_first():
    trainer = Trainer(3, seed=0, callbacks=[PathRounds(1)], progress=False)
    runs = []
    for _ in range(2):
        seed_everything(0)
        model = SPAGAN(34, 4, 4, heads=2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        runs.append([one["train_loss"] for one in trainer.fit(model, optimizer, task()).history])
    assert runs[0] == runs[1]


def test_negative_rounds_are_refused():
    with pytest.raises(ValueError, match="'rounds'"):
        PathRounds(-1)


def test_paths_of_a_state_are_copies_and_nothing_is_put_back_without():
    given = {"paths": {3: torch.ones(2, 3)}}
    rounds = PathRounds()
    assert (rounds.rounds, rounds.paths) == (1, {})
    run = SimpleNamespace(stage=0, model=SimpleNamespace(paths="mine"))
    rounds.on_fit_start(run)
    assert run.model.paths == "mine"
    rounds.load_state_dict(given)
    given["paths"][3].zero_()
    assert rounds.state_dict()["paths"][3].sum() == 6
    run.stage = 1
    rounds.on_fit_start(run)
    assert run.model.paths is rounds.paths


def test_features_come_in_the_precision_of_the_model():
    seen = []
    model = torch.nn.Linear(1, 1).double()
    model.paths = {}
    model.next_round = lambda x, edge_index: seen.append((x.dtype, edge_index))
    run = SimpleNamespace(stage=0, model=model, task=task())
    assert PathRounds(1).on_stage_end(run)
    assert seen[0][0] == torch.float64
    assert seen[0][1] is run.task.data.edge_index
    run.stage = 1
    assert not PathRounds(1).on_stage_end(run)
    assert len(seen) == 1
