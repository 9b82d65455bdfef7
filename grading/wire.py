"""A graph as bytes: a header in JSON, then the tensors as safetensors. Nothing is unpickled.

    b"GRAPH02\\n"  length of the header (8 bytes, little endian)  header  safetensors

The header is ``[tensors, graphs]`` with

    tensor  [role, name, requires_grad, channels_last]
    graph   [mode, [inputs: indices of tensors], [nodes], [node or input that is returned]]
    node    [operator, [arguments], [[name, argument], ...], grad: true or false inside such a block, else null]

Value 0 of a graph is its images, values 1 to k are its inputs, the others its nodes in their order. An argument is
null, true, false, a number, a string, a list of arguments, or one of {"value": i}, {"float": "inf"} and
{"dtype": "float32"}.

``decode`` takes the bytes for hostile. It raises Refused and nothing else, and holds at most the bytes twice and about
40 times the header: MAX_HEADER bounds that to 160 MB.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from .operators import Operator, Parameter, find

MAGIC = b"GRAPH02\n"
MAX_BYTES, MAX_HEADER, MAX_TENSORS, MAX_NODES, MAX_LIST = 1 << 30, 4 << 20, 10_000, 50_000, 20_000
ROLES, MODES = ("parameter", "buffer", "constant"), ("train", "eval")
DTYPES = {
    name: getattr(torch, name) for name in "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
}
TAGS = {"dtype": DTYPES, "float": {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}}
NUMERIC = (int, float, bool)
TYPES = {
    "int": (int,), "float": (int, float), "bool": (bool,), "number": NUMERIC, "str": (str,), "dtype": (torch.dtype,),
    "tensor": NUMERIC,  # which ATen takes for a tensor without dimensions
    "tensors": (), "nothing": (),
}  # fmt: skip


class Refused(Exception):
    """Bytes that are no graph, or none that is allowed: one plain sentence, and which graph and node."""

    def __init__(self, sentence: str, place: tuple[int, int] | None = None) -> None:
        super().__init__(sentence)
        self.place = place


def require(condition: Any, sentence: str) -> None:
    if not condition:
        raise Refused(sentence)


@dataclass(frozen=True, slots=True)
class Value:
    """The result of a node, or an input of the graph, as an argument."""

    index: int


class TensorSpec(NamedTuple):
    """A tensor of the model."""

    role: str  # parameter, buffer, constant; read() makes some buffers "statistics"
    name: str  # ASCII: letters, digits, dots, underscores
    requires_grad: bool
    channels_last: bool  # its layout in memory, which ``numbers`` does not have
    numbers: Tensor

    @property
    def numel(self) -> int:
        return self.numbers.numel()


class Node(NamedTuple):
    operator: Operator
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    grad: bool | None  # inside ``no_grad`` (False), ``enable_grad`` (True), neither

    def arguments(self) -> list[tuple[Parameter, Any]]:
        """The arguments that are given, with what the operator says of each."""
        named = {parameter.name: parameter for parameter in self.operator.parameters}
        positional = [parameter for parameter in self.operator.parameters if parameter.positional]
        given = list(zip(positional, self.args, strict=False))
        return given + [(named[name], value) for name, value in self.kwargs]


class Graph(NamedTuple):
    mode: str
    inputs: tuple[int, ...]  # tensors
    nodes: tuple[Node, ...]
    output: int  # a value


# --- Writing, where the model was built -------------------------------------------------------------------------------


def encode(tensors: Sequence[tuple[str, str, Tensor]], graphs: Sequence[list[Any]]) -> bytes:
    """The bytes of tensors (role, name, numbers) and of graphs, whose arguments are Python's and PyTorch's own."""
    rows: dict[str, list[Any]] = {}
    for role, name, tensor in tensors:
        name = re.sub(r"[^A-Za-z0-9_.]", "_", name)[:100]
        name = name if name not in rows else f"{name}.{len(rows)}"
        plain = torch.empty_like(tensor, memory_format=torch.contiguous_format)
        last = tensor.stride() != plain.stride() and tensor.is_contiguous(memory_format=torch.channels_last)
        rows[name] = [role, name, role == "parameter" and tensor.requires_grad, last]
    header = json.dumps([list(rows.values()), graphs], separators=(",", ":"), default=tagged).encode()
    numbers = {name: tensor.detach().clone().contiguous() for name, (_, _, tensor) in zip(rows, tensors, strict=True)}
    return b"".join([MAGIC, len(header).to_bytes(8, "little"), header, save_tensors(numbers)])


def tagged(value: Any) -> dict[str, Any]:
    """An argument that JSON has no type for, as a dictionary of one key; TypeError if no graph may hold it."""
    if isinstance(value, Value):
        return {"value": value.index}
    if isinstance(value, torch.dtype) and value in DTYPES.values():
        return {"dtype": str(value).removeprefix("torch.")}
    raise TypeError(f"a {type(value).__name__} is no argument of a graph")


# --- Reading, on the trusted side -------------------------------------------------------------------------------------


def decode(raw: bytes) -> tuple[list[TensorSpec], list[Graph]]:
    """The tensors and the graphs in ``raw``; raises Refused, and only that, for what ``encode`` never writes."""
    require(len(raw) <= MAX_BYTES, f"{len(raw):,} bytes, where {MAX_BYTES:,} are the most")
    require(raw[:8] == MAGIC and len(raw) >= 16, "these bytes are no graph")
    end = 16 + int.from_bytes(raw[8:16], "little")
    require(end <= min(MAX_HEADER, len(raw)), f"a header of {end:,} bytes")
    try:
        text = raw[16:end].decode("utf-8")
        document = json.loads(text, object_pairs_hook=untag, parse_int=whole, parse_float=finite, parse_constant=no)
        numbers = load_tensors(raw[end:])
    except (ValueError, RecursionError) as error:
        raise Refused(f"a header that is no JSON ({type(error).__name__})") from None
    except (SafetensorError, TypeError, KeyError, RuntimeError, OverflowError) as error:
        raise Refused(f"tensors that are no safetensors ({type(error).__name__})") from None
    tensors, graphs = fields(document, (list, list), "header")
    require(len(tensors) == len(numbers) <= MAX_TENSORS, f"{len(tensors):,} tensors with {len(numbers):,} lists")
    specs = [read_tensor(row, numbers) for row in tensors]
    require(not numbers, "numbers that belong to no tensor")
    require(len(graphs) == len(MODES), "it takes a graph for training and one for testing")
    return specs, [read_graph(row, mode, len(specs)) for row, mode in zip(graphs, MODES, strict=True)]


def no(text: str) -> Any:
    raise Refused(f"{text} in a header")


def whole(text: str) -> int:
    require(len(text) <= 20 and abs(int(text)) < 2**63, "a whole number of more than 64 bits")
    return int(text)


def finite(text: str) -> float:
    require(len(text) <= 40 and math.isfinite(float(text)), "a number too long or too large")
    return float(text)


def untag(pairs: list[tuple[str, Any]]) -> Any:
    """The argument that a dictionary of one key stands for."""
    require(len(pairs) == 1, "a dictionary that is no argument")
    ((tag, value),) = pairs
    if tag == "value":
        require(type(value) is int and value >= 0, "a value without a number")
        return Value(value)
    known = tag in TAGS and isinstance(value, str) and value in TAGS[tag]
    require(known, f"an argument of an unknown kind, {tag[:40]!a}")
    return TAGS[tag][value]


def fields(row: Any, types: tuple[Any, ...], what: str) -> list[Any]:
    """The fields of a row of the header, if they have exactly these types (a bool is no int), or one of a tuple."""
    right = type(row) is list and len(row) == len(types)
    require(right and all(map(has_type, row, types)), f"a {what} is not well formed")
    return row


def has_type(value: Any, types: Any) -> bool:
    return types is object or type(value) in (types if isinstance(types, tuple) else (types,))


def read_tensor(row: Any, numbers: dict[str, Tensor]) -> TensorSpec:
    """A tensor of the header; its numbers are taken out of ``numbers``."""
    role, name, requires_grad, channels_last = fields(row, (str, str, bool, bool), "tensor")
    require(re.fullmatch(r"[A-Za-z0-9_.]{1,120}", name) and name in numbers, "a tensor without a name of its own")
    tensor = numbers.pop(name)
    require(role in ROLES and tensor.dtype in DTYPES.values(), f"tensor {name} has an unknown role or type")
    may_train = role == "parameter" and tensor.is_floating_point()
    require(may_train or not requires_grad, f"tensor {name} cannot be trained")
    require(tensor.dim() == 4 or not channels_last, f"tensor {name} has no channels")
    return TensorSpec(role, name, requires_grad, channels_last, tensor)


def read_graph(row: Any, due: str, tensors: int) -> Graph:
    mode, inputs, rows, output = fields(row, (str, list, list, int), "graph")
    require(mode == due, "it takes a graph for training and one for testing")
    known = all(type(i) is int and 0 <= i < tensors for i in inputs)
    require(known and len(set(inputs)) == len(inputs), "a graph with inputs that are none of its tensors")
    require(len(rows) <= MAX_NODES, f"a graph of {len(rows):,} operators")
    kinds, nodes = ["tensor"] * (1 + len(inputs)), []
    for each in rows:
        nodes.append(read_node(each, kinds))
        kinds.append(nodes[-1].operator.gives)
    require(0 <= output < len(kinds) and kinds[output] == "tensor", "a graph that gives no tensor")
    return Graph(mode, tuple(inputs), tuple(nodes), output)


def read_node(row: Any, kinds: Sequence[str]) -> Node:
    """A node whose arguments fit its operator; ``kinds`` says what the values before it are."""
    name, args, kwargs, grad = fields(row, (str, list, list, (bool, type(None))), "node")
    operator = find(name[:130])
    require(operator, f"the operator {name[:130]!a} is not on the list")
    known = {each.name: each for each in operator.parameters}
    given = [each.name for each in operator.parameters if each.positional][: len(args)]
    require(len(given) == len(args), f"{name} takes fewer arguments")
    for pair in kwargs:
        key, _ = fields(pair, (str, object), "named argument")
        require(key in known and key not in given, f"{name} takes no argument {key[:60]!a} there")
        given.append(key)
    missing = [each.name for each in operator.parameters if each.required and each.name not in given]
    require(not missing, f"{name} lacks an argument")
    node = Node(operator, tuple(args), tuple(map(tuple, kwargs)), grad)
    for each, value in node.arguments():
        require(fits(value, each, kinds), f"{name}: {each.name} has another type")
    return node


def fits(value: Any, parameter: Parameter, kinds: Sequence[str]) -> bool:
    """Whether a value may be that argument of an operator."""
    if value is None and parameter.optional:
        return True
    if not parameter.many:
        return fits_one(value, parameter.kind, kinds)
    if isinstance(value, Value) and parameter.kind == "tensor":
        return value.index < len(kinds) and kinds[value.index] == "tensors"
    if type(value) is not list:
        return parameter.single and fits_one(value, parameter.kind, kinds)
    nothing = parameter.kind == "tensor" and parameter.optional  # an index left open, as in x[:, i]
    return len(value) <= MAX_LIST and all(
        fits_one(each, parameter.kind, kinds) or (nothing and each is None) for each in value
    )


def fits_one(value: Any, kind: str, kinds: Sequence[str]) -> bool:
    if isinstance(value, Value):
        given = kinds[value.index] if value.index < len(kinds) else None
        return given == kind or (given == "number" and kind in ("int", "float", "bool", "number", "tensor"))
    return type(value) in TYPES[kind] and (kind != "str" or (len(value) <= 200 and value.isascii()))
