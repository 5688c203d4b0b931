"""A graph as samplers read it: the edges of every node, type by type, in the order of time."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, FeatureStore, GraphStore, HeteroData, remote_backend_utils
from torch_geometric.data.graph_store import EdgeLayout
from torch_geometric.sampler.base import DataType
from torch_geometric.sampler.utils import to_csc

from graphkit.ops.cpu.kernels import sorting
from graphkit.sampling.kernels import drawing

NONE = torch.empty(0, dtype=torch.long)


@dataclass
class Relation:
    """The edges of one type, sorted by the node at which sampling looks for neighbours.

    Args:
        centre, neighbour: Node types of that node and of its neighbours; :obj:`None` in a
            homogeneous graph.
        colptr, row, perm (torch.Tensor): Edges in CSC form, and which edge stands at each place;
            no ``perm`` if they stand as they were given.
        times (torch.Tensor): Times by edge, or by neighbour if :obj:`by_node`; may be empty.
        weights (torch.Tensor): Weights by edge; may be empty.
    """

    centre: Any
    neighbour: Any
    colptr: Tensor
    row: Tensor
    perm: Tensor | None
    times: Tensor = field(default_factory=lambda: NONE)
    by_node: bool = False
    weights: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.double))


@dataclass
class Relations:
    """All that a sampler knows of a graph; keys are types, :obj:`None` in a homogeneous one."""

    kind: DataType
    num_nodes: dict[Any, int]
    edges: dict[Any, Relation]
    node_time: dict[Any, Tensor] | None = None
    edge_time: dict[Any, Tensor] | None = None

    @property
    def is_hetero(self) -> bool:
        return None not in self.num_nodes


def as_times(times: Any, name: str) -> Tensor:
    """Times as int64 or float64, all of them a number."""
    times = torch.as_tensor(times).cpu()
    times = times.double() if times.is_floating_point() else times.long()
    if times.dim() != 1:
        raise ValueError(f"'{name}' must hold one time each, got shape {list(times.shape)}")
    if bool(times.isnan().any()):
        raise ValueError(f"'{name}' holds NaN, which is no time")
    return times


def as_weights(weights: Any, size: int, name: str) -> Tensor:
    """Weights as float64, finite and not negative."""
    weights = torch.as_tensor(weights).cpu().double()
    if weights.dim() == 2 and weights.size(1) == 1:
        weights = weights.view(-1)
    if weights.shape != (size,):
        raise ValueError(f"'{name}' must have shape [{size}], got {list(weights.shape)}")
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError(f"'{name}' holds weights that are negative or not finite")
    return weights


def compressed(
    centre: Tensor, size: int, minor: Tensor | None, is_sorted: bool
) -> tuple[Tensor, Tensor | None]:
    """Bounds of each centre's edges, and the edges' order: by centre, then by :obj:`minor`."""
    order = None
    if minor is not None and not is_sorted:
        order = torch.argsort(minor, stable=True)
        centre = centre[order]
    colptr = np.empty(size + 1, np.int64)
    centre = centre.contiguous()
    in_order = bool(sorting.count_groups(centre.numpy(), colptr))
    if is_sorted:
        if not in_order:
            raise ValueError("'is_sorted' is set, but 'edge_index' is not sorted by its centres")
        return torch.from_numpy(colptr), None
    perm = np.empty(centre.numel(), np.int64)
    sorting.place(centre.numpy(), colptr, perm)
    found = torch.from_numpy(perm)
    return torch.from_numpy(colptr), found if order is None else order[found]


def check_ends(index: Tensor, size: int, name: str) -> None:
    """Raises if an edge ends at no node."""
    if index.numel() > 0 and (int(index.min()) < 0 or int(index.max()) >= size):
        wrong = int(index.min()) if int(index.min()) < 0 else int(index.max())
        raise ValueError(f"'edge_index'{name} holds node {wrong}, but there are {size} nodes")


def checked_ends(store: Any, sizes: tuple[int, int], name: str) -> tuple[Tensor, Tensor]:
    """The two rows of an edge store's ``edge_index``, within the graph."""
    edge_index = store.get("edge_index")
    if edge_index is None:
        return NONE, NONE
    if edge_index.dtype != torch.long or edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(
            f"'edge_index'{name} must be an int64 tensor of shape [2, E], "
            f"got {edge_index.dtype} of shape {list(edge_index.shape)}"
        )
    source, target = edge_index.as_subclass(Tensor).cpu()
    check_ends(source, sizes[0], name)
    check_ends(target, sizes[1], name)
    return source, target


def relation_of(
    store: Any, sizes: tuple[int, int], types: tuple[Any, Any], backward: bool, **options: Any
) -> Relation:
    """The relation of one edge store of a ``Data`` or ``HeteroData``.

    Args:
        store: What holds ``edge_index`` or ``adj_t``.
        sizes (tuple): Numbers of source and target nodes.
        types (tuple): Their types.
        backward (bool): Whether neighbours are targets.
        **options: ``times``, ``by_node``, ``weight_attr``, ``is_sorted``, and the ``name`` of the
            edge type for errors.
    """
    times, by_node = options["times"], options["by_node"]
    name = options["name"]
    if store.get("edge_index") is None and (hasattr(store, "adj_t") or hasattr(store, "adj")):
        adjacency = store.get("adj_t") if store.get("adj_t") is not None else store.get("adj")
        if isinstance(adjacency, Tensor):
            raise ValueError(
                f"edges{name} are a torch.sparse tensor, of which PyG's loaders take no parts: "
                "give 'edge_index'"
            )
        # Sparse tensors have an order of their own; PyG reads it, and edges keep their numbers.
        colptr, row, perm = to_csc(store, device="cpu", src_node_time=times, to_transpose=backward)
    else:
        source, target = checked_ends(store, sizes, name)
        # Edges are sorted by the node at which sampling looks for neighbours.
        row, centre = (target, source) if backward else (source, target)
        minor = None if times is None else times[row] if by_node else times
        size = sizes[0] if backward else sizes[1]
        colptr, perm = compressed(centre, size, minor, options["is_sorted"])
        row = row.contiguous() if perm is None else row[perm]
    near, far = (types[0], types[1]) if backward else (types[1], types[0])
    relation = Relation(near, far, colptr, row, perm)
    if times is not None:
        relation.by_node = by_node
        relation.times = times if by_node or perm is None else times[perm]
        check_time_order(relation, name)
    weight_attr = options["weight_attr"]
    if weight_attr is not None:
        if store.get(weight_attr) is None:
            raise ValueError(f"'weight_attr' is '{weight_attr}', which edges{name} do not have")
        weights = as_weights(store[weight_attr], row.numel(), weight_attr)
        relation.weights = weights if perm is None else weights[perm]
    return relation


def check_time_order(relation: Relation, name: str) -> None:
    """Raises if neighbours of some node do not stand in the order of time."""
    arrays = (relation.colptr.numpy(), relation.row.numpy(), relation.times.numpy())
    place = drawing.unsorted_time(*arrays, relation.by_node)
    if place >= 0:
        raise ValueError(
            f"edges{name} must be sorted by time within each neighbourhood, "
            f"those of node {place} are not"
        )


def from_data(
    data: Data, time_attr: str | None, weight_attr: str | None, is_sorted: bool, backward: bool
) -> Relations:
    """The one relation of a homogeneous graph."""
    num_nodes = data.num_nodes or 0
    times, by_node = None, False
    if time_attr is not None:
        if time_attr in data and data.is_node_attr(time_attr):
            times, by_node = as_times(data[time_attr], time_attr), True
        elif time_attr in data and data.is_edge_attr(time_attr):
            times = as_times(data[time_attr], time_attr)
        else:
            raise ValueError(
                f"The time attribute '{time_attr}' is neither a node-level or edge-level attribute"
            )
    graph = Relations(DataType.homogeneous, {None: num_nodes}, {})
    if times is not None:
        graph.node_time, graph.edge_time = (
            ({None: times}, None) if by_node else (None, {None: times})
        )
    graph.edges[None] = relation_of(
        data.edge_stores[0],
        (num_nodes, num_nodes),
        (None, None),
        backward,
        times=times,
        by_node=by_node,
        weight_attr=weight_attr,
        is_sorted=is_sorted,
        name="",
    )
    return graph


def from_hetero(
    data: HeteroData,
    time_attr: str | None,
    weight_attr: str | None,
    is_sorted: bool,
    backward: bool,
) -> Relations:
    """The relations of a heterogeneous graph; types without times are not bound by any."""
    node_types, edge_types = data.metadata()
    sizes = {kind: data[kind].num_nodes or 0 for kind in node_types}
    graph = Relations(DataType.heterogeneous, sizes, {})
    if time_attr is not None:
        nodes = {
            k: as_times(data[k][time_attr], time_attr) for k in node_types if time_attr in data[k]
        }
        edges = {
            k: as_times(data[k][time_attr], time_attr) for k in edge_types if time_attr in data[k]
        }
        if nodes and edges:
            raise ValueError(
                f"The time attribute '{time_attr}' holds both node-level and edge-level information"
            )
        if not nodes and not edges:
            raise ValueError(
                f"The time attribute '{time_attr}' is neither a node-level or edge-level attribute"
            )
        graph.node_time, graph.edge_time = nodes or None, edges or None
    for key in edge_types:
        # Types without times are open at any time.
        times = (graph.edge_time or {}).get(key)
        by_node = times is None and key[0] in (graph.node_time or {})
        if by_node:
            times = (graph.node_time or {})[key[0]]
        # Each type is sorted for itself: memory for one type's sort at a time.
        graph.edges[key] = relation_of(
            data[key],
            (sizes[key[0]], sizes[key[2]]),
            (key[0], key[2]),
            backward,
            times=times,
            by_node=by_node,
            weight_attr=weight_attr,
            is_sorted=is_sorted,
            name=f" of {key}",
        )
    return graph


def from_stores(
    data: tuple[FeatureStore, GraphStore], time_attr: str | None, backward: bool
) -> Relations:
    """The relations of a remote backend: its own CSC, which is neither copied nor sorted again."""
    features, edges = data
    attrs = edges.get_all_edge_attrs()
    if not attrs:
        raise ValueError("'data' holds a graph store without edges")
    types = list(dict.fromkeys(attr.edge_type for attr in attrs))
    # A store without types names its one kind of edges None, as PyG does.
    hetero = types != [None]
    if time_attr is not None:
        for attr in attrs:
            if attr.layout == EdgeLayout.CSR or not attr.is_sorted:
                raise ValueError(
                    "Temporal sampling requires edges in COO or CSC layout that are sorted by "
                    "destination, and by source time within local neighborhoods"
                )
    if hetero:
        kinds = dict.fromkeys(kind for key in types for kind in (key[0], key[2]))
        named = [a.group_name for a in features.get_all_tensor_attrs()]
        kinds |= dict.fromkeys(name for name in named if isinstance(name, str))
        sizes = {kind: remote_backend_utils.num_nodes(*data, kind) for kind in kinds}
    else:
        sizes = {None: max(attrs[0].size)}
    if backward:
        colptrs, rows, perms = edges.csr()
    else:
        rows, colptrs, perms = edges.csc()
    if not hetero:
        rows, colptrs, perms = ({None: each} for each in (rows, colptrs, perms))
    # What the store keeps, it may keep on disk: nothing here makes a copy of it.
    graph = Relations(DataType.remote, sizes, {})
    read_remote_times(graph, features, time_attr, hetero)
    for key in types:
        ends = (key[0], key[2]) if hetero else (None, None)
        near, far = ends if backward else ends[::-1]
        relation = Relation(near, far, colptrs[key], rows[key], (perms or {}).get(key))
        times = (graph.edge_time or {}).get(key)
        relation.by_node = times is None and far in (graph.node_time or {})
        if relation.by_node:
            times = (graph.node_time or {})[far]
        if times is not None:
            relation.times = times
            check_time_order(relation, f" of {key}")
        graph.edges[key] = relation
    return graph


def read_remote_times(
    graph: Relations, features: FeatureStore, time_attr: str | None, hetero: bool
) -> None:
    """Times out of a feature store; in a homogeneous one ``"time"`` belongs to nodes, as in PyG."""
    if time_attr is None:
        return
    attrs = [copy.copy(a) for a in features.get_all_tensor_attrs() if a.attr_name == time_attr]
    if not attrs:
        raise ValueError(f"the feature store holds no '{time_attr}' to sample by")
    for attr in attrs:
        attr.index = None
    groups = [attr.group_name for attr in attrs] if hetero else [None]
    values = [as_times(t, time_attr) for t in features.multi_get_tensor(attrs)]
    times = dict(zip(groups, values, strict=True))
    if (hetero and all(isinstance(g, str) for g in groups)) or (not hetero and time_attr == "time"):
        graph.node_time = times
    elif not hetero or all(isinstance(g, tuple) for g in groups):
        graph.edge_time = times
    else:
        raise ValueError(f"'{time_attr}' stands at nodes and at edges of the feature store")
