"""A sentence seen, heard and spelled as a graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import bipartite_edges, chain_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.metrics import character_error_rate
from graphkit.modes import evaluating
from graphkit.vision.lips.attention_decoder import Decoded
from graphkit.vision.lips.libs import LIBS
from graphkit.vision.lips.sequence_encoder import Padded
from graphkit.words import refuse_class

__all__ = ["AlignmentGraphAdapter"]

ALIGNS = ("audio", "aligns", "video")
SEEN = ("video", "attended_by", "token")
HEARD = ("audio", "attended_by", "teacher_token")
AGREES = ("teacher_token", "matches", "token")
KINDS = ("audio", "video", "token", "teacher_token")


class AlignmentGraphAdapter(GraphAdapter):
    r"""What the two networks of a :class:`~graphkit.vision.LIBS` make of a sentence, as a graph.

    Frames of sound and video and the symbols of the truth and of the teacher's reading are nodes,
    each a chain in time. Soft alignments are bipartite edges with their weights: which frame of
    sound matches which of video, and which frames a symbol is read off. Where the teacher is
    right, its symbol is linked to the true one. Any two sequences of different rates fit: layers
    such as :class:`~torch_geometric.nn.HGTConv` pass messages between them, and ``edge_attr``,
    the distance in shares of the sentence, shows whether an alignment keeps the order. Memory
    grows with the product of the lengths.

    Args:
        model (LIBS): Student, teacher and what aligns them.
        threshold (float, optional): Weights up to this are no edge. (default: :obj:`0.01`)

    Shapes:
        - **input:** video :math:`(J, *)`, sound :math:`(I, *)`, symbols :math:`(N)` of one sentence
        - **output:** ``audio.x`` :math:`(I, C_a)` and ``video.x`` :math:`(J, C_v)`: states of the
          encoders; ``token.x`` :math:`(N, D)` and ``teacher_token.x`` :math:`(M, D)`: the
          decoder's state and context; ``y``: symbols; ``token.read``: whether the student
          foresees the symbol when it knows those before; ``cer`` :math:`(1)`: the student's
          errors per character when it reads alone, with one character at least

    Raises:
        ValueError: If shapes do not fit or ``threshold`` is not in :math:`[0, 1)`.

    Example:
        >>> import torch
        >>> from graphkit.adapters import AlignmentGraphAdapter
        >>> from graphkit.vision import LIBS, AttentionSeq2Seq, SequenceEncoder
        >>> student, teacher = (AttentionSeq2Seq(SequenceEncoder(n, 8), 5) for n in (4, 6))
        >>> adapter = AlignmentGraphAdapter(LIBS(student, teacher))
        >>> graph = adapter(torch.rand(6, 4), torch.rand(9, 6), torch.tensor([3, 0, 4]))
        >>> graph["audio"].num_nodes, graph["video", "attended_by", "token"].edge_index.shape
        (9, torch.Size([2, 18]))
    """

    def __init__(self, model: LIBS, threshold: float = 0.01) -> None:
        super().__init__()
        refuse_class("model", model)
        if not 0 <= threshold < 1:
            raise ValueError(f"'threshold' must be in [0, 1), got {threshold}")
        self.model, self.threshold = model, threshold
        # Each type of edge is described once, and what all of them carry follows from that.
        chains = {f"{kind}.next.{kind}": "the one after it" for kind in KINDS}
        # Only soft alignments have weights; the teacher is right or not, and time just passes.
        weighted = {
            ".".join(ALIGNS): "matches; weight: of the alignment; attr: how much earlier it is",
            ".".join(SEEN): "is attended to; weight: attention; attr: how much earlier it is",
            ".".join(HEARD): "is attended to; weight: attention; attr: how much earlier it is",
        }
        agrees = ".".join(AGREES)
        edge = {**chains, **weighted, agrees: "the teacher reads the right symbol at this place"}
        self.schema = Schema(
            node={
                "audio": "a frame of sound",
                "video": "a frame of video",
                "token": "a symbol of the sentence",
                "teacher_token": "a symbol that the teacher reads",
            },
            edge=edge,
            attributes={
                **{f"{kind}.x": ("N", f"C_{kind}") for kind in KINDS},
                **{f"{kind}.time": ("N",) for kind in KINDS},
                "token.y": ("N",),
                "teacher_token.y": ("N",),
                "token.read": ("N",),
                **{f"{kind}.edge_index": (2, "E") for kind in edge},
                **{f"{kind}.edge_weight": ("E",) for kind in weighted},
                **{f"{kind}.edge_attr": ("E", 1) for kind in weighted},
            },
            y="the symbol; of token the caller's word, of teacher_token the teacher's",
        )

    @torch.no_grad()
    def forward(self, video: Tensor, sound: Tensor, target: Tensor) -> HeteroData:
        """The graph of one sentence."""
        if target.dim() != 1 or (target < 0).any():
            raise ValueError(
                f"'target' must hold the symbols of one sentence [N], got {list(target.shape)}"
            )
        seen, heard_frames = (self.alone(frames) for frames in (video, sound))
        rows = target.unsqueeze(0)
        with evaluating(self.model):
            out = self.model(seen, rows)
            heard = self.model.hear(heard_frames, rows)
            beta = self.model.align(out.sources[0], self.model.teach(heard_frames, rows))
        beta = beta[0] if self.model.direction == "audio" else beta[0].t()
        data = HeteroData()
        self.add_nodes(data, "audio", heard.out.sources[0].states[0])
        self.add_nodes(data, "video", out.sources[0].states[0])
        self.add_tokens(data, "token", out, target)
        self.add_tokens(data, "teacher_token", heard.out, heard.symbols[0])
        data["token"].read = out.logits[0, :-1].argmax(1) == target
        self.add_weights(data, ALIGNS, beta)
        self.add_weights(data, SEEN, out.attention[0][0, :-1].t())
        self.add_weights(data, HEARD, heard.out.attention[0][0, :-1].t())
        pairs = torch.tensor(heard.pairs[0], device=target.device).view(-1, 2).long()
        data[AGREES].edge_index = pairs.t().contiguous()
        reading = self.model.student.read(seen, max_length=self.model.max_length).best()[0]
        # Without a true character there is no rate; what was read is too much.
        rate = character_error_rate([reading], [target.tolist()]) if len(target) else len(reading)
        data.cer = torch.tensor([float(rate)], device=target.device)
        return data

    def alone(self, frames: Tensor) -> Padded:
        """A batch of one sentence."""
        return Padded(frames.unsqueeze(0), torch.tensor([len(frames)], device=frames.device))

    def add_nodes(self, data: HeteroData, kind: str, x: Tensor) -> None:
        """Nodes in a chain."""
        time = torch.arange(len(x), device=x.device)
        data[kind].update({"x": x.float(), "time": time, "num_nodes": len(x)})
        data[kind, "next", kind].edge_index = chain_edges(torch.zeros_like(time))

    def add_tokens(self, data: HeteroData, kind: str, out: Decoded, symbols: Tensor) -> None:
        """Symbols in a chain; the step of the end is none of them."""
        x = torch.cat([out.hidden[0, :-1], out.contexts[0][0, :-1]], 1)
        self.add_nodes(data, kind, x)
        data[kind].y = symbols

    def add_weights(self, data: HeteroData, kind: tuple[str, str, str], weights: Tensor) -> None:
        """Edges from rows to columns, as far as their weight counts."""
        edges, weight = bipartite_edges(weights * (weights > self.threshold))
        # The middle of a node's share of the sentence, so that both ends fit.
        middle = [(torch.arange(n, device=weights.device) + 0.5) / max(n, 1) for n in weights.shape]
        store = data[kind]
        store.edge_index, store.edge_weight = edges, weight.float()
        store.edge_attr = (middle[1][edges[1]] - middle[0][edges[0]]).unsqueeze(1)
