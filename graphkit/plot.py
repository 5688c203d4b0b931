"""Pictures of graphs, over an image, over time, as a layout; and of what a run measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphkit.words import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["as_curves", "as_layout", "over_image", "over_time"]

Graph: TypeAlias = Data | HeteroData
Places = dict[str, np.ndarray]
MARKERS = "os^Dv*P"


def over_image(graph: Graph, image: Tensor | None = None, **options: Any) -> Axes:
    """Draws a graph at the ``pos``, (row, column), of its nodes.

    Args:
        graph (Data or HeteroData): Node types without ``pos`` are left out.
        image (torch.Tensor, optional): What lies below. (default: :obj:`None`)
        **options (optional): ``axes`` to draw on; ``color``, a node attribute or one value per
            node; ``nodes`` and ``edges``, the types to draw; ``width``, an edge attribute;
            ``size`` of the nodes; ``title``. Types without the attribute are black, or of width
            one, if another type has it.

    Shapes:
        - **input:** image :math:`(H, W)`, :math:`(H, W, 3)` or :math:`(3, H, W)`

    Raises:
        ValueError: If no node has a place, a place is no (row, column), an image is none, the
            graph has an adjacency in place of ``edge_index``, or an option names what the graph
            does not have.
        ImportError: If matplotlib is missing.

    Example:
        >>> import torch
        >>> from graphkit.adapters import grid_edges
        >>> pos = torch.cartesian_prod(torch.arange(2), torch.arange(3))
        >>> data = Data(pos=pos, edge_index=grid_edges(2, 3), num_nodes=6)
        >>> axes = over_image(data, torch.rand(2, 3))
        >>> axes.get_xlabel()
        'column'
    """
    places = {k: _row_and_column(s.pos) for k, s in _nodes(graph).items() if "pos" in s}
    picture = None if image is None else _picture(image)
    axes = _draw(graph, places, "pos", **options)
    if picture is not None:
        axes.imshow(picture, cmap="gray", zorder=-1)
    elif not axes.yaxis_inverted():
        axes.invert_yaxis()
    axes.set(xlabel="column", ylabel="row")
    return axes


def over_time(graph: Graph, lane: str | None = None, **options: Any) -> Axes:
    """Draws a graph along a time axis, by the nodes' ``time`` or the middle of their ``span``.

    Args:
        graph (Data or HeteroData): Node types with neither are left out.
        lane (str, optional): The node attribute that is the height; by default the column of
            ``pos``, else the number of the node.
        **options (optional): As in :func:`over_image`.

    Raises:
        ValueError: If no node has a time, or as in :func:`over_image`.
        ImportError: If matplotlib is missing.

    Example:
        >>> import torch
        >>> span = torch.tensor([[0.0, 2.0], [1.0, 4.0]])
        >>> data = Data(span=span, edge_index=torch.tensor([[0], [1]]), num_nodes=2)
        >>> axes = over_time(data)
        >>> len(axes.collections)
        3
    """
    wanted = _known("nodes", options.get("nodes"), _nodes(graph))
    timed = {k: s for k, s in _nodes(graph).items() if k in wanted and ("time" in s or "span" in s)}
    places = {k: np.stack([_when(s), _lane(s, lane)], 1) for k, s in timed.items()}
    axes = _draw(graph, places, "time", **options)
    for kind, store in timed.items():
        if "span" in store:
            start, end = _numpy(store.span).T
            axes.hlines(places[kind][:, 1], start, end, alpha=0.4, linewidth=3, color="tab:blue")
    axes.set(xlabel="time", ylabel=lane or "")
    return axes


def as_layout(graph: Graph, seed: int = 0, **options: Any) -> Axes:
    """Draws a graph where networkx's spring layout puts its nodes.

    Args:
        graph (Data or HeteroData): Any graph.
        seed (int, optional): Seed of the layout. (default: :obj:`0`)
        **options (optional): As in :func:`over_image`.

    Raises:
        ValueError: If there is no type of nodes, or as in :func:`over_image`.
        ImportError: If matplotlib is missing.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> axes = as_layout(KarateClub()[0], color="y")
        >>> axes.get_xticks().tolist()
        []
    """
    import networkx as nx

    nodes = _nodes(graph)
    if not nodes:
        raise ValueError(f"'graph' has no type of nodes: {graph}")
    ends = np.cumsum([store.num_nodes for store in nodes.values()])
    first = dict(zip(nodes, ends - [store.num_nodes for store in nodes.values()], strict=True))
    whole = nx.Graph()
    whole.add_nodes_from(range(int(ends[-1])))
    for (source, _, target), store in _edges(graph).items():
        row, col = _edge_index(store)
        whole.add_edges_from(zip(row + first[source], col + first[target], strict=True))
    spots = nx.spring_layout(whole, seed=seed)
    coordinates = np.array([spots[i] for i in range(len(whole))]).reshape(-1, 2)
    places = {kind: coordinates[first[kind] :][: store.num_nodes] for kind, store in nodes.items()}
    axes = _draw(graph, places, "node", **options)
    axes.set(xticks=[], yticks=[])
    return axes


def as_curves(
    history: Sequence[Mapping[str, float]], names: Sequence[str] | None = None
) -> list[Axes]:
    """Draws what was measured again and again, such as a monitor's readings or the history of a
    :class:`~graphkit.train.Result`, one below the other.

    Args:
        history (sequence of dict): Numbers by name, reading after reading; a name may be missing
            in some, and numbers that are not finite leave a gap.
        names (sequence of str, optional): What to draw. (default: all, in order)

    Raises:
        ValueError: If there is nothing to draw.
        ImportError: If matplotlib is missing.

    Example:
        >>> axes = as_curves([{"loss": 2.0}, {"loss": 1.0, "entropy": 0.5}])
        >>> [one.get_ylabel() for one in axes]
        ['loss', 'entropy']
    """
    pyplot = load_pyplot()
    known = list(dict.fromkeys(name for reading in history for name in reading))
    names = known if names is None else list(names)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"'names' must be some of {known}, got {names}")
    grid = pyplot.subplots(
        len(names), sharex=True, squeeze=False, figsize=(6.4, 1.6 * len(names) + 0.8)
    )[1]
    number = np.arange(1, len(history) + 1)
    for axes, name in zip(grid[:, 0], names, strict=True):
        values = np.array([reading.get(name, np.nan) for reading in history], dtype=float)
        axes.plot(number, np.where(np.isfinite(values), values, np.nan), marker=".")
        axes.set_ylabel(name)
    grid[-1, 0].set_xlabel("reading")
    return list(grid[:, 0])


def load_pyplot(windows: bool = True) -> Any:
    """matplotlib's ``pyplot``, imported when something is drawn.

    Args:
        windows (bool, optional): Whether figures may be shown, or are only written into files.
            (default: :obj:`True`)

    Raises:
        ImportError: If matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "graphkit[bench]"') from error
    if not windows:
        matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _draw(
    graph: Graph,
    places: Places,
    what: str,
    axes: Axes | None = None,
    color: str | Tensor | Mapping[str, Tensor] | None = None,
    nodes: tuple[str, ...] | None = None,
    edges: tuple[str, ...] | None = None,
    width: str | None = None,
    size: float = 25.0,
    title: str = "",
) -> Axes:
    """Nodes as marks, one kind of mark per type, and edges as lines, one colour per type."""
    pyplot = load_pyplot()
    from matplotlib.collections import LineCollection

    wanted = _known("nodes", nodes, _nodes(graph))
    shown = {kind: spots for kind, spots in places.items() if kind in wanted}
    if not shown:
        raise ValueError(f"'graph' has no node with a '{what}' to draw it at: {graph}")
    named = _known("edges", edges, [relation for _, relation, _ in _edges(graph)])
    relations = {
        kind: store
        for kind, store in _edges(graph).items()
        if kind[0] in shown and kind[2] in shown and kind[1] in named
    }
    widths = {kind: _widths(store, width) for kind, store in relations.items()}
    shades = {kind: _values(_nodes(graph)[kind], kind, color) for kind in shown}
    if width is not None and relations and all(each is None for each in widths.values()):
        raise ValueError(f"'width' names no edge attribute: no edge drawn has {width!r}")
    if isinstance(color, str) and all(each is None for each in shades.values()):
        raise ValueError(f"'color' names no node attribute: no node drawn has {color!r}")
    axes = pyplot.subplots()[1] if axes is None else axes
    # All edges of a relation in one collection: a line object each would take minutes.
    for i, ((source, relation, target), store) in enumerate(relations.items()):
        row, col = _edge_index(store)
        lines = np.stack([shown[source][row], shown[target][col]], axis=1)
        given = widths[source, relation, target]
        thick = np.ones(len(lines)) if given is None else given
        shade = f"C{i}" if relation else "gray"
        axes.add_collection(
            LineCollection(list(lines), linewidths=thick, alpha=0.5, color=shade, label=relation)
        )
    # Nodes last and above the edges, which would hide them.
    for (kind, spots), marker in zip(shown.items(), MARKERS * 9, strict=False):
        look: dict[str, Any] = {"color": "black"}
        if shades[kind] is not None:
            look = {"c": shades[kind], "cmap": "viridis"}
        across, down = spots.T
        axes.scatter(across, down, size, marker=marker, zorder=2, label=kind or None, **look)
    axes.autoscale_view()
    axes.set_title(title)
    if isinstance(graph, HeteroData):
        axes.legend(fontsize="small")
    return axes


def _known(option: str, names: str | Sequence[str] | None, known: Iterable[str]) -> list[str]:
    """The types to draw: all, or those that are named, each of which there must be."""
    known = list(known)
    names = known if names is None else [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in known:
            raise ValueError(f"'{option}' names {name!r}: {did_you_mean(name, known)}")
    return names


def _values(store: Any, kind: str, color: Any) -> np.ndarray | None:
    """The colours of nodes, one for each."""
    if isinstance(color, Mapping):
        color = color.get(kind)
    if isinstance(color, str):
        color = getattr(store, color, None)
    if color is None:
        return None
    values = _numpy(color)
    if values.shape not in ((store.num_nodes,), (store.num_nodes, 1)):
        shape = list(values.shape)
        raise ValueError(f"'color' must be one value for each of {store.num_nodes} nodes: {shape}")
    return values


def _widths(store: Any, width: str | None) -> np.ndarray | None:
    """The widths of edges: 3 for the largest weight."""
    if width is None or width not in store:
        return None
    weights = np.abs(_numpy(store[width])).reshape(len(store[width]), -1)
    if weights.shape != (_edge_index(store).shape[1], 1) or not np.isfinite(weights).all():
        raise ValueError(f"'width' must be one finite number per edge, as {width!r} is not")
    return 3 * weights[:, 0] / max(weights.max(initial=0.0), 1e-12)


def _row_and_column(pos: Any) -> np.ndarray:
    """Places as matplotlib has them, across and down."""
    places = _numpy(pos)
    if places.ndim != 2 or places.shape[1] != 2:
        shape = list(places.shape)
        raise ValueError(f"'pos' must be [N, 2], row and column, got {shape}; see as_layout")
    return places[:, [1, 0]]


def _picture(image: Tensor) -> np.ndarray:
    """An image with its channels last."""
    flat = _numpy(image)
    flat = flat.transpose(1, 2, 0) if flat.ndim == 3 and len(flat) in (1, 3) else flat
    if flat.ndim != 2 and not (flat.ndim == 3 and flat.shape[2] in (1, 3, 4)):
        raise ValueError(f"'image' must be [H, W], [H, W, 3] or [3, H, W], got {list(flat.shape)}")
    return flat


def _when(store: Any) -> np.ndarray:
    return _numpy(store.time) if "time" in store else _numpy(store.span).mean(1)


def _lane(store: Any, lane: str | None) -> np.ndarray:
    if lane is None and "pos" in store:
        return _numpy(store.pos)[:, 1]
    if lane is not None and lane not in store:
        raise ValueError(f"'lane' names {lane!r}: {did_you_mean(lane, store.keys())}")
    return np.arange(store.num_nodes) if lane is None else _numpy(store[lane])


def _numpy(value: Any) -> np.ndarray:
    if not isinstance(value, Tensor):
        return np.asarray(value)
    value = value.detach().cpu()
    # NumPy has no bfloat16.
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _edge_index(store: Any) -> np.ndarray:
    """The edges; none where nothing was said of any, as in a set of points."""
    if "edge_index" in store and store.edge_index is not None:
        return _numpy(store.edge_index)
    if "adj_t" in store or "adj" in store:
        raise ValueError("'graph' has no edge_index; adjacencies need T.ToEdgeIndex first")
    return np.empty((2, 0), dtype=np.int64)


def _nodes(graph: Graph) -> dict[str, Any]:
    if isinstance(graph, Data):
        return {"": graph}
    return {kind: graph[kind] for kind in graph.node_types}


def _edges(graph: Graph) -> dict[tuple[str, str, str], Any]:
    if isinstance(graph, Data):
        return {("", "", ""): graph}
    return {kind: graph[kind] for kind in graph.edge_types}
