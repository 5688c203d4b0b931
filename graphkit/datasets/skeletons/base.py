"""What the sets of skeleton clips share: ragged clips in two tensors, and graphs made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.datasets.store.reading.archives import read_arrays
from graphkit.guard import DamagedDataError
from graphkit.json_values import single

__all__ = ["SkeletonDataset"]


class SkeletonDataset(Dataset):
    r"""Clips of moving skeletons, the base of :class:`~graphkit.datasets.NTURGBD` and its like.

    .. math::
        \mathbf{x}_i \in \mathbb{R}^{M V \times C \times T_i}

    All clips lie behind one another in :obj:`frames`; clip :obj:`i` begins at
    ``offsets[i]``.  Access makes a graph of it: joints are nodes, person after person, and
    :obj:`x` holds their coordinates over time, as :meth:`graphkit.nn.SkeletonGraph.to_data`
    gives them.  Clips differ in length, so PyG's loaders need a transform that makes them
    alike, such as :class:`graphkit.transforms.UniformSampleFrames`; :meth:`dense` does the
    same for many clips at once, without a loop.

    Args:
        root (str, optional): Folder of the set, for sets that read files.
        transform (callable, optional): Applied at every access. (default: :obj:`None`)
        graph (SkeletonGraph or str, optional): The skeleton, with your own joints, their names
            and the centre if you like, or the name of a layout. (default: that of the class)

    A set of your own calls :meth:`keep` with its clips::

        class Mine(SkeletonDataset):
            def __init__(self, frames, offsets, y, names, transform=None):
                bones = [(1, 0), (2, 1), (3, 1)]
                joints = ["hip", "chest", "left_hand", "right_hand"]
                super().__init__(transform=transform, graph=SkeletonGraph(bones, joints=joints))
                self.keep({"frames": frames, "offsets": offsets, "y": y, "name": names})

    Shapes:
        - **frames:** :math:`(F, M, V, C)`, metres for 3-D skeletons
        - **offsets:** :math:`(B + 1)`
        - **output:** per clip :obj:`x` :math:`(M V, C, T)`, :obj:`edge_index`, :obj:`y`
          :math:`(1)`, :obj:`name`, and what is known about the clip, :math:`(1)` each

    Example:
        >>> from graphkit.datasets import SyntheticSkeletons
        >>> dataset = SyntheticSkeletons(num_clips=32)
        >>> clip = dataset[0]
        >>> clip.x.shape[:2], dataset.num_channels, len(dataset.splits()[0])
        (torch.Size([25, 3]), 3, 24)
    """

    layout: str = "ntu-25"
    benchmarks: tuple[str, ...] = ("xsub",)

    def __init__(
        self,
        root: str | None = None,
        transform: Any = None,
        graph: SkeletonGraph | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, transform, log=False, **kwargs)
        skeleton = self.layout if graph is None else graph
        self.graph = skeleton if isinstance(skeleton, SkeletonGraph) else SkeletonGraph(skeleton)
        self.layout = self.graph.layout
        if self.has_process:
            self.keep(torch.load(self.processed_paths[0], weights_only=True, mmap=True))

    @property
    def processed_file_names(self) -> str:
        return "clips.pt"

    def keep(self, store: Mapping[str, Any]) -> None:
        """Takes the clips: ``frames``, ``offsets``, ``y``, ``name`` and one tensor per fact."""
        rest = dict(store)
        self.frames: Tensor = rest.pop("frames")
        self.offsets: Tensor = rest.pop("offsets")
        self.y: Tensor = rest.pop("y")
        self.names: list[str] = rest.pop("name")
        self.info: dict[str, Tensor] = rest

    def len(self) -> int:
        return self.y.numel()

    def get(self, idx: int) -> Data:
        start, end = self.offsets[idx : idx + 2].tolist()
        data = self.graph.to_data(self.frames[start:end].permute(3, 0, 2, 1))
        data.y = self.y[idx : idx + 1].clone()
        data.name = self.names[idx]
        for key, value in self.info.items():
            data[key] = value[idx : idx + 1].clone()
        return data

    @property
    def num_channels(self) -> int:
        """Coordinates of a joint, the ``in_channels`` of a model."""
        return self.frames.size(-1)

    @property
    def num_person(self) -> int:
        """Persons of a clip, those that are not there included."""
        return self.frames.size(1)

    @property
    def chosen(self) -> Tensor:
        """The positions of this part's clips among all of them."""
        return torch.as_tensor(list(self.indices()), dtype=torch.long)

    @property
    def lengths(self) -> Tensor:
        """Frames of each clip of this part."""
        return self.offsets.diff()[self.chosen]

    @property
    def labels(self) -> Tensor:
        """Class of each clip of this part."""
        return self.y[self.chosen]

    def dense(self, index: Tensor) -> Tensor:
        r"""The given frames of every clip of this part.

        Shapes:
            - **index:** :math:`(B, T)`, counted from each clip's first frame
            - **output:** :math:`(B, C, T, V, M)`

        Raises:
            ValueError: If :obj:`index` has another number of rows than the part has clips,
                or names a frame that a clip does not have.
        """
        lengths = self.lengths
        if index.dim() != 2 or index.size(0) != lengths.numel():
            raise ValueError(
                f"'index' must be [{lengths.numel()}, frames], got {list(index.shape)}"
            )
        if index.numel() and (int(index.min()) < 0 or (index >= lengths.view(-1, 1)).any()):
            raise ValueError("'index' names a frame that its clip does not have")
        rows = self.offsets[:-1][self.chosen].view(-1, 1) + index
        return self.frames[rows].permute(0, 4, 1, 3, 2).contiguous()

    def train_mask(self, benchmark: str) -> Tensor:
        """Which of all clips train in a benchmark."""
        raise NotImplementedError

    def split_index(self, benchmark: str | None = None) -> dict[str, Tensor]:
        r"""Positions of the training and the test clips.

        Args:
            benchmark (str, optional): One of :obj:`benchmarks`. (default: the first)

        Raises:
            ValueError: If there is no such benchmark.
        """
        benchmark = self.benchmarks[0] if benchmark is None else benchmark
        if benchmark not in self.benchmarks:
            raise ValueError(f"'benchmark' must be one of {self.benchmarks}, got {benchmark!r}")
        mask = self.train_mask(benchmark)
        return {"train": mask.nonzero().view(-1), "test": (~mask).nonzero().view(-1)}

    def splits(self, benchmark: str | None = None) -> tuple[SkeletonDataset, SkeletonDataset]:
        """The training and the test part, as data sets on the same memory."""
        parts = self.split_index(benchmark)
        return self.index_select(parts["train"]), self.index_select(parts["test"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


def read_clips(path: Path, facts: Sequence[str], actions: Sequence[int]) -> dict[str, Any]:
    r"""Clips from a file of arrays.

    Args:
        path (Path): A ``.npz`` file with :obj:`joints` ``[F, V, 3]``, :obj:`offsets`
            ``[B + 1]``, per clip :obj:`action` and, if there are any, :obj:`name`.
        facts (sequence of str): Further arrays with a number per clip.
        actions (sequence of int): The published numbers of the actions, in order of the classes.

    Raises:
        DamagedDataError: If the file cannot be read or its arrays do not fit; the message
            names the array.
    """
    arrays = read_arrays(path, ("joints", "offsets", "action", *facts), ("name",))
    joints, offsets, action = (arrays[key] for key in ("joints", "offsets", "action"))
    info = {fact: arrays[fact] for fact in facts}
    for array in ("offsets", "action", *facts):
        if arrays[array].ndim != 1 or arrays[array].dtype.kind not in "iu":
            raise DamagedDataError(f"'{path}' holds '{array}' that is no list of whole numbers")
    if joints.dtype.kind not in "fiu":
        raise DamagedDataError(f"'{path}' holds 'joints' of {joints.dtype}")
    name = arrays["name"] if "name" in arrays else named(action, info)
    clips = len(action)
    problems = {
        "joints": joints.ndim != 3 or joints.shape[-1] != 3 or not single(joints),
        "offsets": offsets.shape != (clips + 1,)
        or offsets[0] != 0
        or offsets[-1] != len(joints)
        or (np.diff(offsets) < 1).any(),
        "action": not clips or not np.isin(action, actions).all(),
        "name": name.shape != (clips,) or name.dtype.kind != "U",
        **{fact: value.shape != (clips,) for fact, value in info.items()},
    }
    for array, wrong in problems.items():
        if wrong:
            raise DamagedDataError(f"'{path}' holds '{array}' that does not fit the other arrays")
    return {
        "frames": torch.from_numpy(joints).float().unsqueeze(1),
        "offsets": torch.from_numpy(offsets.astype(np.int64)),
        "y": torch.from_numpy(np.searchsorted(actions, action)).long(),
        "name": name.tolist(),
        **{fact: torch.from_numpy(value.astype(np.int64)) for fact, value in info.items()},
    }


def named(action: np.ndarray, info: Mapping[str, np.ndarray]) -> np.ndarray:
    """Names such as ``a01_s02_t03`` from the numbers of the action and the facts."""
    columns = {"action": action, **info}
    width = min(len(column) for column in columns.values())
    return np.array(
        [
            "_".join(f"{fact[0]}{int(column[i]):02d}" for fact, column in columns.items())
            for i in range(width)
        ]
    )
