"""The training loop: early stopping, stages, objectives, refusals."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from graphkit.train import Callback, GraphTask, NodeTask, Run, Trainer, make_fabric
from tests.train.problems import LinearGCN, graphs, ring


def fitted(epochs: int = 5, callbacks: tuple[Callback, ...] = (), **options: object):
    torch.manual_seed(0)
    model = LinearGCN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(epochs, callbacks=callbacks, progress=False, **options)
    return model, trainer.fit(model, optimizer, NodeTask(ring()))


def test_equals_a_hand_written_loop() -> None:
    model, result = fitted(epochs=7, monitor=None)
    torch.manual_seed(0)
    plain, data = LinearGCN(), ring()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for _ in range(7):
        optimizer.zero_grad()
        out = plain(data.x, data.edge_index)[data.train_mask]
        nn.functional.cross_entropy(out, data.y[data.train_mask]).backward()
        optimizer.step()
    assert result.epochs == 7
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Scripted(NodeTask):
    """Validation losses from a list, so that the best epoch is known."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__(ring())
        self.losses, self.weights = iter(losses), []

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        self.weights.append(copy.deepcopy(model.state_dict()))
        return {"val_loss": next(self.losses)}


@pytest.mark.parametrize(
    ("options", "epochs", "best"),
    [
        ({"patience": 2}, 5, 3),
        ({"patience": 2, "min_epochs": 6}, 8, 6),
        ({"patience": None}, 8, 6),
    ],
)
def test_stops_early_and_restores_the_best_weights(options, epochs: int, best: int) -> None:
    task = Scripted([3.0, 2.0, 1.0, 1.5, 1.2, 0.5, 0.9, 0.7])
    model = LinearGCN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    result = Trainer(8, progress=False, **options).fit(model, optimizer, task)
    assert (result.epochs, result.best_epoch) == (epochs, best)
    for name, value in model.state_dict().items():
        assert torch.equal(value, task.weights[best - 1][name])


@pytest.mark.parametrize(("monitor", "epochs"), [("val_loss", 4), (None, 6)])
def test_of_tied_epochs_the_latest_is_kept_and_patience_does_not_start_anew(monitor, epochs):
    task, model = Scripted([1.0] * 6), LinearGCN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(6, patience=3, monitor=monitor, progress=False)
    result = trainer.fit(model, optimizer, task)
    assert (result.epochs, result.best_epoch) == (epochs, epochs)
    for name, value in model.state_dict().items():
        assert torch.equal(value, task.weights[epochs - 1][name])


class TwoStages(Callback):
    """Asks for one further stage and records the hooks."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_fit_start(self, run) -> None:
        self.seen.append("start")

    def on_stage_end(self, run) -> bool:
        self.seen.append(f"stage {run.stage} epoch {run.epoch}")
        return run.stage == 0

    def on_fit_end(self, run) -> None:
        self.seen.append("end")


def test_stages() -> None:
    callback = TwoStages()
    _, result = fitted(epochs=3, callbacks=(callback,))
    assert callback.seen == ["start", "stage 0 epoch 3", "stage 1 epoch 3", "end"]
    assert (result.stages, result.epochs) == (2, 6)
    assert [entry["stage"] for entry in result.history] == [0, 0, 0, 1, 1, 1]


class Pull(Callback):
    """A penalty strong enough to be seen in the weights."""

    def penalty(self, run):
        return 1.0 * sum(p.square().sum() for p in run.model.parameters())


def test_penalty_reaches_the_gradient() -> None:
    free, _ = fitted(monitor=None)
    pulled, _ = fitted(monitor=None, callbacks=(Pull(),))
    assert pulled.lin.weight.norm() < 0.9 * free.lin.weight.norm()


class Failing(Callback):
    """Raises in the second epoch, and says whether it was told of the end."""

    ended = False

    def on_epoch_end(self, run) -> None:
        if run.epoch == 2:
            raise RuntimeError("planted")

    def on_fit_end(self, run) -> None:
        self.ended = True


def test_an_exception_leaves_mode_and_callbacks_in_order() -> None:
    model, callback = LinearGCN().eval(), Failing()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match="planted"):
        Trainer(5, callbacks=[callback], progress=False).fit(model, optimizer, NodeTask(ring()))
    assert callback.ended
    assert not model.training


def test_a_part_in_evaluation_mode_is_so_after_training_too() -> None:
    model = LinearGCN()
    model.still = nn.Dropout().eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Trainer(2, progress=False).fit(model, optimizer, NodeTask(ring()))
    assert model.training
    assert not model.still.training


def test_nan_is_refused() -> None:
    data = ring()
    data.x[0, 0] = float("nan")
    model = LinearGCN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match="epoch 1"):
        Trainer(5, progress=False).fit(model, optimizer, NodeTask(data))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "'epochs' must be at least 1, got 0"),
        ({"patience": 0}, "'patience'"),
        ({"min_epochs": -1}, "'min_epochs'"),
        ({"resume": True}, "'checkpoint'"),
    ],
)
def test_bad_arguments_are_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trainer(**options)


def test_unknown_monitor_names_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"val_f1.*val_accuracy"):
        fitted(monitor="val_f1")


def test_mini_batches_of_graphs_reach_every_graph_once_per_epoch() -> None:
    task = GraphTask(graphs(10), graphs(4), graphs(4), batch_size=3)
    sizes = [batch.num_graphs for batch in task.batches(seed=1)]
    assert sizes == [3, 3, 3, 1]
    seen = torch.cat([batch.mark for batch in task.batches(seed=1)])
    assert sorted(seen.tolist()) == list(range(10))
    again = torch.cat([batch.mark for batch in task.batches(seed=1)])
    other = torch.cat([batch.mark for batch in task.batches(seed=2)])
    assert torch.equal(seen, again)
    assert not torch.equal(seen, other)


def test_progress_bar_appears_and_leaves(capsys) -> None:
    from graphkit.train import ProgressBar

    bar = ProgressBar(delay=0.0)
    fitted(epochs=300, callbacks=(bar,))
    assert bar.bar is None


def test_a_plateau_scheduler_gets_the_monitored_metric() -> None:
    """``scheduler.step()`` without a metric was a TypeError."""
    model = LinearGCN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    losses = [3.0, 2.0, 2.5, 1.0, 1.5]
    Trainer(5, progress=False).fit(model, optimizer, Scripted(losses), scheduler)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**2)
    assert scheduler.best == 1.0
    rising = ReduceLROnPlateau(optimizer, mode="max")
    with pytest.raises(ValueError, match="'val_loss' shall fall: write mode='min'"):
        Trainer(1, progress=False).fit(model, optimizer, Scripted(losses), rising)
    with pytest.raises(ValueError, match="'val_accuracy' shall rise: write mode='max'"):
        Trainer(1, monitor="val_accuracy", progress=False).fit(
            model, optimizer, NodeTask(ring()), scheduler
        )


@pytest.mark.parametrize("callbacks", [(), (Pull(),)])
def test_an_optimizer_with_a_closure_equals_a_hand_written_loop(callbacks) -> None:
    """LBFGS raised that its closure is missing; now it gets loss and penalties as it asks."""
    model, plain, data = LinearGCN().double(), LinearGCN().double(), ring()
    plain.load_state_dict(model.state_dict())
    data.x = data.x.double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    trainer = Trainer(3, monitor=None, callbacks=callbacks, progress=False)
    result = trainer.fit(model, optimizer, NodeTask(data))
    by_hand, first = torch.optim.LBFGS(plain.parameters(), max_iter=4), []

    def closure():
        by_hand.zero_grad()
        out = plain(data.x, data.edge_index)[data.train_mask]
        loss = nn.functional.cross_entropy(out, data.y[data.train_mask])
        first.append(loss.item())
        if callbacks:
            loss = loss + sum(p.square().sum() for p in plain.parameters())
        loss.backward()
        return loss

    starts = []
    for _ in range(3):
        starts.append(len(first))
        by_hand.step(closure)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert [row["train_loss"] for row in result.history] == pytest.approx(
        [first[start] for start in starts]
    )


class TakesData(LinearGCN):
    """The same, called with one object; its own tensors are of the default type."""

    def forward(self, data):
        return super().forward(data.x, data.edge_index) + torch.zeros(3)


@pytest.mark.parametrize("takes_data", [False, True])
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("64-true", torch.float64), ("bf16-true", torch.bfloat16), ("16-true", torch.float16)],
)
def test_true_precision(precision, dtype, takes_data: bool) -> None:
    """Evaluation in half or double stopped at a matrix product of two types."""
    torch.manual_seed(0)
    model, outs = TakesData() if takes_data else LinearGCN(), []
    model.register_forward_hook(lambda _, args, out: outs.append(out.dtype))
    forward = (lambda model, data: model(data)) if takes_data else None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = NodeTask(ring(), forward=forward)
    result = Trainer(3, precision=precision, progress=False).fit(model, optimizer, task)
    assert {p.dtype for p in model.parameters()} == {dtype} == set(outs)
    _, plain = fitted(epochs=3)
    assert result.metrics["val_loss"] == pytest.approx(plain.metrics["val_loss"], rel=0.03)
    assert torch.get_default_dtype() == torch.float32


def test_double_precision_is_not_rounded_on_the_way_out() -> None:
    torch.manual_seed(0)
    model, plain, data = LinearGCN(), LinearGCN().double(), ring()
    plain.load_state_dict(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Trainer(4, monitor=None, precision="64-true", progress=False).fit(
        model, optimizer, NodeTask(data)
    )
    by_hand = torch.optim.SGD(plain.parameters(), lr=0.1)
    for _ in range(4):
        by_hand.zero_grad()
        out = plain(data.x.double(), data.edge_index)[data.train_mask]
        nn.functional.cross_entropy(out, data.y[data.train_mask]).backward()
        by_hand.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_a_fabric_that_converts_is_evaluated_in_its_own_precision() -> None:
    model = LinearGCN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fabric = make_fabric(accelerator="cpu", devices=1, precision="bf16-true")
    result = Trainer(2, fabric=fabric, progress=False).fit(model, optimizer, NodeTask(ring()))
    assert result.epochs == 2
    assert model.lin.weight.dtype == torch.bfloat16


def test_testing_on_what_was_trained_on_is_refused() -> None:
    data = ring()
    data.test_mask = data.test_mask | data.train_mask
    with pytest.raises(ValueError, match="'train_mask' and 'test_mask' share 12 nodes"):
        NodeTask(data)


def test_a_loaded_run_does_not_write_into_the_state_it_came_from() -> None:
    torch.manual_seed(0)
    model = LinearGCN()
    run = Run(model, model, torch.optim.SGD(model.parameters(), lr=0.1), NodeTask(ring()), 3)
    run.keep_best(1.0)
    state = copy.deepcopy(run.state_dict())
    before = copy.deepcopy(state)
    other = Run(model, model, run.optimizer, run.task, 3)
    other.load_state_dict(state)
    with torch.no_grad():
        model.lin.weight.add_(1.0)
    other.keep_best(0.5)
    other.history.append({})
    torch.testing.assert_close(state, before, rtol=0, atol=0)


@pytest.mark.parametrize("norm", [-1.0, 0.0, float("nan")])
def test_a_norm_that_would_train_uphill_is_refused(norm: float) -> None:
    with pytest.raises(ValueError, match="'clip_norm' must be above 0"):
        Trainer(epochs=1, clip_norm=norm)
