"""Distillation inside :class:`graphkit.train.Trainer`."""

from __future__ import annotations

from torch import Tensor

from graphkit.catalog import no_method
from graphkit.distill.distiller import Distiller
from graphkit.train import Callback, Run


@no_method("the callback that attaches a Distiller to a Trainer")
class Distillation(Callback):
    r"""Adds a :class:`Distiller`'s penalty to the task's loss in every step.

    Args:
        distiller (Distiller): The model that is being trained.
        epochs (int, optional): Distil in the first so many epochs of each stage only (the code
            released with LSP stops after 30). (default: :obj:`None`)

    Raises:
        ValueError: If the trainer trains another model than ``distiller``.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.datasets import load
        >>> from graphkit.distill import Distillation, Distiller, LocalStructureLoss
        >>> from graphkit.train import NodeTask, Trainer
        >>> data = load("digits")[0]
        >>> student, teacher = GCN(64, 4, 2, 10), GCN(64, 32, 2, 10)
        >>> model = Distiller(student, teacher, [("convs.0", "convs.0")], LocalStructureLoss())
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        >>> trainer = Trainer(epochs=2, callbacks=[Distillation(model)], progress=False)
        >>> trainer.fit(model, optimizer, NodeTask(data)).epochs
        2
    """

    def __init__(self, distiller: Distiller, epochs: int | None = None) -> None:
        self.distiller, self.epochs = distiller, epochs

    def on_fit_start(self, run: Run) -> None:
        if run.model is not self.distiller:
            raise ValueError("fit the distiller itself: Trainer(…).fit(distiller, …)")
        self.distiller.forget()
        self.distiller.teacher.to(next(self.distiller.parameters()).device)

    def penalty(self, run: Run) -> Tensor | None:
        if self.epochs is not None and run.epoch > self.epochs:
            return None
        return self.distiller.penalty()

    def on_fit_end(self, run: Run) -> None:
        self.distiller.forget()
