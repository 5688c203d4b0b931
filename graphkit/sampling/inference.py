"""Exact outputs for all nodes of a graph, layer by layer, in memory that a chunk of nodes needs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.sampler import NodeSamplerInput

from graphkit.digest import digest_of
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.modes import evaluating
from graphkit.sampling.disk.folder import as_tensor, open_array
from graphkit.sampling.neighbor_sampler import NeighborSampler
from graphkit.text_files import decode, json_of

Layer = Callable[[Tensor, Tensor], Tensor]
TRIED = 48
MOST_HOPS = 3
CLOSE = 1e-5
"""How near a layer's outputs must be to those before: other threads add in another order."""


def layerwise(
    layers: Sequence[Layer] | nn.Module,
    data: Any,
    folder: str | Path | None = None,
    *,
    x: str | Tensor = "x",
    chunk_size: int = 100_000,
    hops: int | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Tensor:
    r"""The output of a stack of layers for every node, exactly as on the whole graph.

    .. math::
        \mathbf{X}^{(l)}_{\mathcal{C}} = f_l\left( \mathbf{X}^{(l - 1)}_{\mathcal{C} \cup
        \mathcal{N}(\mathcal{C})}, \; \mathcal{E}_{\mathcal{C}} \right)
        \quad \text{for chunks of nodes } \mathcal{C}

    Each layer reads all edges once and each node once as a centre, where batches of seeds would
    compute inner layers again for every seed: :math:`\mathcal{O}(L E)`.  With :obj:`folder` what a
    layer gives lies on disk, and a run that was killed goes on where it was.

    Args:
        layers (list of callable, or a model of PyG's such as ``GraphSAGE``): Each takes
            ``(x, edge_index)`` of a part of the graph and gives one row per node; modules run in
            evaluation mode. (A model with jumping knowledge must be given as layers.)
        data (Data, or stores such as :func:`open_graph` gives): A homogeneous graph.
        folder (str or Path, optional): Where layers' outputs lie. (default: in memory)
        x (str or torch.Tensor, optional): The features, by name or as rows of all nodes.
        chunk_size (int, optional): Nodes per step. (default: :obj:`100_000`)
        hops (int, optional): Hops that one layer reads. A :class:`~torch_geometric.nn.GCNConv`
            reads 2: degrees of neighbours are in its weights. (default: tried out for every layer
            on a small graph, and refused beyond 3)
        resume (bool, optional): Go on with what :obj:`folder` holds, if it is of the same layers,
            weights, edges, features, hops and chunks: all are read once to know.
            (default: :obj:`True`)
        progress (bool, optional): Show a bar on a terminal. (default: :obj:`True`)

    Returns:
        One row per node, memory-mapped if there is a :obj:`folder`.

    Raises:
        ValueError: If an argument is out of range, a layer does not give one row per node or reads
            further than 3 hops, or :obj:`folder` belongs to another run or is damaged.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from torch_geometric.nn import GraphSAGE
        >>> from graphkit.sampling import layerwise
        >>> data = KarateClub()[0]
        >>> model = GraphSAGE(34, 8, num_layers=2).eval()
        >>> out = layerwise(model, data, chunk_size=10)
        >>> torch.allclose(out, model(data.x, data.edge_index), atol=1e-5)
        True
    """
    if chunk_size < 1:
        raise ValueError(f"'chunk_size' must be at least 1, got {chunk_size}")
    if hops is not None and hops < 1:
        raise ValueError(f"'hops' must be at least 1, got {hops}")
    stack = stack_of(layers)
    sampler = NeighborSampler(data, [-1])
    if sampler.is_hetero:
        raise ValueError("'data' must be a homogeneous graph")
    rows = features_of(data, x, sampler.num_nodes)
    place = None if folder is None else Path(folder)
    modules: list[Any] = [layers] if isinstance(layers, nn.Module) else list(layers)
    with torch.no_grad(), ExitStack() as modes:
        for module in modules:
            modes.enter_context(evaluating(module))
        state = State(place, [sampler.num_nodes, len(stack), chunk_size])
        if place is not None:
            state.open(mark_of(modules, sampler, rows, hops), tried(stack, rows), resume)
        if progress:
            modes.enter_context(state.shown())
        for number, layer in enumerate(stack):
            if state.layer > number:
                rows = state.rows(number)
                continue
            reach = hops or reach_of(layer, rows, number)
            rows = one_layer(layer, sampler, rows, reach, chunk_size, number, state)
    return rows


class State:
    """How far a run in a folder has come: layers that are done, and chunks of the next one.

    Beside them stands what the run is made from, and a checksum of every chunk of the layer in
    progress and of the one before it, from which it goes on.
    """

    def __init__(self, folder: Path | None, shape: list[int]) -> None:
        self.folder, self.shape, self.layer, self.chunk = folder, shape, 0, 0
        self.bar: Progress | None = None
        self.mark, self.tries = "", list[float]()
        self.sums: dict[str, list[int]] = {}

    def open(self, mark: str, tries: list[float], resume: bool) -> None:
        """Finds how far the folder's run has come, if it is this one and whole."""
        assert self.folder is not None
        self.mark, self.tries = mark, tries
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "progress.json"
        if not resume or not file.is_file():
            return
        with reading(file, advice="delete it"):
            saved = json_of(decode(file.read_bytes()))
            # Before a run is told from another: an older version wrote neither.
            same = (saved["shape"], saved.get("mark")) == (self.shape, mark)
            same = same and bool(np.allclose(saved["tries"], tries, rtol=CLOSE, atol=0))
            self.layer, self.chunk = map(int, saved["done"])
            self.sums = {str(layer): list(sums) for layer, sums in saved.get("sums", {}).items()}
        if not same:
            raise ValueError(
                f"'{file}' belongs to another run: other layers, weights, edges, 'x', "
                "'hops' or 'chunk_size'; use another folder, or resume=False"
            )
        nodes, _, size = self.shape
        self.check(self.layer - 1, -(-nodes // size))
        self.check(self.layer, self.chunk)

    def check(self, number: int, chunks: int) -> None:
        """Raises unless so many chunks of a layer are kept as they were written."""
        sums, size = self.sums.get(str(number), []), self.shape[2]
        parts = self.rows(number).split(size) if sums else ()
        kept = [checksum(part.numpy()) for part in parts[: len(sums)]]
        if number >= 0 and (kept != sums or len(sums) != chunks):
            raise ValueError(f"'{self.file(number)}' or the mark beside it is damaged; delete both")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """A bar over the chunks of all layers, for the length of a block."""
        console = Console(stderr=True)
        nodes, layers, size = self.shape
        hidden = not console.is_terminal
        with Progress(console=console, transient=True, disable=hidden) as self.bar:
            self.bar.add_task("inference", total=layers * -(-nodes // size))
            self.show()
            yield
        self.bar = None

    def show(self) -> None:
        """Brings the bar up to date."""
        nodes, _, size = self.shape
        if self.bar is not None:
            done = self.layer * -(-nodes // size) + self.chunk
            self.bar.update(self.bar.task_ids[0], completed=done)

    def file(self, number: int) -> Path:
        """The output of a layer."""
        assert self.folder is not None
        return self.folder / f"layer-{number}.npy"

    def rows(self, number: int) -> Tensor:
        """The output of a layer that is done, from disk."""
        return as_tensor(open_array(self.file(number), self.shape[0]))

    def done(self, layer: int, chunk: int, rows: np.ndarray | None = None) -> None:
        """Remembers that so many layers, and chunks of the next, are on disk."""
        self.layer, self.chunk = layer, chunk
        if self.folder is not None:
            if rows is not None:
                self.sums.pop(str(layer - 2), None)
                self.sums[str(layer)] = [
                    *self.sums.get(str(layer), [])[: chunk - 1],
                    checksum(rows),
                ]
            content: dict[str, Any] = {"shape": self.shape, "mark": self.mark, "tries": self.tries}
            content |= {"done": [layer, chunk], "sums": self.sums}
            with replacing(self.folder / "progress.json") as file:
                file.write(json.dumps(content).encode())
        self.show()


def checksum(rows: np.ndarray) -> int:
    """A number that tells damaged rows from those that were written."""
    return zlib.crc32(rows.tobytes())


def mark_of(modules: list[Any], sampler: NeighborSampler, rows: Tensor, hops: int | None) -> str:
    """What tells a run from others, as far as it can be read: weights, edges, features, hops."""
    edges = sampler.graph.edges[None]
    states = [module for module in modules if isinstance(module, nn.Module)]
    return digest_of(edges.colptr, edges.row, rows, hops, *states)


def tried(stack: list[Layer], rows: Tensor) -> list[float]:
    """The size of every layer's output on a small graph: functions have no state to be read."""
    edges, found = small_graph(rows)
    tries = []
    for layer in stack if len(rows) else []:
        found = layer(found, edges)
        tries.append(float(found.double().abs().sum()))
    return tries


def small_graph(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Edges of a few nodes, the same each time, and some of the rows as theirs."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(TRIED, (2, 3 * TRIED), generator=generator)
    if not len(rows):
        return edges, rows
    return edges, rows[torch.randint(len(rows), (TRIED,), generator=generator)]


def stack_of(layers: Sequence[Layer] | nn.Module) -> list[Layer]:
    """The layers, one by one; those of PyG's models with what stands between them."""
    if isinstance(layers, BasicGNN):
        if layers.jk_mode not in (None, "last"):
            raise ValueError(f"'layers' has jk='{layers.jk_mode}', which joins layers: give a list")
        model = layers

        def stage(number: int) -> Layer:
            return lambda x, edges: model.inference_per_layer(number, x, edges, x.size(0))

        return [stage(number) for number in range(model.num_layers)]
    if isinstance(layers, nn.Module) and not isinstance(layers, nn.ModuleList | nn.Sequential):
        raise ValueError(f"'layers' is one {type(layers).__name__}: give a list of its layers")
    stack: list[Any] = list(layers)
    if not stack:
        raise ValueError("'layers' is empty")
    return stack


def features_of(data: Any, x: str | Tensor, num_nodes: int) -> Tensor:
    """The rows that the first layer reads."""
    if isinstance(x, Tensor):
        rows = x
    elif isinstance(data, Data):
        if data.get(x) is None:
            raise ValueError(f"'data' has no '{x}'")
        rows = data[x]
    else:
        rows = data[0].get_tensor(None, x, index=None)
    if rows.size(0) != num_nodes:
        raise ValueError(f"'x' has {rows.size(0)} rows, but there are {num_nodes} nodes")
    return rows


def on_chunk(
    layer: Layer, sampler: NeighborSampler, rows: Tensor, reach: int, nodes: Tensor
) -> Tensor:
    """What a layer gives some nodes."""
    sampler.num_neighbors = [-1] * reach
    out = sampler.sample_from_nodes(NodeSamplerInput(None, nodes))
    found = layer(rows[out.node], torch.stack([out.row, out.col]))
    if found.dim() == 0 or found.size(0) != out.node.numel():
        raise ValueError(f"a layer gave {list(found.shape)} for {out.node.numel()} nodes")
    if found.dtype == torch.bfloat16:
        raise ValueError("a layer gave bfloat16, which no array holds: give layers of float32")
    return found[: nodes.numel()]


def reach_of(layer: Layer, rows: Tensor, number: int) -> int:
    """How many hops a layer reads, tried out on a small graph with some of the rows."""
    if rows.size(0) == 0:
        return 1
    edges, some = small_graph(rows)
    wanted = layer(some, edges)
    # Each node in a tree of its own: in one batch they would complete each other's neighbourhoods.
    sampler = NeighborSampler(Data(edge_index=edges, num_nodes=TRIED), [-1], disjoint=True)
    for reach in range(1, MOST_HOPS + 1):
        found = on_chunk(layer, sampler, some, reach, torch.arange(TRIED))
        scale = float(wanted.abs().max()) if wanted.numel() else 0.0
        if wanted.shape == found.shape and bool(((found - wanted).abs() <= 1e-4 * scale).all()):
            return reach
    raise ValueError(
        f"layer {number} reads further than {MOST_HOPS} hops, or draws at random; is it a layer? "
        "Give 'hops' if it is"
    )


def one_layer(
    layer: Layer,
    sampler: NeighborSampler,
    rows: Tensor,
    reach: int,
    chunk_size: int,
    number: int,
    state: State,
) -> Tensor:
    """The output of one layer for all nodes."""
    out: Any = None
    first = state.chunk if state.layer == number else 0
    starts = range(0, sampler.num_nodes, chunk_size)
    for chunk, start in enumerate(starts):
        if chunk < first:
            continue
        nodes = torch.arange(start, min(start + chunk_size, sampler.num_nodes))
        found = on_chunk(layer, sampler, rows, reach, nodes)
        if out is None:
            out = output_for(found, sampler.num_nodes, number, state, first > 0)
        out[start : start + nodes.numel()] = found.numpy()
        if state.folder is not None:
            # The rows must be on disk before the mark that says so.
            out.flush()
        state.done(number, chunk + 1, found.numpy())
    state.done(number + 1, 0)
    if out is not None:
        return torch.from_numpy(out)
    return rows[:0] if state.folder is None else state.rows(number)


def output_for(found: Tensor, size: int, number: int, state: State, again: bool) -> Any:
    """The array that a layer's output goes to."""
    array, shape = found.numpy(), (size, *found.shape[1:])
    if state.folder is None:
        return np.empty(shape, array.dtype)
    file = state.file(number)
    if again:
        out = np.lib.format.open_memmap(file, mode="r+")
        if out.shape != shape or out.dtype != array.dtype:
            raise ValueError(
                f"'{file}' is {out.dtype} of {out.shape}, not {array.dtype} of {shape}"
            )
        return out
    return np.lib.format.open_memmap(file, mode="w+", dtype=array.dtype, shape=shape)
