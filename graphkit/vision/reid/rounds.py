"""Training in rounds: cluster, take the clusters for classes, train, cluster again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.train import Callback, ShardedTask
from graphkit.train.task import Share, is_idle
from graphkit.vision.reid.pseudo_labels import match_labels
from graphkit.words import refuse_class

if TYPE_CHECKING:
    from graphkit.train import Run

__all__ = ["ClusteringRounds", "PseudoLabelTask"]

Augment = Callable[[Tensor, torch.Generator], Tensor]


@no_method("draws batches by label for a Trainer, no method of its own")
class PseudoLabelTask(ShardedTask):
    """Batches of some images from each of some classes, in several views.

    The loss is the model's own: ``model.loss(views, y, rows)``. Images with label -1 are in no
    batch; of classes with too few images, images are drawn repeatedly. Several processes share each
    batch, images of every class to each; losses of pairs then see the pairs of a share alone.

    Args:
        x (torch.Tensor): Images.
        augment (callable): ``(images, generator) -> images``, at random from that generator alone.
        labels (torch.Tensor, optional): Classes from 0, -1 for none; else
            :class:`ClusteringRounds` sets them. (default: none yet)
        views (int, optional): How often each image is augmented. (default: :obj:`2`)
        classes, images (int, optional): Of a batch, and of each class. (default: 16 and 4)
        steps (int, optional): Batches of an epoch. (default: :obj:`50`)
        metrics (callable, optional): ``model -> {name: value}``, after every epoch.

    Raises:
        ValueError: If an argument is out of range, or no image has a label when one is needed.

    Example:
        >>> import torch
        >>> from graphkit.vision import PseudoLabelTask
        >>> y = torch.tensor([0, 0, 1, 1, -1])
        >>> task = PseudoLabelTask(torch.rand(5, 3), lambda x, generator: x, y, 2, 2, 3, steps=1)
        >>> views, y, rows = next(task.batches(seed=0))
        >>> views.shape, y.tolist()
        (torch.Size([6, 2, 3]), [0, 0, 0, 1, 1, 1])
    """

    def __init__(
        self,
        x: Tensor,
        augment: Augment,
        labels: Tensor | None = None,
        views: int = 2,
        classes: int = 16,
        images: int = 4,
        steps: int = 50,
        metrics: Callable[[nn.Module], dict[str, float]] | None = None,
    ) -> None:
        for name, value in (
            ("views", views),
            ("classes", classes),
            ("images", images),
            ("steps", steps),
        ):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        if labels is not None and labels.shape != (len(x),):
            raise ValueError(f"'labels' has shape {list(labels.shape)} for {len(x)} images")
        self.x, self.augment, self.labels, self.views = x, augment, labels, views
        self.classes, self.images, self.steps, self.metrics = classes, images, steps, metrics

    def embed(self, model: Any) -> Tensor:
        """The features that are clustered."""
        return model.embed(self.x)

    def batches(self, seed: int) -> Iterator[Share]:
        labels = torch.full((len(self.x),), -1) if self.labels is None else self.labels.cpu()
        names = labels[labels >= 0].unique()
        if not len(names):
            raise ValueError("no image has a label; add ClusteringRounds to the callbacks")
        members = [(labels == name).nonzero().squeeze(1) for name in names]
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.steps):
            drawn = torch.randperm(len(names), generator=generator)[: self.classes].sort().values
            whole = torch.cat([draw(members[i], self.images, generator) for i in drawn])
            views = torch.stack(
                [
                    self.augment(self.x[whole.to(self.x.device)], generator)
                    for _ in range(self.views)
                ],
                1,
            )
            # Views are made of the whole batch, so that they do not depend on the processes.
            place, idle = self.mine(torch.arange(len(whole)))
            rows = whole[place].to(self.x.device)
            y = labels.to(self.x.device)[rows]
            yield Share.of((views[place.to(views.device)], y, rows), idle)

    def loss(self, model: Any, batch: tuple[Tensor, ...]) -> Tensor:
        views, y, rows = batch
        loss = model.loss(views.unbind(1), y, rows)
        return loss * 0.0 if is_idle(batch) else loss

    def size(self, batch: tuple[Tensor, ...]) -> int:
        return 0 if is_idle(batch) else len(batch[1])

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {} if self.metrics is None else self.metrics(model)

    def to(self, device: torch.device) -> PseudoLabelTask:
        self.x = self.x.to(device)
        return self


def draw(members: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """So many members, each at most once if there are enough."""
    if len(members) >= count:
        return members[torch.randperm(len(members), generator=generator)[:count]]
    return members[torch.randint(len(members), (count,), generator=generator)]


@no_method("clusters between the stages of a Trainer, no method of its own")
class ClusteringRounds(Callback):
    """Stages of training with a new clustering before each.

    Serves models with ``embed(x)``, ``start_round(features, labels)``, ``after_step()`` and
    ``max_clusters``, such as :class:`~graphkit.vision.SSKD`, on a task with ``embed(model)`` and
    ``labels``. Clusters keep their numbers from round to round where they share samples. The
    optimizer's memory is cleared at each round. A run that was killed in the middle of a round is
    resumed with the labels of that round.

    Args:
        cluster (callable): ``features -> labels``, -1 for outliers, such as
            :class:`~graphkit.vision.DensityClusters`.
        rounds (int, optional): How many; the Trainer's ``epochs`` are those of a round.
            (default: :obj:`5`)

    Raises:
        ValueError: If ``rounds`` is below 1, or the first clustering finds no cluster. A later one
            without any is warned about, and the labels stay as they were.

    Example:
        >>> from graphkit.vision import ClusteringRounds, DensityClusters
        >>> ClusteringRounds(DensityClusters(share=0.01), rounds=3).history
        []
    """

    def __init__(self, cluster: Callable[[Tensor], Tensor], rounds: int = 5) -> None:
        refuse_class("cluster", cluster)
        if rounds < 1:
            raise ValueError(f"'rounds' must be at least 1, got {rounds}")
        self.cluster, self.rounds = cluster, rounds
        self.history: list[Tensor] = []

    def on_fit_start(self, run: Run) -> None:
        if self.history:
            self.assign(run)
        else:
            self.next_round(run)

    def on_step_end(self, run: Run) -> None:
        model: Any = run.model
        model.after_step()

    def on_stage_end(self, run: Run) -> bool:
        if run.stage + 1 >= self.rounds:
            return False
        self.next_round(run)
        return True

    def next_round(self, run: Run) -> None:
        """Clusters what the model sees now."""
        model: Any = run.model
        task: Any = run.task
        features = task.embed(model)
        labels = self.cluster(features)
        if not bool((labels >= 0).any()):
            message = (
                f"the clustering of round {len(self.history) + 1} calls all {len(labels)} samples "
                f"outliers{self.radius()}; raise 'eps' or 'share', or lower 'min_samples'"
            )
            if not self.history:
                raise ValueError(message)
            warnings.warn(f"{message}; the labels of the round before stay", stacklevel=2)
            labels = self.history[-1].to(labels.device)
        previous = self.history[-1] if self.history else torch.full_like(labels, -1)
        labels = match_labels(previous.to(labels.device), labels, model.max_clusters)
        self.history.append(labels.cpu())
        model.start_round(features, labels)
        run.optimizer.state.clear()
        self.assign(run)

    def assign(self, run: Run) -> None:
        """Gives the task the labels of this round."""
        task: Any = run.task
        task.labels = self.history[-1]

    def radius(self) -> str:
        """The radius of the clustering in words, where it has one."""
        eps = getattr(self.cluster, "eps", None)
        return "" if eps is None else f" at a radius of {eps:.3g}"

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "eps": getattr(self.cluster, "eps", None)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = [labels.clone() for labels in state["history"]]
        if hasattr(self.cluster, "eps"):
            self.cluster.eps = state["eps"]
