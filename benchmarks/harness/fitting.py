"""How protocols train: optimizer and trainer from a recipe's ``train`` section."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from graphkit.train import Callback, Result, Task, Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Settings:
    """The keys of a recipe's ``train`` section and their defaults.

    ``lr_step`` multiplies the learning rate by ``lr_gamma`` every so many epochs.
    """

    epochs: int
    lr: float
    weight_decay: float = 0.0
    optimizer: str = "Adam"
    patience: int | None = None
    min_epochs: int = 0
    monitor: str | None = "val_loss"
    clip_norm: float | None = None
    lr_step: int | None = None
    lr_gamma: float = 0.5
    checkpoint_seconds: float = 10.0


@dataclass
class Fitter:
    """Passed to protocols as ``fit``: trains one model as the recipe and the command say.

    Args:
        train (dict): The recipe's ``train`` section.
        seed (int): Seed of this run.
        fabric (Fabric, optional): The processes that share the work; else just this one.
        folder (Path, optional): Where checkpoints of this run are kept.
        resume (bool): Whether to continue from them.
        watch (tuple of Callback): What follows the progress.
    """

    train: dict[str, Any]
    seed: int
    fabric: Fabric | None = None
    folder: Path | None = None
    resume: bool = False
    watch: tuple[Callback, ...] = ()
    parameters: int = 0

    @property
    def settings(self) -> Settings:
        """The ``train`` section with its defaults."""
        return Settings(**self.train)

    def note_size(self, model: nn.Module) -> None:
        """Notes the number of parameters of a model, of which the largest is reported."""
        self.parameters = max(self.parameters, sum(p.numel() for p in model.parameters()))

    def __call__(
        self,
        model: nn.Module,
        task: Task,
        callbacks: Iterable[Callback] = (),
        tag: str = "fit",
    ) -> Result:
        """Trains :obj:`model` on :obj:`task`; :obj:`tag` tells apart several fits of one seed."""
        settings = self.settings
        optimizer = getattr(torch.optim, settings.optimizer)(
            model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        scheduler = None
        if settings.lr_step is not None:
            scheduler = torch.optim.lr_scheduler.StepLR(
                optimizer, settings.lr_step, settings.lr_gamma
            )
        trainer = Trainer(
            settings.epochs,
            settings.patience,
            settings.min_epochs,
            settings.monitor,
            seed=self.seed,
            clip_norm=settings.clip_norm,
            callbacks=[*callbacks, *self.watch],
            checkpoint=None if self.folder is None else self.folder / f"{tag}.pt",
            checkpoint_seconds=settings.checkpoint_seconds,
            resume=self.resume and self.folder is not None,
            fabric=self.fabric,
            progress=False,
        )
        self.note_size(model)
        return trainer.fit(model, optimizer, task, scheduler)
