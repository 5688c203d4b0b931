"""The one training loop of graphkit."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from graphkit.guard import reading
from graphkit.modes import modes_kept
from graphkit.refusals import refuse_unless_positive
from graphkit.train.callback import Callback
from graphkit.train.checkpoint import load_checkpoint, rng_state, save_checkpoint, set_rng_state
from graphkit.train.in_precision import TRUE_TYPES, InPrecision
from graphkit.train.progress import ProgressBar
from graphkit.train.run import Result, Run
from graphkit.train.stepping import check_scheduler, needs_closure
from graphkit.train.task import Task
from graphkit.words import refuse_classes

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.optim.lr_scheduler import LRScheduler


def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's and torch's generators."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


class Trainer:
    r"""Trains any model on any :class:`~graphkit.train.Task`, on one device or on many.

    After every epoch the task is evaluated; the weights with the best ``monitor``, of equal
    ones the latest, are kept and restored at the end.  Training stops when ``monitor`` has
    not improved for ``patience`` epochs, but never before ``min_epochs``.  With
    ``checkpoint``, a run that was killed at any moment and started again with
    ``resume=True`` ends bit for bit where the uninterrupted run ends.

    Several processes (``devices``, ``num_nodes``, torchrun or SLURM outside) share each
    batch; gradients equal those of one process up to summation order.

    Args:
        epochs (int, optional): Most epochs of a stage. (default: :obj:`200`)
        patience (int, optional): Epochs without improvement before a stage ends; :obj:`None`
            trains them all. (default: :obj:`None`)
        min_epochs (int, optional): Epochs that are trained in any case. (default: :obj:`0`)
        monitor (str, optional): The metric that decides; lower is better when its name
            ends in ``loss``, higher otherwise. :obj:`None` keeps the last weights.
            (default: :obj:`"val_loss"`)
        seed (int, optional): Seeds every generator when a run starts; :obj:`None` leaves
            them alone. (default: :obj:`None`)
        callbacks (iterable of Callback, optional): Objectives and schemes that take part.
        clip_norm (float, optional): Largest norm of the gradient. (default: :obj:`None`)
        accelerator, devices, num_nodes, precision, strategy: As in ``lightning_fabric.Fabric``.
            ``"32-true"`` leaves a float64 model as it is; ``"64-true"``, ``"16-true"`` and
            ``"bf16-true"`` convert the model and all floats that go into it; what comes out of a
            model of half precision is float32, so that the loss is. (float16 needs an optimizer
            whose constants it can hold, such as ``Adam(…, eps=1e-4)``.)
            (default: the CPU, one device, one machine, ``"32-true"``)
        fabric (lightning_fabric.Fabric, optional): A launched Fabric to use instead, so that
            several runs of one program share their processes. (default: :obj:`None`)
        checkpoint (str or Path, optional): File that holds the state of the run.
        checkpoint_seconds (float, optional): Least time between two checkpoints; zero
            writes one after every epoch. (default: :obj:`10.0`)
        resume (bool, optional): Continue from ``checkpoint`` if it exists.
            (default: :obj:`False`)
        progress (bool, optional): Show a progress bar. (default: :obj:`True`)

    Raises:
        ValueError: If an argument is out of range, the checkpoint is damaged or belongs to other
            settings, or a scheduler waits for a fall of what shall rise.
        FloatingPointError: If the loss or the monitored metric is not finite.

    Example:
        >>> import torch
        >>> from torch_geometric.datasets import FakeDataset
        >>> from torch_geometric.nn import GCN
        >>> from torch_geometric.transforms import RandomNodeSplit
        >>> from graphkit.train import NodeTask, Trainer
        >>> data = RandomNodeSplit(num_val=0.2, num_test=0.2)(FakeDataset(1)[0])
        >>> model = GCN(data.num_features, 8, 2, out_channels=int(data.y.max()) + 1)
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        >>> result = Trainer(epochs=3, progress=False).fit(model, optimizer, NodeTask(data))
        >>> result.epochs
        3
    """

    def __init__(
        self,
        epochs: int = 200,
        patience: int | None = None,
        min_epochs: int = 0,
        monitor: str | None = "val_loss",
        *,
        seed: int | None = None,
        callbacks: Iterable[Callback] = (),
        clip_norm: float | None = None,
        accelerator: str = "cpu",
        devices: int | str = 1,
        num_nodes: int = 1,
        precision: Any = "32-true",
        strategy: str = "auto",
        fabric: Fabric | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 10.0,
        resume: bool = False,
        progress: bool = True,
    ) -> None:
        for name, value, least in (
            ("epochs", epochs, 1),
            ("min_epochs", min_epochs, 0),
            ("patience", patience, 1),
            ("checkpoint_seconds", checkpoint_seconds, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"'{name}' must be at least {least}, got {value}")
        refuse_unless_positive("clip_norm", clip_norm)
        if resume and checkpoint is None:
            raise ValueError("'resume' needs 'checkpoint', the file to resume from")
        self.epochs, self.patience, self.min_epochs, self.monitor = (
            epochs,
            patience,
            min_epochs,
            monitor,
        )
        self.seed, self.clip_norm, self.fabric = seed, clip_norm, fabric
        self.callbacks = [*callbacks, *([ProgressBar()] if progress else [])]
        self.dtype = TRUE_TYPES.get(str(precision))
        self.launch = {
            "accelerator": accelerator,
            "devices": devices,
            "num_nodes": num_nodes,
            "precision": precision if self.dtype is None else "32-true",
            "strategy": strategy,
        }
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_seconds, self.resume = checkpoint_seconds, resume
        self.minimise = monitor is not None and monitor.endswith("loss")

    def fit(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        task: Task,
        scheduler: LRScheduler | None = None,
    ) -> Result:
        """Trains :obj:`model` in place and returns its :class:`Result`.

        Args:
            model (torch.nn.Module): The model; its best weights are in it afterwards.
            optimizer (torch.optim.Optimizer): An optimizer over its parameters; one that needs
                a closure, such as ``LBFGS``, gets the loss and all penalties as often as it asks.
            task (Task): What to train on.
            scheduler (LRScheduler, optional): Stepped once per epoch; a ``ReduceLROnPlateau``
                gets ``monitor``, or the training loss without one.
        """
        refuse_classes(model=model, optimizer=optimizer, task=task)
        fabric = self.fabric or make_fabric(**self.launch)
        if self.seed is not None:
            seed_everything(self.seed + 1_000_003 * fabric.global_rank)
        check_scheduler(scheduler, self.monitor, self.minimise)
        dtype = self.dtype if self.fabric is None else None
        inside = model if dtype is None else InPrecision(model, dtype)
        prepared = fabric.setup(inside, optimizer)
        task = task.to(fabric.device)
        if fabric.world_size > 1:
            task = task.shard(fabric.global_rank, fabric.world_size)
        run = Run(model, prepared[0], prepared[1], task, self.epochs)
        # A Fabric of the caller's that converts does so in its own wrapper only.
        converts = str(fabric.strategy.precision.precision) in TRUE_TYPES
        run.judged = run.wrapped if converts else inside
        finished = False
        if self.resume and self.checkpoint is not None and self.checkpoint.exists():
            finished = self.load(run, optimizer, scheduler, fabric)
        with modes_kept(model):
            try:
                self.notify("on_fit_start", run)
                if not finished:
                    self.run_stages(run, optimizer, scheduler, fabric)
            finally:
                self.notify("on_fit_end", run)
        return Result(
            run.best, run.best_epoch, len(run.history), run.stage + 1, run.seconds, run.history
        )

    def run_stages(
        self, run: Run, optimizer: Optimizer, scheduler: LRScheduler | None, fabric: Fabric
    ) -> None:
        """Runs stages until no callback asks for another."""
        saved = time.perf_counter()
        while True:
            while not self.stage_over(run):
                started = time.perf_counter()
                self.run_epoch(run, fabric)
                if not isinstance(scheduler, ReduceLROnPlateau | None):
                    scheduler.step()
                self.judge(run, fabric)
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(run.metrics[self.monitor or "train_loss"])
                run.seconds += time.perf_counter() - started
                self.notify("on_epoch_end", run)
                due = time.perf_counter() - saved >= self.checkpoint_seconds
                if self.checkpoint is not None and fabric.broadcast(due):
                    self.save(run, optimizer, scheduler, fabric)
                    saved = time.perf_counter()
            run.restore_best()
            wishes = [callback.on_stage_end(run) for callback in self.callbacks]
            if not any(wishes):
                break
            run.next_stage()
        if self.checkpoint is not None:
            self.save(run, optimizer, scheduler, fabric, finished=True)

    def stage_over(self, run: Run) -> bool:
        """Whether the present stage has used up its epochs or its patience."""
        if run.epoch >= self.epochs:
            return True
        if self.patience is None or run.epoch < max(self.min_epochs, 1):
            return False
        return run.epoch - run.improved_epoch >= self.patience

    def run_epoch(self, run: Run, fabric: Fabric) -> None:
        """One pass over the task's batches."""
        run.wrapped.train()
        run.epoch += 1
        total, samples = 0.0, 0.0
        seed = ((self.seed or 0) * 1_000 + run.stage) * 1_000_000 + run.epoch
        for batch in run.task.batches(seed):
            losses: list[float] = []
            if needs_closure(run.optimizer):
                closure: Any = partial(self.differentiate, run, fabric, batch, losses)
                run.optimizer.step(closure)
            else:
                self.differentiate(run, fabric, batch, losses)
                run.optimizer.step()
            self.notify("on_step_end", run)
            # Of several evaluations in one step the first is that of the weights before it.
            size = run.task.size(batch)
            total, samples = total + losses[0] * size, samples + size
        if fabric.world_size > 1:
            total, samples = add_up([total, samples], fabric)
        run.metrics = {"train_loss": total / max(samples, 1)}
        if not math.isfinite(total):
            raise FloatingPointError(
                f"the training loss became {total} in epoch {run.epoch}; "
                "lower the learning rate or check the features for NaN"
            )

    def differentiate(self, run: Run, fabric: Fabric, batch: Any, losses: list[float]) -> Tensor:
        """The objective of one batch, after its gradients were put into the parameters."""
        run.optimizer.zero_grad()
        loss = run.task.loss(run.wrapped, batch)
        objective = loss
        if fabric.world_size > 1:
            objective = loss * share(run.task.size(batch), fabric)
        for callback in self.callbacks:
            penalty = callback.penalty(run)
            if penalty is not None:
                objective = objective + penalty
        fabric.backward(objective)
        self.notify("on_backward_end", run)
        if self.clip_norm is not None:
            fabric.clip_gradients(run.wrapped, run.optimizer, max_norm=self.clip_norm)
        losses.append(float(loss.detach()))
        return objective.detach()

    @torch.no_grad()
    def judge(self, run: Run, fabric: Fabric) -> None:
        """Evaluates the model and keeps its weights if they are the best so far."""
        if fabric.world_size > 1:
            for buffer in run.model.buffers():
                torch.distributed.broadcast(buffer, 0)
        run.model.eval()
        with fabric.autocast():
            metrics = run.task.evaluate(run.judged or run.model)
        run.metrics |= fabric.broadcast(metrics) if fabric.world_size > 1 else metrics
        run.history.append({**run.metrics, "stage": run.stage})
        if self.monitor is None:
            run.keep_best(-float(run.epoch))  # Each epoch counts as better than those before.
            return
        if self.monitor not in run.metrics:
            known = ", ".join(sorted(run.metrics))
            raise ValueError(f"'monitor' is '{self.monitor}', but the task gives {known}")
        value = run.metrics[self.monitor] * (1.0 if self.minimise else -1.0)
        if not math.isfinite(value):
            raise FloatingPointError(f"'{self.monitor}' became {value} in epoch {run.epoch}")
        # Of equal epochs the latest: a metric that begins at its best must not restore a model
        # that has learned nothing. Patience counts from where the metric last became better.
        if value <= run.best_value:
            run.keep_best(value)

    def notify(self, hook: str, run: Run) -> None:
        """Calls one hook of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(run)

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share with the run that wrote the checkpoint."""
        names = ("epochs", "patience", "min_epochs", "monitor", "seed", "clip_norm")
        return {name: getattr(self, name) for name in names}

    def save(
        self,
        run: Run,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        fabric: Fabric,
        finished: bool = False,
    ) -> None:
        """Writes the checkpoint; every process calls it, the first one writes."""
        states: list[Any] = [rng_state()]
        if fabric.world_size > 1:
            states = [None] * fabric.world_size
            torch.distributed.all_gather_object(states, rng_state())
        if fabric.is_global_zero and self.checkpoint is not None:
            state = {
                "graphkit_checkpoint": 1,
                "finished": finished,
                "settings": self.settings(),
                "model": run.model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": None if scheduler is None else scheduler.state_dict(),
                "run": run.state_dict(),
                "callbacks": [callback.state_dict() for callback in self.callbacks],
                "rng": states,
            }
            save_checkpoint(state, self.checkpoint)
        fabric.barrier()

    def load(
        self, run: Run, optimizer: Optimizer, scheduler: LRScheduler | None, fabric: Fabric
    ) -> bool:
        """Continues from the checkpoint; tells whether that run had already finished."""
        assert self.checkpoint is not None
        state = load_checkpoint(self.checkpoint)
        other = "it is of another model, optimizer or callbacks: use another checkpoint file"
        with reading(self.checkpoint, advice=other):
            written, processes = dict(state["settings"]), len(state["rng"])
        for name, value in self.settings().items():
            if written.get(name) != value:
                raise ValueError(
                    f"checkpoint '{self.checkpoint}' was written with {name}="
                    f"{written.get(name)}, this run has {name}={value}; "
                    "use the same settings or another checkpoint file"
                )
        if processes != fabric.world_size:
            raise ValueError(
                f"checkpoint '{self.checkpoint}' was written by {processes} processes, "
                f"this run has {fabric.world_size}"
            )
        with reading(self.checkpoint, advice=other):
            run.load_state_dict(state["run"])
            run.best_weights = {k: v.to(fabric.device) for k, v in run.best_weights.items()}
            for callback, saved in zip(self.callbacks, state["callbacks"], strict=True):
                callback.load_state_dict(saved)
            run.model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            if scheduler is not None:
                scheduler.load_state_dict(state["scheduler"])
            set_rng_state(state["rng"][fabric.global_rank])
        return bool(state["finished"])


def make_fabric(**launch: Any) -> Fabric:
    """Starts Lightning Fabric: devices, processes and precision."""
    from lightning_fabric import Fabric

    fabric = Fabric(**launch)
    fabric.launch()
    return fabric


def add_up(values: list[float], fabric: Fabric) -> list[float]:
    """Sums numbers over all processes."""
    summed = fabric.all_reduce(
        torch.tensor(values, dtype=torch.double, device=fabric.device), reduce_op="sum"
    )
    assert isinstance(summed, Tensor)
    return summed.tolist()


def share(size: int, fabric: Fabric) -> float:
    """Factor that turns this process's mean into its part of the mean over all processes."""
    return size * fabric.world_size / max(add_up([size], fabric)[0], 1.0)
