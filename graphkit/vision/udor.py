"""Images taken apart into one code per object category, without labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.lopsided import watch_terms
from graphkit.modes import call_fixed
from graphkit.precision import positive
from graphkit.words import refuse_class

__all__ = ["UDOR", "Disassembly", "fuzzy_loss", "udor_loss"]


class Disassembly(NamedTuple):
    """What :class:`UDOR` makes of a batch of images.

    Args:
        parts (torch.Tensor): Codes, ``[B, K, D]``.
        p (torch.Tensor): Category of each part, the last one is *empty*, ``[B, K, K + 1]``.
        image (torch.Tensor): Decoded from all parts, ``[B, C, S, S]``.
        remaining (torch.Tensor): The codes without the removed part, ``[B, K, D]``.
        edited (torch.Tensor): Decoded from them, ``[B, C, S, S]``.
        recoded (torch.Tensor): Codes of ``edited``, ``[B, K, D]``.
        anchored (torch.Tensor): Decoded from the anchored part alone, or from all parts of an image
            without an anchor, ``[B, C, S, S]``.
        real, fake, fooled (torch.Tensor): The discriminator on the images, on ``edited`` without
            a gradient to it, and on ``edited`` without a gradient to the discriminator, ``[B]``.
    """

    parts: Tensor
    p: Tensor
    image: Tensor
    remaining: Tensor
    edited: Tensor
    recoded: Tensor
    anchored: Tensor
    real: Tensor
    fake: Tensor
    fooled: Tensor


@method(
    paper="arXiv:2004.01426",
    title="Disassembling Object Representations without Labels",
    authors="Zunlei Feng, Xinchao Wang, Yongming He, Yike Yuan, Xin Gao, Mingli Song",
    venue="arXiv preprint",
    year=2020,
    code=None,
    licence="none",
    takes="images of several objects",
    gives="one code per object category, images with objects removed",
    deviations=[
        "written from the abstract, there is no released code: networks, weights and the form of "
        "all losses but the fuzzy one are ours",
        "the anchor is ours: images of a single object, clustered, say which part is which. "
        "Without it (clusters of -1 alone) parts follow places and not categories: experimental",
        "the decoder has no biases, so that no part means no object",
    ],
    limits=[
        "with an anchor at hand: an auto-encoder with one does as well",
    ],
)
class UDOR(nn.Module):
    r"""Disassembling of object representations, from the `"Disassembling Object
    Representations without Labels" <https://arxiv.org/abs/2004.01426>`_ paper: a double
    auto-encoder whose code has one part per category; zero a part, and the object is gone from
    the image.

    .. math::
        \mathcal{L} = 2 \lVert x - D(z) \rVert^2 + a \mathcal{L}_{fuzzy}
        + b \lVert E(D(z^{-k})) - z^{-k} \rVert^2 + c \mathcal{L}_{adv}
        + d \Big( \lVert x - D(z^{j}) \rVert^2 + 0.1\, \overline{\lVert z_{i \ne j} \rVert^2}
        \Big), \qquad z = E(x) = [z_1, \dots, z_K]

    with :math:`z^{-k}` without part :math:`k`, and :math:`z^{j}` with part :math:`j` alone, in
    images that are known to show nothing but category :math:`j`; see :func:`udor_loss`.

    Args:
        in_channels (int): Channels of the images.
        size (int): Their side, a multiple of 4.
        num_parts (int): Categories :math:`K`.
        part_channels (int, optional): Width :math:`D` of a part. (default: :obj:`12`)
        channels (int, optional): Of the first convolution. (default: :obj:`16`)

    Shapes:
        - **input:** images :math:`(B, C, S, S)`, empty where 0; the part to remove :math:`(B)`;
          the only part in the image, or -1 :math:`(B)`
        - **output:** a :class:`Disassembly`

    Raises:
        ValueError: If the side is no multiple of 4, or there is no part.

    Example:
        >>> import torch
        >>> from graphkit.vision import UDOR, udor_loss
        >>> model = UDOR(1, 16, num_parts=3)
        >>> x = torch.rand(4, 1, 16, 16)
        >>> model.encode(x).shape, model.decode(model.encode(x)).shape
        (torch.Size([4, 3, 12]), torch.Size([4, 1, 16, 16]))
        >>> udor_loss(model, x, torch.tensor([-1, 2, -1, 0])).shape
        torch.Size([])
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        num_parts: int,
        part_channels: int = 12,
        channels: int = 16,
    ) -> None:
        super().__init__()
        if size % 4 or size < 4 or num_parts < 1:
            raise ValueError(
                f"'size' must be a multiple of 4 and 'num_parts' at least 1, got {size} and "
                f"{num_parts}"
            )
        self.num_parts, self.part_channels = num_parts, part_channels
        low, code = size // 4, num_parts * part_channels
        wide = 2 * channels
        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, channels, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(channels, wide, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(wide * low * low, 128),
            nn.ReLU(),
            nn.Linear(128, code),
        )
        # Without biases no code draws nothing: a part that is taken out leaves no trace.
        self.decoder = nn.Sequential(
            nn.Linear(code, 128, bias=False),
            nn.ReLU(),
            nn.Linear(128, wide * low * low, bias=False),
            nn.ReLU(),
            nn.Unflatten(1, (wide, low, low)),
            nn.ConvTranspose2d(wide, channels, 4, 2, 1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, in_channels, 4, 2, 1, bias=False),
        )
        # One category more than parts: a part that shows nothing is *empty*.
        self.classifier = nn.Linear(part_channels, num_parts + 1)
        self.discriminator = nn.Sequential(
            nn.Conv2d(in_channels, channels, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, wide, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(wide * low * low, 1),
        )

    def encode(self, x: Tensor) -> Tensor:
        """The codes, ``[B, K, D]``."""
        return self.encoder(x).unflatten(1, (self.num_parts, self.part_channels))

    def decode(self, parts: Tensor) -> Tensor:
        """The image of some codes, ``[B, C, S, S]``."""
        return self.decoder(parts.flatten(1))

    def categories(self, parts: Tensor) -> Tensor:
        """Probabilities of the categories and of *empty*, ``[B, K, K + 1]``."""
        return self.classifier(parts).softmax(-1)

    def forward(self, x: Tensor, removed: Tensor, only: Tensor) -> Disassembly:
        """Takes images apart and together again."""
        part = torch.arange(self.num_parts, device=x.device)
        parts = self.encode(x)
        remaining = parts * (part != removed.unsqueeze(1)).unsqueeze(2)
        present = (part == only.unsqueeze(1)) | (only < 0).unsqueeze(1)
        edited = self.decode(remaining)
        return Disassembly(
            parts=parts,
            p=self.categories(parts),
            image=self.decode(parts),
            remaining=remaining,
            edited=edited,
            # What is taken out must stay out when the edited image is looked at anew.
            recoded=self.encode(edited),
            anchored=self.decode(parts * present.unsqueeze(2)),
            # Three losses, three gradients: two to the discriminator, one to the decoder.
            real=self.discriminator(x).squeeze(1),
            fake=self.discriminator(edited.detach()).squeeze(1),
            fooled=call_fixed(self.discriminator, edited).squeeze(1),
        )


def fuzzy_loss(p: Tensor) -> Tensor:
    r"""Fuzzy classification: a part belongs to one category, whichever that is.

    .. math::
        \mathcal{L}_{fuzzy} = -\log\Big(1 - \prod_j (1 - p_j)\Big)

    Args:
        p (torch.Tensor): Probabilities.

    Shapes:
        - **input:** :math:`(*, J)`
        - **output:** :math:`(*)`, 0 where some :math:`p_j` is 1

    Example:
        >>> import torch
        >>> fuzzy_loss(torch.tensor([[0.0, 1.0], [0.5, 0.5]])).abs().round(decimals=4)
        tensor([0.0000, 0.2877])
    """
    limit = 1 - torch.finfo(p.dtype).eps
    return -torch.log(-torch.expm1(torch.log1p(-p.clamp(max=limit)).sum(-1)))


def udor_loss(
    model: UDOR,
    x: Tensor,
    only: Tensor,
    fuzzy: float = 0.02,
    consistency: float = 0.2,
    adversary: float = 0.005,
    anchor: float = 1.0,
) -> Tensor:
    r"""The objective of :class:`UDOR`, discriminator included, for one optimizer.

    The part that is removed is drawn for each image. Parts of the discriminator's loss give no
    gradient to the auto-encoder, and the other way round. Anchored images also teach the
    classifier of parts; the fuzzy term comes with two more, which keep parts from having the
    same category and categories from staying unused.

    Args:
        model (UDOR): The model.
        x (torch.Tensor): Images.
        only (torch.Tensor): The only category in an image, -1 where that is not known.
        fuzzy, consistency, adversary, anchor (float, optional): Weights of the terms.

    Shapes:
        - **input:** :math:`(B, C, S, S)`, :math:`(B)`
        - **output:** a scalar

    Warns:
        LopsidedWarning: If, in the second call, the gradient of another term on the model is over
            a thousand times that of the image.
    """
    refuse_class("model", model)
    parts = model.num_parts
    out = model(x, torch.randint(parts, (len(x),), device=x.device), only)
    loss = 2 * F.mse_loss(out.image, x)
    same = F.mse_loss(out.recoded, out.remaining)
    terms = {"image": (1.0, loss), "consistency": (consistency, same)}
    loss = loss + consistency * same
    # The last category is *empty*: any number of parts may be that.
    mass = out.p[..., :-1]
    # Products of pairs of parts in one category, as the square of the sum less the squares.
    overlap = (mass.sum(1).square() - mass.square().sum(1)).sum(1).mean() / 2
    # Negative entropy of the mean: least when all categories are used alike.
    average = out.p.flatten(0, 1).mean(0)
    balance = (average * positive(average).log()).sum()
    unsure = fuzzy_loss(out.p).mean() + overlap + balance
    loss = loss + fuzzy * unsure
    critic = F.relu(1 - out.real).mean() + F.relu(1 + out.fake).mean()
    fooled = out.fooled.mean()
    terms |= {"fuzzy": (fuzzy, unsure), "adversary": (adversary, fooled)}
    loss = loss + (critic if adversary else 0) - adversary * fooled
    known = only >= 0
    if anchor and bool(known.any()):
        category = only[known]
        # In an image of one category all other parts are empty: small codes, named *empty*, and
        # not needed to draw the image.
        other = F.one_hot(category, parts) == 0
        rest = out.parts[known].square().mean(2)[other].sum() / max(int(other.sum()), 1)
        target = torch.where(other, parts, category.unsqueeze(1))
        named = F.nll_loss(positive(out.p[known].flatten(0, 1)).log(), target.flatten())
        redrawn = F.mse_loss(out.anchored[known], x[known])
        anchored = redrawn + 0.1 * rest + 0.02 * named
        terms["anchor"] = anchor, anchored
        loss = loss + anchor * anchored
    watch_terms(model, terms, model.parameters(), main="image")
    return loss
