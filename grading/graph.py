"""A model as a list of operators: reading it, counting it, and running it under the engine.

A program comes as bytes (see wire.py) from the process that built a stranger's model, and is all that is kept of it.
``read`` and ``Program.count`` belong to the trusted side and run no operator. ``GraphModel`` and ``formula_numbers``
run operators with arguments that a stranger chose: they may take any time and memory, and belong in a process with
limits.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .operators import SIZES_ONLY, Parameter
from .wire import Graph, Node, Refused, TensorSpec, Value, decode, require

__all__ = ["Count", "GraphModel", "Program", "Refused", "formula_numbers", "read"]

FREE, MOST = 700, 2_000  # bytes of a graph, compressed: not charged, and allowed at all. Real models take 0.1 to 0.6 kB
GRIDS = 2_000  # numbers from a formula that are not charged: position codes, grids
MEAN, VARIANCE, TRAINING = 3, 4, 5  # places of batch_norm's running_mean, running_var and training
IMAGES, WEIGHTS, SHOWS_WEIGHT, SHOWS_BUFFER = 1, 2, 4, 8  # what a value may depend on, or be a view of
PICKS = ("index", "index_select", "gather", "embedding")  # operators that choose elements by whole numbers


class Count(NamedTuple):
    """What a program is charged for: a number of 64 bits counts as two."""

    parameters: int
    buffers: int  # buffers, constants and literals of every type, and statistics beyond those that training explains


class Program(NamedTuple):
    """A model: its tensors, and its graphs for training and testing."""

    tensors: tuple[TensorSpec, ...]
    graphs: tuple[Graph, ...]
    description: int  # bytes of the larger graph, see ``description``

    def count(self) -> Count:
        """Every tensor once, by its role, whether or not a graph reads it.

        BatchNorm's statistics are free up to the number of trained parameters: a channel that is scaled, shifted or
        mixed by trained numbers has two. Numbers can also stand in the graph itself, as literals or in the way it is
        wired: what it takes in bytes beyond FREE is charged as numbers of 4 bits.
        """
        totals = dict.fromkeys(("parameter", "buffer", "constant", "statistics"), 0)
        for tensor in self.tensors:
            totals[tensor.role] += tensor.numel * max(1, tensor.numbers.element_size() // 4)
        trained = sum(tensor.numel for tensor in self.tensors if tensor.requires_grad)
        literals = 2 * max(0, self.description - FREE)
        statistics = max(0, totals["statistics"] - trained)
        return Count(totals["parameter"], totals["buffer"] + totals["constant"] + statistics + literals)


def description(graph: Graph) -> int:
    """Bytes of a graph, compressed: operators, their wiring and every literal, without the tensors.

    Repeated structure costs little, as values are named by their distance. What a model hides in its literals and its
    wiring instead of a tensor shows here.
    """
    return len(zlib.compress(graph_text(graph).encode(), 9))


def graph_text(graph: Graph) -> str:
    """A graph in one canonical text: nodes with values by distance, so that equal blocks read alike."""

    def plain(value: Any, at: int) -> Any:
        if isinstance(value, Value):
            return f"%{at - value.index}" if value.index > len(graph.inputs) else f"${value.index}"
        return [plain(each, at) for each in value] if isinstance(value, (list, tuple)) else value

    first = 1 + len(graph.inputs)
    return "\n".join(
        f"{node.operator.name} {plain(node.args, at)} {plain([v for _, v in node.kwargs], at)} {node.grad}"
        for at, node in enumerate(graph.nodes, first)
    )


def read(raw: bytes) -> Program:
    """The program in hostile bytes; raises Refused, and nothing else, where there is none that is allowed.

    BatchNorm's statistics start afresh: mean 0, variance 1.
    """
    tensors, graphs = decode(raw)
    program = Program(tuple(tensors), tuple(graphs), max(map(description, graphs)))
    require(program.description <= MOST, f"it takes {program.description:,} bytes, where {MOST:,} are the most")
    found = [origins(program, graph) for graph in graphs]
    for number, (graph, origin) in enumerate(zip(graphs, found, strict=True)):
        refuse_writing(graph, number, origin)
    for index, place in statistics(program, found).items():
        start = torch.full_like(tensors[index].numbers, float(place == VARIANCE))
        tensors[index] = tensors[index]._replace(role="statistics", numbers=start)
    return program._replace(tensors=tuple(tensors))


# --- What values come from --------------------------------------------------------------------------------------------


def values_in(argument: Any) -> Iterator[int]:
    """The values that an argument names."""
    if isinstance(argument, Value):
        yield argument.index
    elif isinstance(argument, (list, tuple)):
        for each in argument:
            yield from values_in(each)


def named_by(node: Node) -> list[tuple[Parameter, int]]:
    """The values that a node takes, each with the argument that it stands in."""
    return [(parameter, index) for parameter, argument in node.arguments() for index in values_in(argument)]


def origins(program: Program, graph: Graph) -> list[int]:
    """For each value of a graph the flags of what it depends on, and of what it may be a view of."""
    roles = [program.tensors[index].role for index in graph.inputs]
    found = [IMAGES, *(WEIGHTS | SHOWS_WEIGHT if role == "parameter" else SHOWS_BUFFER for role in roles)]
    viewed = list(range(len(found)))  # of each value that of which it is a view, or itself
    for node in graph.nodes:
        named, own = named_by(node), len(found)
        origin = 0
        for parameter, index in named:
            origin |= found[index] & (IMAGES | WEIGHTS | (SHOWS_WEIGHT | SHOWS_BUFFER if parameter.shown else 0))
        for parameter, index in named:
            if parameter.written:
                found[viewed[index]] |= origin & (IMAGES | WEIGHTS)
        found.append(0 if node.operator.base in SIZES_ONLY else origin)
        viewed.append(next((viewed[index] for parameter, index in named if parameter.shown), own))
    return found


def refuse_writing(graph: Graph, number: int, found: Sequence[int]) -> None:
    """Raise Refused where a graph writes to a parameter, or copies parameters to a buffer.

    Weights change by the optimizer alone, and what they were does not stay: a gradient tells of labels.
    """
    for place, node in enumerate(graph.nodes):
        named = named_by(node)
        written = [found[index] for parameter, index in named if parameter.written]
        if any(origin & SHOWS_WEIGHT for origin in written):
            raise Refused("it writes to a parameter, as clipping weights in forward does", (number, place))
        sources = [found[index] for parameter, index in named if not parameter.written and not parameter.scales]
        copied = any(origin & WEIGHTS and not origin & IMAGES for origin in sources)
        if copied and any(origin & SHOWS_BUFFER for origin in written):
            reason = "it copies parameters to a buffer, as a moving average of weights and spectral_norm do"
            raise Refused(reason, (number, place))


def statistics(program: Program, found: Sequence[Sequence[int]]) -> dict[int, int]:
    """The buffers that are BatchNorm's statistics, and in which place.

    Nothing but BatchNorm reads them, everywhere on values that depend on the images, and it writes them in training.
    """
    places: dict[int, set[int | None]] = {}
    for graph, origin in zip(program.graphs, found, strict=True):
        uses = [(graph.output, None)]
        for node in graph.nodes:
            free = node.operator.name == "aten.batch_norm.default" and not node.kwargs
            free = free and any(origin[index] & IMAGES for index in values_in(node.args[0]))
            free = free and (graph.mode == "eval" or node.args[TRAINING] is True)
            for place, argument in enumerate([*node.args, [value for _, value in node.kwargs]]):
                kept = place if free and place in (MEAN, VARIANCE) else None
                uses += [(index, kept) for index in values_in(argument)]
        for index, place in uses:
            if 0 < index <= len(graph.inputs):
                places.setdefault(graph.inputs[index - 1], set()).add(place)
    trained = set(program.graphs[0].inputs)
    return {
        index: place
        for index, (place, *more) in ((index, tuple(each)) for index, each in places.items())
        if place is not None and not more and index in trained and may_be_statistics(program.tensors[index])
    }


def may_be_statistics(tensor: TensorSpec) -> bool:
    return tensor.role == "buffer" and tensor.numbers.dim() == 1 and tensor.numbers.element_size() <= 4


# --- Running ----------------------------------------------------------------------------------------------------------


class GraphModel(nn.Module):
    """A program as a model that the engine trains and tests like any other: (N, 1, 28, 28) -> (N, 10).

    ``forward`` interprets the graph for training or testing, as ``self.training`` says. Operators that work in place
    change the buffers themselves, as they did in the code that was traced.
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        for index, spec in enumerate(program.tensors):
            tensor = materialise(spec)
            if spec.role == "parameter":
                self.register_parameter(f"t{index}", nn.Parameter(tensor, spec.requires_grad))
            else:
                self.register_buffer(f"t{index}", tensor)
        self.graphs = {graph.mode: (graph, last_reads(graph)) for graph in program.graphs}

    def tensors(self) -> list[Tensor]:
        return [getattr(self, f"t{index}") for index in range(len(self.program.tensors))]

    def forward(self, images: Tensor) -> Tensor:
        graph, dead = self.graphs["train" if self.training else "eval"]
        values = [images, *(getattr(self, f"t{index}") for index in graph.inputs)]
        for node, ended in zip(graph.nodes, dead, strict=True):
            step(node, values, ended)
        return values[graph.output]


def materialise(spec: TensorSpec) -> Tensor:
    """A copy of the tensor, laid out as it was."""
    layout = torch.channels_last if spec.channels_last else torch.contiguous_format
    return torch.empty_like(spec.numbers, memory_format=layout).copy_(spec.numbers)


def last_reads(graph: Graph) -> list[list[int]]:
    """For each node the values that nobody needs after it, which may be its own."""
    first = 1 + len(graph.inputs)
    last = {value: value for value in range(first, first + len(graph.nodes))}
    for at, node in enumerate(graph.nodes, first):
        last.update((value, at) for _, value in named_by(node) if value >= first)
    dead: list[list[int]] = [[] for _ in graph.nodes]
    for value, at in last.items():
        if value != graph.output:
            dead[at - first].append(value)
    return dead


def step(node: Node, values: list[Any], dead: Sequence[int]) -> None:
    """Append the result of a node to the values before it; those that are ``dead`` after it become None."""

    def filled(argument: Any) -> Any:
        if type(argument) is Value:
            return values[argument.index]
        return [filled(each) for each in argument] if type(argument) is list else argument

    args, kwargs = [filled(each) for each in node.args], {key: filled(each) for key, each in node.kwargs}
    if node.grad is None:
        values.append(node.operator.call(*args, **kwargs))
    else:
        with torch.set_grad_enabled(node.grad):
            values.append(node.operator.call(*args, **kwargs))
    for index in dead:
        values[index] = None


# --- Numbers from a formula -------------------------------------------------------------------------------------------


@torch.no_grad()
def formula_numbers(model: GraphModel, first: Tensor, second: Tensor) -> int:
    """How many numbers, beyond GRIDS, meet images or weights and depend on neither: they count like constants.

    That is seen by effect. The graphs run once with the initial state and once with the trained one, on two batches of
    real images: what is the same in both is such a number, whatever it was computed from. Not counted are
    repetitions, numbers that the model stores (they are charged already), and whole numbers that pick weights.
    """
    most = 0
    for graph in model.program.graphs:
        origin, dead = origins(model.program, graph), last_reads(graph)
        start = [materialise(model.program.tensors[index]) for index in graph.inputs]
        trained = [getattr(model, f"t{index}").detach().clone() for index in graph.inputs]
        stored = sum(a.numel() for a, b in zip(start, trained, strict=True) if torch.equal(a, b))
        one, other = [first.clone(), *start], [second.clone(), *trained]
        made: dict[int, int] = {}  # how many numbers a value was when it was made, though images may be written to it
        met: dict[int, int] = {}
        for node, ended in zip(graph.nodes, dead, strict=True):
            named = {index for _, index in named_by(node)}
            picks = node.operator.base in PICKS and not any(origin[index] & IMAGES for index in named)
            if not picks and not all(equal(one[index], other[index]) for index in named):
                met |= {index: made[index] for index in named & made.keys()}
            for values in (one, other):
                step(node, values, ended)
            if equal(one[-1], other[-1]):
                made[len(one) - 1] = distinct_numbers(one[-1])
        most = max(most, sum(met.values()) - stored)
    return max(0, most - GRIDS)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)):
        return all(map(equal, a, b))
    return bool(((a == b) | (a != a) & (b != b)).all()) if isinstance(a, Tensor) else a == b  # NaN is NaN


def distinct_numbers(value: Any) -> int:
    """The elements of a tensor, or of several, without repetitions along a dimension."""
    if isinstance(value, (list, tuple)):
        return sum(map(distinct_numbers, value))
    if not isinstance(value, Tensor) or not value.numel():
        return 0
    for dim in range(value.dim()):
        once = value.narrow(dim, 0, 1)
        value = once if bool((value == once).all()) else value
    return value.numel()
