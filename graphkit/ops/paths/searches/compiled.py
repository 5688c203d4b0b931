"""The search behind :func:`graphkit.ops.shortest_paths` on the CPU, compiled by numba."""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def grown(array):
    """The array with twice as many rows."""
    return np.concatenate((array, np.empty_like(array)))


@njit(nogil=True, cache=True)
def search_sources(rowptr, col, cost, sources, quota, max_nodes, best):
    r"""Returns the nodes ``[P, max_nodes]`` and the hops ``[P]`` of the paths of 3 or more nodes.

    A label is a cheapest path to its end in a given number of hops that no path with fewer
    hops matches.  Labels are set in the order (cost, hops, prefix label, edge), which is
    also the order of the output and the rule for ties.  Rows of the graph are sorted by
    cost, so a label only ever shows its cheapest unused edge, and a source is done once its
    quota is full: about :math:`(k + d) \log d` steps for :math:`k` kept paths and degree
    :math:`d`, where an exhaustive expansion takes one step per walk.

    ``best[v]`` is 0, or ``max_nodes`` less the fewest hops of a label at ``v``; it is all
    zero again on return.
    """
    kept_nodes = np.empty((max(sources.size, 64), max_nodes), np.int64)
    kept_hops = np.empty(kept_nodes.shape[0], np.int64)
    kept = 0
    label_nodes = np.empty((1024, max_nodes), np.int64)
    label_cost = np.empty(1024, np.float64)
    label_hops = np.empty(1024, np.int64)
    found = np.empty(max_nodes, np.int64)
    for s in range(sources.size):
        found[:] = 0
        top = max_nodes - 1 if quota[s] > 0 else 1
        labels = 0
        node, hops, total, prefix = sources[s], 0, 0.0, 0
        # numba needs an element to know the type of a list.
        queue = [(0.0, 0, 0, 0)]
        queue.pop()
        while top > 1:
            # A node is worth another label only with fewer hops than all before it: it costs more.
            if max_nodes - hops > best[node]:
                best[node] = max_nodes - hops
                if labels == label_cost.size:
                    label_nodes, label_cost = grown(label_nodes), grown(label_cost)
                    label_hops = grown(label_hops)
                label_nodes[labels, :hops] = label_nodes[prefix, :hops]
                label_nodes[labels, hops] = node
                label_cost[labels], label_hops[labels] = total, hops
                # Only the cheapest edge goes into the queue; the next follows when it is taken.
                if hops < top and rowptr[node] < rowptr[node + 1]:
                    first = rowptr[node]
                    heapq.heappush(queue, (total + cost[first], hops + 1, labels, first))
                if hops > 1 and found[hops] < quota[s]:
                    if kept == kept_hops.size:
                        kept_nodes, kept_hops = grown(kept_nodes), grown(kept_hops)
                    kept_nodes[kept], kept_hops[kept] = label_nodes[labels], hops
                    kept += 1
                    found[hops] += 1
                    # Lengths that are full need no longer paths: the search ends sooner.
                    while top > 1 and found[top] >= quota[s]:
                        top -= 1
                labels += 1
            if len(queue) == 0:
                break
            total, hops, prefix, edge = heapq.heappop(queue)
            node = col[edge]
            edge += 1
            if hops <= top and edge < rowptr[label_nodes[prefix, hops - 1] + 1]:
                following = label_cost[prefix] + cost[edge]
                heapq.heappush(queue, (following, hops, prefix, edge))
        # Only what this source touched is reset, not all nodes.
        for label in range(labels):
            best[label_nodes[label, label_hops[label]]] = 0
    return kept_nodes[:kept], kept_hops[:kept]
