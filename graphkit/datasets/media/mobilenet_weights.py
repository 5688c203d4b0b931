"""MobileNetV2 as ImageNet taught it: weights of its features, without the classifier."""

from __future__ import annotations

import os

from torch import Tensor

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.loading import locate
from graphkit.guard import DamagedDataError
from graphkit.tensor_files import read_tensors

__all__ = ["mobilenet_weights"]

FILE = "mobilenet_v2_features.pt"
CARD = DatasetCard(
    name="MobileNetV2 weights",
    about="a network for photographs, as ImageNet taught it",
    loader="graphkit.datasets.media.mobilenet_weights:mobilenet_weights",
    folder="weights",
    files=(FILE,),
    raw="",
    source=(
        "where torchvision is installed and there is a network, "
        'torch.save(torchvision.models.mobilenet_v2(weights="DEFAULT").state_dict(), '
        f'"weights/{FILE}"); its names are understood'
    ),
    terms="of the program that it is taken from",
)


def mobilenet_weights(root: str | os.PathLike[str] | None = None) -> dict[str, Tensor]:
    r"""ImageNet's weights for :class:`~graphkit.vision.MobileNetFeatures`.

    Args:
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Raises:
        MissingDataError: If the file is missing; the message says how to make it.
        DamagedDataError: If it cannot be read or holds no tensors.

    Example:
        .. code-block:: python

            from graphkit.datasets import mobilenet_weights
            from graphkit.vision import MobileNetFeatures

            features = MobileNetFeatures(mobilenet_weights())
    """
    path = locate(CARD, root, fetch=False) / FILE
    state = read_tensors(path)
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(t, Tensor) for t in state.values())
    ):
        raise DamagedDataError(f"'{path}' holds no named tensors")
    return dict(state)
