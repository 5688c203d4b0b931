"""Networks whose weights take few values, learned by gradients through soft steps."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch_geometric.nn.dense import Linear

from graphkit.catalog import method
from graphkit.compress.packed_layer import PackedLayer
from graphkit.compress.step_quantizer import StepQuantizer
from graphkit.modes import evaluating
from graphkit.taps import tap
from graphkit.words import did_you_mean, refuse_class

__all__ = ["QuantizationNetwork"]

LAYERS = (nn.Linear, Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@method(
    paper="arXiv:1911.09464",
    title="Quantization Networks",
    authors="Jiwei Yang, Xu Shen, Jun Xing, Xinmei Tian, Houqiang Li, Bing Deng, Jianqiang Huang, "
    "Xian-sheng Hua",
    venue="CVPR 2019",
    year=2019,
    code="https://github.com/aliyun/alibabacloud-quantization-networks",
    licence="Apache-2.0",
    takes="a trained network, of images or of graphs",
    gives="the same network with weights of few levels, to be trained on, and its packed form",
    deviations=[
        "a parametrization in place of weights that are exchanged before and after each step",
        "thresholds lie between neighbouring centroids of k-means; the released code takes the "
        "middle of the two weights next to the border",
        "the offset is the lowest level; the released code's is right for symmetric levels alone",
        "activations start with thresholds midway between levels; gradients are the exact ones, "
        "in the released code they lack a factor unless levels are 1 apart",
        "first and last layers stay in full precision by default, as in the released code",
        "message-passing layers are not in the paper",
    ],
    verified_by="benchmarks/recipes/quant-digits.yaml",
    limits=[
        "speed: packed and signed-edge layers are 1.1 to 2 times slower than float ones here; "
        "the gain is 14 to 15 times less memory",
    ],
)
class QuantizationNetwork(nn.Module):
    r"""A network with quantised weights and activations, from the `"Quantization Networks"
    <https://arxiv.org/abs/1911.09464>`_ paper.

    .. math::
        W = \alpha \left( v_0 + \sum_i (v_i - v_{i-1})\, \sigma\big(T (\beta W' - b_i)\big)
        \right), \qquad T = \min\big((\text{epoch} + 1)\, T_0,\ T_{\max}\big)

    In training mode weights are soft functions of what is learned, :math:`W'`, in evaluation
    mode they have their levels, see :class:`StepQuantizer`.  Raise the temperature before every
    epoch with :meth:`anneal` or a :class:`TemperatureSchedule`.  Batch norms collect what soft
    weights make, which at a low temperature is not what hard ones make: judge a network after
    it was annealed.  A step costs that of the network and, per quantised weight, a few
    operations for each level.

    Args:
        model (torch.nn.Module): The network; a copy is quantised.
        levels (sequence of float, optional): The levels of weights, such as ``(-1, 1)``,
            ``(-2, -1, 0, 1, 2)``. (default: ``(-1, 0, 1)``)
        layers (sequence of str, optional): Names of layers whose ``weight`` is quantised, or of
            parameters. (default: all linear and convolution layers, also those inside
            message-passing layers, but the first and the last one)
        activations (sequence of str, optional): Names of modules whose output, a tensor, is
            quantised. (default: none)
        activation_levels (sequence of float, optional): (default: ``(0, 1, 2, 3)``)
        sample (tuple, optional): Arguments of the network, to set the scales of activations by.
        temperature (float, optional): :math:`T_0` of weights. (default: :obj:`5.0`)
        activation_temperature (float, optional): That of activations. (default: :obj:`10.0`)
        max_temperature (float, optional): :math:`T_{\max}`. (default: :obj:`2000.0`)
        clip (float, optional): Largest entry of the gradient with respect to a quantised weight;
            :obj:`5` in the released code. (default: :obj:`None`)
        variant (str, optional): ``"released"``, see :class:`StepQuantizer`.
            (default: ``"paper"``)

    Shapes:
        - **input:** what the network takes
        - **output:** what the network gives

    Raises:
        ValueError: If a name is unknown, a layer's weights are shared, lazy or too few to choose
            from, an activation is no tensor of floats, or an option is out of range.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.compress import QuantizationNetwork
        >>> net = QuantizationNetwork(GCN(8, 16, 2, 3), layers=["convs.0.lin"])
        >>> net.anneal(epoch=9)
        50.0
        >>> net.eval().model.convs[0].lin.weight.unique().numel()
        3
        >>> net.pack()(torch.rand(4, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([4, 3])
    """

    def __init__(
        self,
        model: nn.Module,
        levels: Sequence[float] = (-1, 0, 1),
        layers: Sequence[str] | None = None,
        activations: Sequence[str] = (),
        activation_levels: Sequence[float] = (0, 1, 2, 3),
        sample: tuple[Any, ...] | None = None,
        temperature: float = 5.0,
        activation_temperature: float = 10.0,
        max_temperature: float = 2000.0,
        clip: float | None = None,
        variant: Literal["paper", "released"] = "paper",
    ) -> None:
        super().__init__()
        refuse_class("model", model)
        for name, value in (("layers", layers), ("activations", activations)):
            if isinstance(value, str):
                raise ValueError(f"'{name}' must be a sequence of names, write [{value!r}]")
        if not max_temperature > 0:
            raise ValueError(f"'max_temperature' must be above 0, got {max_temperature}")
        self.model = copy.deepcopy(model)
        self.temperature, self.max_temperature = temperature, max_temperature
        self.activation_temperature = activation_temperature
        names = inner_layers(self.model) if layers is None else list(layers)
        # A layer that is named twice, or by its weights as well, has one quantiser all the same.
        self.places = list(dict.fromkeys(place_of(self.model, name) for name in names))
        refuse_shared(self.model, self.places)
        for path, name in self.places:
            layer = self.model.get_submodule(path)
            weight: Any = getattr(layer, name)
            quantizer = StepQuantizer(levels, temperature, clip, variant).to(weight.device)
            quantizer.fit(weight).to(weight.dtype)
            # PyG's linear layers write their weight into the state once more.
            layer.register_state_dict_post_hook(drop_computed)
            parametrize.register_parametrization(layer, name, quantizer.train(layer.training))
        self.activations = list(dict.fromkeys(activations))
        if self.activations:
            self.quantize_activations(activation_levels, sample, variant)
        self.anneal(0)

    def quantize_activations(
        self, levels: Sequence[float], sample: tuple[Any, ...] | None, variant: Any
    ) -> None:
        """Puts a quantiser behind every module that ``activations`` names."""
        if sample is None:
            raise ValueError("'sample' is needed to set the scales of 'activations'")
        with torch.no_grad(), evaluating(self.model), tap(self.model, *self.activations) as inner:
            self.model(*sample)
        # Inner modules first: the path to them leads through the outer ones.
        for name in sorted(self.activations, key=depth, reverse=True):
            value = inner[name].output
            if not isinstance(value, Tensor) or not value.is_floating_point():
                raise ValueError(f"{name!r} gives {type(value).__name__}, no floats to quantise")
            quantizer = StepQuantizer(levels, self.activation_temperature, None, variant)
            quantizer = quantizer.fit(value, "midpoints").to(value)
            module = self.model.get_submodule(name)
            quantized = QuantizedOutput(module, quantizer.train(module.training))
            self.model.set_submodule(name, quantized)
            self.places = [
                (f"{name}.0{path.removeprefix(name)}", parameter)
                if f"{path}.".startswith(f"{name}.")
                else (path, parameter)
                for path, parameter in self.places
            ]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the network."""
        return self.model(*args, **kwargs)

    def quantizers(self) -> dict[str, StepQuantizer]:
        """The quantisers of weights, by the parameter's name."""
        found = {}
        for path, name in self.places:
            layer: Any = self.model.get_submodule(path)
            found[f"{path}.{name}"] = layer.parametrizations[name][0]
        return found

    def anneal(self, epoch: int) -> float:
        """Sets the temperature of an epoch, counted from 0, and gives that of weights.

        Args:
            epoch (int): The epoch that is about to begin.
        """
        if epoch < 0:
            raise ValueError(f"'epoch' must not be negative, got {epoch}")
        weights = {id(quantizer) for quantizer in self.quantizers().values()}
        for module in self.modules():
            if isinstance(module, StepQuantizer):
                mine = id(module) in weights
                first = self.temperature if mine else self.activation_temperature
                module.temperature.fill_(min((epoch + 1) * first, self.max_temperature))
        return min((epoch + 1) * self.temperature, self.max_temperature)

    def groups(
        self, lr: float, weight_decay: float = 0.0, scale_lr: float | None = None
    ) -> list[dict[str, Any]]:
        r"""Parameter groups for an optimizer: scales apart, never decayed.

        Args:
            lr (float): Learning rate.
            weight_decay (float, optional): Of everything but scales. (default: :obj:`0.0`)
            scale_lr (float, optional): Learning rate of :math:`\alpha` and :math:`\beta`.
                (default: ``lr``)
        """
        scales = {
            id(parameter): parameter
            for module in self.modules()
            if isinstance(module, StepQuantizer)
            for parameter in (module.alpha, module.beta)
        }
        rest = [parameter for parameter in self.parameters() if id(parameter) not in scales]
        return [
            {"params": rest, "lr": lr, "weight_decay": weight_decay},
            {
                "params": list(scales.values()),
                "lr": lr if scale_lr is None else scale_lr,
                "weight_decay": 0.0,
            },
        ]

    @torch.no_grad()
    def harden(self) -> nn.Module:
        """The plain network with the hard weights in it, in evaluation mode."""
        model = copy.deepcopy(self.model).eval()
        for path, name in self.places:
            parametrize.remove_parametrizations(own_class(model.get_submodule(path)), name)
        return model

    @torch.no_grad()
    def pack(self, execution: Literal["unpack", "edges"] = "unpack") -> nn.Module:
        """The network, in evaluation mode, with its quantised weights packed.

        Args:
            execution (str, optional): How packed layers run, see :class:`PackedLayer`; only
                linear layers can run along edges. (default: ``"unpack"``)
        """
        model, quantizers = self.harden(), self.quantizers()
        # Inner layers first: a packed one hides the path to those inside. Then weights, so that
        # a linear layer is what runs along edges; biases have none.
        order = sorted(self.places, key=lambda place: (-depth(place[0]), place[1] != "weight"))
        for path, name in order:
            original: Any = self.model.get_submodule(path)
            quantizer = quantizers[f"{path}.{name}"]
            codes = quantizer.codes(original.parametrizations[name].original)
            values = quantizer.alpha * quantizer.levels
            owner = layer = model.get_submodule(path)
            while isinstance(owner, PackedLayer):
                owner, name = owner.layer, f"layer.{name}"
            how = "unpack" if isinstance(layer, PackedLayer) else execution
            packed = PackedLayer(layer, name, codes, values, how).eval()
            if path:
                model.set_submodule(path, packed)
            else:
                model = packed
        return model

    def __getstate__(self) -> dict[str, Any]:
        """PyTorch does not pickle parametrized layers: plain ones and quantisers are."""
        model = copy.deepcopy(self.model)
        quantizers = []
        for path, name in self.places:
            layer: Any = own_class(model.get_submodule(path))
            quantizers.append(layer.parametrizations[name][0])
            parametrize.remove_parametrizations(layer, name, leave_parametrized=False)
        state = {**self.__dict__, "_modules": {**self._modules, "model": model}}
        return {"state": state, "quantizers": quantizers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state["state"])
        for (path, name), quantizer in zip(self.places, state["quantizers"], strict=True):
            parametrize.register_parametrization(self.model.get_submodule(path), name, quantizer)


class QuantizedOutput(nn.Sequential):
    """A module and the quantiser of what it gives; all else that is asked of it is the module's.

    Args:
        module (torch.nn.Module): Takes whatever it took.
        quantizer (StepQuantizer): Of its output.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The quantised output."""
        return self[1](self[0](*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or "0" not in self._modules:
                raise
            return getattr(self._modules["0"], name)


def depth(path: str) -> int:
    """How many modules a path leads through."""
    return len(path.split(".")) if path else 0


def own_class(layer: nn.Module) -> nn.Module:
    """A copied layer, apart from the original: PyTorch gives both the same class, and takes the
    property of that class away from both.
    """
    kind = type(layer)
    body = {key: v for key, v in vars(kind).items() if key not in ("__dict__", "__weakref__")}
    layer.__class__ = type(kind.__name__, kind.__bases__, body)
    return layer


def drop_computed(module: nn.Module, state: dict[str, Any], prefix: str, local: Any) -> None:
    """Takes weights that a quantiser computes out of a state."""
    parametrizations: Any = getattr(module, "parametrizations", {})
    for name in parametrizations:
        state.pop(prefix + name, None)


def inner_layers(model: nn.Module) -> list[str]:
    """All linear and convolution layers but the first and the last one."""
    names = [name for name, module in model.named_modules() if isinstance(module, LAYERS)]
    if len(names) < 3:
        raise ValueError(
            f"'model' has {len(names)} layers; the first and the last are left out unless 'layers' "
            f"names them, such as layers={names[:1]}"
        )
    return names[1:-1]


def place_of(model: nn.Module, name: str) -> tuple[str, str]:
    """The module and the parameter that a name means."""
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    path, attribute = (name, "weight") if name in modules else ("", name)
    if name in parameters:
        path, _, attribute = name.rpartition(".")
    if path in modules and parametrize.is_parametrized(modules[path], attribute):
        raise ValueError(f"the weights of {name!r} are parametrized already")
    value = getattr(modules.get(path), attribute, None)
    if not isinstance(value, nn.Parameter):
        known = [key for key, module in modules.items() if hasattr(module, "weight")]
        raise ValueError(f"no layer with weights is called {name!r}; {did_you_mean(name, known)}")
    if isinstance(value, nn.parameter.UninitializedParameter):
        raise ValueError(f"the weights of {name!r} are lazy: run the network once before")
    if not value.is_floating_point():
        raise ValueError(f"the weights of {name!r} are no real numbers: {value.dtype}")
    return path, attribute


def refuse_shared(model: nn.Module, places: Iterable[tuple[str, str]]) -> None:
    """Raises if another layer has the same weights: they would part."""
    owners: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(f"{path}.{name}")
    for path, name in places:
        weight: Any = getattr(model.get_submodule(path), name)
        if len(owners[id(weight)]) > 1:
            raise ValueError(f"the layers {owners[id(weight)]} share their weights")
