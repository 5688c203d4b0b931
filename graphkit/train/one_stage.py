"""Both players of an adversarial pair from one forward and one backward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.train.callback import Callback
from graphkit.train.fake_samples import detached, flat_scores, refuse_mixing, row_index, spread
from graphkit.train.gan_losses import GANLoss, gan_loss
from graphkit.words import refuse_classes

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from graphkit.train.run import Run

__all__ = ["OneStageLosses", "OneStageStep"]


class OneStageLosses(NamedTuple):
    """The losses of both players.

    Args:
        generator (torch.Tensor): Carries the gradient to the fake samples.
        discriminator (torch.Tensor): A value; its gradients are already on the discriminator.
    """

    generator: Tensor
    discriminator: Tensor


@method(
    paper="arXiv:2103.00430",
    title="Training Generative Adversarial Networks in One Stage",
    authors="Chengchao Shen, Youtan Yin, Xinchao Wang, Xubin Li, Jie Song, Mingli Song",
    venue="CVPR 2021",
    year=2021,
    code="https://github.com/zju-vipa/OSGAN",
    licence="none",
    takes="a discriminator with one score per sample, real and fake samples",
    gives="the gradients of both players, from one pass through each",
    deviations=[
        "written from the abstract and the released code's settings; nothing is copied",
        "the discriminator's loss as it is, not packed with the generator's; the gradients are "
        "the same, which a test shows",
        "where the ratio of the two losses' gradients has no value or is too large, as for "
        "saturated scores or where the hinge is flat, the discriminator is differentiated once "
        "more, by its input alone; the released code divides and gives NaN",
        "a discriminator whose scores mix samples is refused unless the losses are symmetric",
    ],
    verified_by="tests/train/test_one_stage.py",
    limits=[
        "discriminators with batch normalisation and a loss that is not symmetric: refused",
        "programs that share the fake samples of both players: nearly as fast already",
    ],
)
class OneStageStep(Callback):
    r"""One step of both players of an adversarial pair, from one forward and one backward pass,
    as in the `"Training Generative Adversarial Networks in One Stage"
    <https://arxiv.org/abs/2103.00430>`_ paper.

    .. math::
        \frac{\partial \mathcal{L}_G}{\partial h_i} = \gamma_i
        \frac{\partial \mathcal{L}_D}{\partial h_i}, \qquad
        \gamma_i = \frac{\partial \mathcal{L}_G / \partial s_i}
        {\partial \mathcal{L}_D / \partial s_i}

    for everything :math:`h_i` that the discriminator makes of fake sample :math:`i` on the way
    to its one score :math:`s_i`. So its gradient is computed once, and scaled per sample where it
    enters the generator. For ``"bce"``, :math:`\gamma = -e^{-s}`; for the symmetric ``"wgan"``
    and ``"saturating"``, :math:`-1`. The gradients are those of two separate passes, exact to
    rounding. Training is not the same as in two stages: both players move at once, and on the
    same samples.

    Networks run 1 + 2 times in place of 2 + 3 (generator + discriminator), which is
    :math:`13 : 9` in operations if both are of one size.

    Called, it puts the discriminator's gradients in place and gives the generator's loss, to be
    added to what else the generator minimises, such as PyG's ``ARGA.recon_loss``. :meth:`step`
    is a whole step. In a :class:`~graphkit.train.Trainer` that fits the generator it is a
    callback, with ``pair`` and ``optimizer``.

    Args:
        discriminator (torch.nn.Module): One score per sample. Unless the losses are symmetric, a
            sample's score must depend on that sample alone: batch normalisation in training mode
            is refused, and so is whatever else mixes samples.
        loss (str or GANLoss, optional): ``"bce"``, ``"saturating"``, ``"lsgan"``, ``"hinge"``,
            ``"wgan"`` or one's own. (default: ``"bce"``)
        weight (float, optional): Of the generator's loss. (default: :obj:`1.0`)
        pair (callable, optional): ``run -> (real, fake)`` or ``(real, fake, samples)``, for a
            Trainer.
        optimizer (torch.optim.Optimizer, optional): The discriminator's, for a Trainer.

    Shapes:
        - **input:** real and fake samples :math:`(B, *)`, or whatever the discriminator takes
        - **output:** two scalars

    Raises:
        ValueError: If the fake samples carry no gradient, there is not one score per sample, or
            scores mix samples where they must not.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.train import OneStageStep
        >>> generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
        >>> one_stage = OneStageStep(discriminator, "bce")
        >>> losses = one_stage(torch.rand(8, 2), generator(torch.randn(8, 4)))
        >>> losses.generator.backward()
        >>> generator.weight.grad.shape, discriminator.weight.grad.shape
        (torch.Size([2, 4]), torch.Size([1, 2]))
    """

    def __init__(
        self,
        discriminator: nn.Module,
        loss: str | GANLoss = "bce",
        weight: float = 1.0,
        pair: Callable[[Run], tuple[Any, ...]] | None = None,
        optimizer: Optimizer | None = None,
    ) -> None:
        refuse_classes(discriminator=discriminator, optimizer=optimizer)
        if (pair is None) != (optimizer is None):
            raise ValueError("a Trainer needs both, 'pair' and 'optimizer'")
        self.discriminator, self.loss, self.weight = discriminator, gan_loss(loss), weight
        self.pair, self.optimizer = pair, optimizer
        self.last = 0.0
        self.trusted: tuple[bool, ...] | None = None

    def __call__(
        self, real: Any, fake: Any, samples: Sequence[Tensor] | None = None
    ) -> OneStageLosses:
        """Gradients on the discriminator, and the loss of the generator.

        Args:
            real (Any): What the discriminator takes; of a tuple, several arguments.
            fake (Any): The same from the generator: a tensor, or a tuple, list, dictionary, data
                class or PyG graph with tensors in it.
            samples (sequence of torch.Tensor, optional): For each tensor of ``fake`` that carries
                a gradient, the position of the score that each of its rows belongs to, such as
                ``batch`` of a graph; -1 for none. (default: row i belongs to score i)
        """
        if not self.loss.symmetric:
            refuse_mixing(self.discriminator, self.loss.name)
        whole: list[Tensor] = []
        leaves: list[Tensor] = []
        cut = detached(fake, whole, leaves)
        if not leaves:
            raise ValueError("'fake' carries no gradient; give the generator's output, undetached")
        with torch.enable_grad():
            right, wrong = self.call(real), self.call(cut)
            index: list[Tensor | None] = [None] * len(leaves)
            if self.loss.symmetric:
                right, wrong = right.flatten(), wrong.flatten()
            else:
                right, wrong = flat_scores(right, "real"), flat_scores(wrong, "fake")
                index = row_index(leaves, len(wrong), samples)
                self.check_apart(wrong, leaves, index)
            loss = self.loss.discriminator(right, wrong)
        back = self.differentiate(loss, wrong, leaves, index)
        value = self.loss.generator(wrong.detach()).sum() / max(len(wrong), 1)
        # A sum whose gradient by the fake samples is what came back; its own value is taken off.
        carrier = torch.stack([(w * g).sum() for w, g in zip(whole, back, strict=True)]).sum()
        carrier = self.weight * (carrier - carrier.detach() + value)
        return OneStageLosses(carrier, loss.detach())

    def call(self, given: Any) -> Tensor:
        """The scores of samples."""
        return self.discriminator(*given) if type(given) is tuple else self.discriminator(given)

    def differentiate(
        self, loss: Tensor, scores: Tensor, leaves: list[Tensor], index: list[Tensor | None]
    ) -> list[Tensor]:
        """Fills in the discriminator's gradients; gives those of the generator's loss by leaves."""
        theirs, ours = self.loss.seeds(scores)
        if self.loss.symmetric:
            theirs, ours = torch.ones_like(theirs), -torch.ones_like(ours)
        largest = torch.finfo(scores.dtype).max ** 0.5
        ratio = ours / theirs
        lost = ~(ratio.abs() <= largest) & (ours != 0)
        ratio = torch.where(lost | (ours == 0), 0.0, ratio)
        extra: Sequence[Tensor | None] = [None] * len(leaves)
        if lost.any():
            # Nothing or next to nothing comes back for these from the discriminator's own loss.
            seed = torch.where(lost, ours, 0.0) / len(scores)
            extra = torch.autograd.grad(scores, leaves, seed, retain_graph=True, allow_unused=True)
        weights = [p for p in self.discriminator.parameters() if p.requires_grad]
        loss.backward(inputs=[*weights, *leaves])
        back = []
        for leaf, more, rows in zip(leaves, extra, index, strict=True):
            grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            grad = -grad if self.loss.symmetric else grad * spread(ratio, rows, grad)
            back.append(grad if more is None else grad + more)
        return back

    def check_apart(self, scores: Tensor, leaves: list[Tensor], index: list[Tensor | None]) -> None:
        """Raises if the first score depends on other samples; asked once per state of modes."""
        modes = tuple(module.training for module in self.discriminator.modules())
        if self.trusted == modes or len(scores) < 2:
            return
        moved = False
        grads = torch.autograd.grad(scores[0], leaves, retain_graph=True, allow_unused=True)
        for grad, rows in zip(grads, index, strict=True):
            if grad is None:
                continue
            place = torch.arange(len(grad), device=grad.device) if rows is None else rows
            others = grad[place != 0]
            moved |= bool(grad.any())
            if others.numel() and others.abs().max() > 1e-6 * grad.abs().max():
                raise ValueError(
                    f"the score of one sample depends on others in "
                    f"{type(self.discriminator).__name__}, and with the loss {self.loss.name!r} "
                    "that has no single factor per sample; take a symmetric loss, 'wgan' or "
                    "'saturating', or a discriminator that looks at each sample alone"
                )
        if moved:  # A first score without any gradient tells nothing.
            self.trusted = modes

    def step(
        self,
        generator_optimizer: Optimizer,
        discriminator_optimizer: Optimizer,
        real: Any,
        fake: Any,
        samples: Sequence[Tensor] | None = None,
        clip: float | None = None,
    ) -> OneStageLosses:
        """A whole step of both players.

        Args:
            generator_optimizer, discriminator_optimizer (torch.optim.Optimizer): Their optimizers.
            real, fake, samples (Any): As in a call.
            clip (float, optional): Limits the discriminator's weights after the step, as WGAN
                does. (default: not)
        """
        generator_optimizer.zero_grad()
        discriminator_optimizer.zero_grad()
        losses = self(real, fake, samples)
        losses.generator.backward()
        generator_optimizer.step()
        discriminator_optimizer.step()
        if clip is not None:
            with torch.no_grad():
                for weight in self.discriminator.parameters():
                    weight.clamp_(-clip, clip)
        return OneStageLosses(losses.generator.detach(), losses.discriminator)

    def on_fit_start(self, run: Run) -> None:
        if self.pair is None:
            raise ValueError("in a Trainer OneStageStep needs 'pair' and 'optimizer'")
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise ValueError("OneStageStep trains in one process; run with devices=1")
        self.discriminator.to(next(run.model.parameters()).device).train()

    def penalty(self, run: Run) -> Tensor:
        """The generator's loss; the discriminator's gradients are in place with it."""
        assert self.pair is not None
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        losses = self(*self.pair(run))
        self.last = float(losses.discriminator)
        return losses.generator

    def on_step_end(self, run: Run) -> None:
        assert self.optimizer is not None
        self.optimizer.step()

    def on_epoch_end(self, run: Run) -> None:
        """Adds the discriminator's last loss to the history."""
        run.history[-1]["discriminator_loss"] = self.last

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"discriminator": self.discriminator.state_dict()}
        return state | (
            {} if self.optimizer is None else {"optimizer": self.optimizer.state_dict()}
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
