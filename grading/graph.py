"""A model as a list of operators: reading it, counting it, and running it under the engine.

A program comes as bytes (see wire.py) from the process that built a stranger's model, and is all that is kept of it.
``read`` and ``Program.count`` belong to the trusted side and compute no tensor. ``GraphModel`` runs operators with
arguments that a stranger chose: they may take any time and memory, so it belongs in a process with limits.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .wire import Graph, Node, Refused, TensorSpec, Value, decode, require

__all__ = ["Count", "GraphModel", "Program", "Refused", "read"]

FREE = 4_000  # bytes of a graph, compressed, that are not charged: usual models take 0.1 to 1 kB, DenseNet-121 2.5 kB
UNSET = ("empty", "empty_like", "new_empty")  # operators that give memory as it is
MEAN, VARIANCE, TRAINING = 3, 4, 5  # places of batch_norm's running_mean, running_var and training


class Count(NamedTuple):
    """What a program is charged for: a number of 64 bits counts as two, a complex one as twice its parts."""

    parameters: int
    buffers: int  # buffers, constants and literals of every type, without BatchNorm's running statistics


@dataclass(frozen=True)
class Program:
    """A model: its tensors, and its graphs for training and testing."""

    tensors: tuple[TensorSpec, ...]
    graphs: tuple[Graph, ...]

    def count(self) -> Count:
        """Every tensor once, by its role, whether or not a graph reads it.

        Numbers can also stand in the graph itself, as literals or in the way it is wired. What a graph takes in bytes
        beyond FREE is charged as numbers of 32 bits.
        """
        totals = dict.fromkeys(("parameter", "buffer", "constant", "statistics"), 0)
        for tensor in self.tensors:
            totals[tensor.role] += tensor.numel * max(1, tensor.dtype.itemsize // 4)
        literals = max(0, self.description - FREE) // 4
        return Count(totals["parameter"], totals["buffer"] + totals["constant"] + literals)

    @cached_property
    def description(self) -> int:
        """Bytes of the graphs alone, compressed: operators, their wiring and every literal, without the tensors.

        Repeated structure costs little, as values are named by their distance. What a model hides in its literals
        and its wiring instead of a tensor shows here.
        """
        lines = [graph_text(graph) for graph in self.graphs]
        return max((len(zlib.compress(line.encode(), 9)) for line in lines), default=0)


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
    """The program in hostile bytes; raises Refused, and nothing else, where there is none that is allowed."""
    tensors, graphs = decode(raw)
    places = [(graph.mode, graph.batch) for graph in graphs]
    require(len(set(places)) == len(places), "two graphs for the same purpose")
    require({mode for mode, _ in places} == {"train", "eval"}, "it takes a graph for training and one for testing")
    program = Program(tuple(tensors), tuple(graphs))
    free = statistics(program)
    marked = (t._replace(role="statistics") if i in free else t for i, t in enumerate(tensors))
    return Program(tuple(marked), program.graphs)


# --- Which buffers are BatchNorm's running statistics -----------------------------------------------------------------


class Use(NamedTuple):
    """A tensor as the argument of a node."""

    mode: str  # of the graph
    node: Node
    place: int | None  # which positional argument; None: named, or one of a list
    read: bool  # whether anything takes what the node gives


def uses(program: Program) -> dict[int, list[Use]]:
    """Where the graphs name each tensor."""
    found: dict[int, list[Use]] = {i: [] for i in range(len(program.tensors))}
    for graph in program.graphs:
        named = [list(values_of(node)) for node in graph.nodes]
        taken = {graph.output}.union(*named)
        for own, (node, values) in enumerate(zip(graph.nodes, named, strict=True), 1 + len(graph.inputs)):
            direct = {value.index: place for place, value in enumerate(node.args) if isinstance(value, Value)}
            for value, times in Counter(values).items():
                if 0 < value <= len(graph.inputs):
                    place = direct.get(value) if times == 1 else None
                    found[graph.inputs[value - 1]].append(Use(graph.mode, node, place, own in taken))
    return found


def values_of(node: Node) -> Iterator[int]:
    """The values that a node takes."""
    for argument in node.args:
        yield from values_in(argument)
    for _, argument in node.kwargs:
        yield from values_in(argument)


def values_in(argument: Any) -> Iterator[int]:
    if isinstance(argument, Value):
        yield argument.index
    elif isinstance(argument, list):
        for each in argument:
            yield from values_in(each)


def statistics(program: Program) -> set[int]:
    """The buffers that only BatchNorm reads and that it writes in training, and the counters beside them.

    They are not charged, and GraphModel starts them afresh (mean 0, variance 1, count 0), so nothing can be brought
    along in them.
    """
    found = uses(program)
    returned = {graph.inputs[graph.output - 1] for graph in program.graphs if 0 < graph.output <= len(graph.inputs)}
    free = set()
    for index, tensor in enumerate(program.tensors):
        only_named = tensor.role == "buffer" and index not in returned and found[index]
        if only_named and (is_statistic(tensor, found[index]) or is_counter(tensor, found[index])):
            free.add(index)
    return free


def is_statistic(tensor: TensorSpec, found: list[Use]) -> bool:
    places = {use.place for use in found}
    normed = all(use.node.operator.name == "aten.batch_norm.default" for use in found)
    if not normed or places not in ({MEAN}, {VARIANCE}) or len(tensor.shape) != 1 or tensor.dtype.itemsize > 4:
        return False
    trained = [use.node.args[TRAINING] for use in found if use.mode == "train" and len(use.node.args) > TRAINING]
    return bool(trained) and all(training is True for training in trained)


def is_counter(tensor: TensorSpec, found: list[Use]) -> bool:
    """Whether a whole number is only counted up by one, and read by nothing but a cumulative BatchNorm."""

    def counts(use: Use) -> bool:
        plain = use.place == 0 and use.node.args[1:] == (1,) and not use.node.kwargs and not use.read
        return use.node.operator.name == "aten.add_.Tensor" and plain

    return tensor.shape == () and tensor.dtype is torch.int64 and all(
        use.node.operator.name == "one_over" or counts(use) for use in found
    )  # fmt: skip


# --- Running ----------------------------------------------------------------------------------------------------------

Step = Callable[[list[Any]], None]  # computes one value of a list of values, and drops those that nobody needs any more


class GraphModel(nn.Module):
    """A program as a model that the engine trains and tests like any other: (N, 1, 28, 28) -> (N, 10).

    ``forward`` interprets the graph for training or testing, as ``self.training`` says. Operators that work in place
    change the buffers and parameters themselves, as they did in the code that was traced.
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
        for tensor, start in fresh_statistics(program).items():
            getattr(self, f"t{tensor}").fill_(start)
        self.plans = {(graph.mode, graph.batch): Plan(graph) for graph in program.graphs}

    def tensors(self) -> list[Tensor]:
        return [getattr(self, f"t{index}") for index in range(len(self.program.tensors))]

    def forward(self, images: Tensor) -> Tensor:
        mode = "train" if self.training else "eval"
        plan = self.plans.get((mode, len(images))) or self.plans.get((mode, None))
        if plan is None:
            raise ValueError(f"the model has no graph for {len(images)} images at once")
        return plan.run(images, [getattr(self, name) for name in plan.inputs])


def fresh_statistics(program: Program) -> dict[int, float]:
    """What each running statistic starts with: 1 for a variance, else 0."""
    found = uses(program)
    free = [index for index, spec in enumerate(program.tensors) if spec.role == "statistics"]
    return {index: float(any(use.place == VARIANCE for use in found[index])) for index in free}


def materialise(spec: TensorSpec) -> Tensor:
    """The tensor itself, laid out as it was."""
    if not spec.data:
        return torch.empty_strided(spec.shape, spec.strides, dtype=spec.dtype)
    kind = torch.uint8 if spec.dtype is torch.bool else spec.dtype
    flat = torch.frombuffer(bytearray(spec.data), dtype=kind)
    flat = flat != 0 if spec.dtype is torch.bool else flat  # a byte that is neither 0 nor 1 is no bool
    return flat.as_strided(spec.shape, spec.strides)


class Plan:
    """A graph made ready to run: its nodes as steps, grouped by whether gradients are recorded."""

    def __init__(self, graph: Graph) -> None:
        self.inputs = [f"t{index}" for index in graph.inputs]
        self.output, self.size = graph.output, len(graph.nodes)
        self.blocks: list[tuple[bool | None, list[Step]]] = []
        first, dead = 1 + len(graph.inputs), last_reads(graph)
        for value, node in enumerate(graph.nodes, first):
            if not self.blocks or self.blocks[-1][0] is not node.grad:
                self.blocks.append((node.grad, []))
            self.blocks[-1][1].append(step(node, value, dead.get(value, ())))

    def run(self, images: Tensor, tensors: list[Tensor]) -> Tensor:
        values = [images, *tensors, *([None] * self.size)]
        for grad, steps in self.blocks:
            if grad is None:
                for each in steps:
                    each(values)
            else:
                with torch.set_grad_enabled(grad):
                    for each in steps:
                        each(values)
        return values[self.output]


def last_reads(graph: Graph) -> dict[int, list[int]]:
    """Node -> the values that nobody needs after it, which may be itself."""
    first = 1 + len(graph.inputs)
    last = {value: value for value in range(first, first + len(graph.nodes))}
    for at, node in enumerate(graph.nodes, first):
        last.update((value, at) for value in values_of(node) if value >= first)
    dead: dict[int, list[int]] = {}
    for value, at in last.items():
        if value != graph.output:
            dead.setdefault(at, []).append(value)
    return dead


def step(node: Node, value: int, dead: Any) -> Step:
    """A node as a function of the list of values; what can be looked up beforehand is."""
    call, template = node.operator.call, list(node.args)
    if node.operator.base in UNSET:
        call = zeroed(call)
    places = [(i, each.index) for i, each in enumerate(template) if isinstance(each, Value)]
    fills = [(i, filler(each)) for i, each in enumerate(template) if isinstance(each, list) and [*values_in(each)]]
    named = {key: filler(each) for key, each in node.kwargs}

    def run(values: list[Any]) -> None:
        args = template.copy()
        for i, index in places:
            args[i] = values[index]
        for i, fill in fills:
            args[i] = fill(values)
        values[value] = call(*args, **{key: fill(values) for key, fill in named.items()}) if named else call(*args)
        for index in dead:
            values[index] = None

    return run


def zeroed(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The operator, giving zeros: memory that was used before, by labels for example, is not shown to a graph."""
    return lambda *args, **kwargs: call(*args, **kwargs).zero_()


def filler(argument: Any) -> Callable[[list[Any]], Any]:
    """A function that gives the argument with values in their places."""
    if isinstance(argument, Value):
        return lambda values: values[argument.index]
    if isinstance(argument, list):
        return lambda values: [values[each.index] if isinstance(each, Value) else each for each in argument]
    return lambda _: argument
