"""A graph as bytes: a header in JSON, then the tensors' numbers as they lie in memory. Nothing is unpickled.

    b"GRAPH01\\n"  length of the header (8 bytes, little endian)  header  numbers of all tensors, one after the other

The header is ``[tensors, graphs]`` with

    tensor  [role, name, dtype, shape, strides, requires_grad]
    graph   [mode, batch size or null for any, [inputs: indices of tensors], [nodes], [node or input that is returned]]
    node    [operator, [arguments], [[name, argument], ...], grad: true or false inside such a block, else null]

Value 0 of a graph is its images, values 1 to k are its inputs, the others its nodes in their order. An argument is
null, true, false, a number, a string, a list of arguments, or one of {"value": i}, {"float": "inf"},
{"complex": [re, im]}, {"dtype": "float32"}, {"device": "cpu"}, {"layout": "strided"}, {"memory_format":
"channels_last"}.

``decode`` takes the bytes for hostile. It raises Refused and nothing else, computes no tensor, and holds at most the
bytes themselves and about 40 times the header: MAX_HEADER bounds that to 160 MB.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .operators import Operator, Parameter, find

MAGIC = b"GRAPH01\n"
MAX_BYTES, MAX_HEADER = 1 << 30, 4 << 20
MAX_TENSORS, MAX_GRAPHS, MAX_NODES, MAX_LIST = 10_000, 64, 50_000, 20_000  # nodes of all graphs together
MAX_DIMENSIONS, MAX_SIZE, MAX_STRING = 8, 1 << 31, 200
ROLES, MODES = ("parameter", "buffer", "constant"), ("train", "eval")
DTYPES = {
    name: getattr(torch, name)
    for name in "float32 float64 float16 bfloat16 complex64 complex128 int64 int32 int16 int8 uint8 bool".split()
}
MEMORY_FORMATS = {
    name: getattr(torch, name) for name in ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format")
}
FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
TAGS = {"dtype": DTYPES, "memory_format": MEMORY_FORMATS, "layout": {"strided": torch.strided},
        "device": {"cpu": torch.device("cpu")}, "float": FLOATS}  # fmt: skip


class Refused(Exception):
    """Bytes that are no graph, or none that is allowed: Refused(one plain sentence)."""


def require(condition: Any, sentence: str) -> None:
    if not condition:
        raise Refused(sentence)


@dataclass(frozen=True, slots=True)
class Value:
    """The result of a node, or an input of the graph, as an argument."""

    index: int


class TensorSpec(NamedTuple):
    """A tensor of the model, its numbers still bytes."""

    role: str  # parameter, buffer, constant; read() makes some buffers "statistics"
    name: str  # ASCII: letters, digits, dots, underscores
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # dense: a permutation of the dimensions
    requires_grad: bool
    data: memoryview  # as it lies in memory

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


class Node(NamedTuple):
    operator: Operator
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    grad: bool | None  # inside ``no_grad`` (False), ``enable_grad`` (True), neither


class Graph(NamedTuple):
    mode: str
    batch: int | None  # the only number of images that it takes; None: any
    inputs: tuple[int, ...]  # tensors
    nodes: tuple[Node, ...]
    output: int  # a value


# --- Writing, where the model was built -------------------------------------------------------------------------------


def encode(tensors: Sequence[tuple[str, str, Tensor]], graphs: Sequence[list[Any]]) -> bytes:
    """The bytes of tensors (role, name, numbers) and of graphs, whose arguments are Python's and PyTorch's own."""
    rows, numbers, names = [], [], set()
    for role, name, tensor in tensors:
        name = plain_name(name, names)
        flat, strides = dense(tensor.detach())
        dtype = str(tensor.dtype).removeprefix("torch.")
        rows.append(
            [role, name, dtype, list(tensor.shape), list(strides), role == "parameter" and tensor.requires_grad]
        )
        numbers.append(flat)
    header = json.dumps([rows, graphs], separators=(",", ":"), default=tagged).encode()
    return b"".join([MAGIC, len(header).to_bytes(8, "little"), header, *numbers])


def plain_name(name: str, taken: set[str]) -> str:
    """The name in the letters that a name may have, and not yet taken."""
    plain = re.sub(r"[^A-Za-z0-9_.]", "_", name)[:100] or "_"
    plain = next(p for p in (plain, *(f"{plain}.{i}" for i in range(2, len(taken) + 3))) if p not in taken)
    taken.add(plain)
    return plain


def dense(tensor: Tensor) -> tuple[bytes, tuple[int, ...]]:
    """The numbers of a tensor as they lie in memory, and its strides; a tensor with gaps is copied first."""
    tensor = tensor.resolve_conj().resolve_neg()
    if not are_dense(tensor.shape, tensor.stride()):
        tensor = tensor.contiguous()
    if not tensor.numel():
        return b"", tensor.stride()
    flat = tensor.as_strided((tensor.numel(),), (1,))
    return flat.view(torch.uint8).numpy().tobytes(), tensor.stride()


def are_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether strides lay the elements of a shape next to each other in some order of the dimensions."""
    expected = 1
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size != 1):
        if stride != expected and math.prod(shape):
            return False
        expected *= size
    return True


def tagged(value: Any) -> dict[str, Any]:
    """An argument that JSON has no type for, as a dictionary of one key; TypeError if no graph may hold it."""
    if isinstance(value, Value):
        return {"value": value.index}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    for tag, values in TAGS.items():
        for name, each in values.items():
            if type(each) is type(value) and each == value:
                return {tag: name}
    raise TypeError(f"{type(value).__name__} {value}")


# --- Reading, on the trusted side -------------------------------------------------------------------------------------


def decode(raw: bytes) -> tuple[list[TensorSpec], list[Graph]]:
    """The tensors and the graphs in ``raw``; raises Refused, and only that, for what ``encode`` never writes."""
    require(isinstance(raw, (bytes, bytearray, memoryview)), "no bytes")
    require(len(raw) <= MAX_BYTES, f"{len(raw):,} bytes, where {MAX_BYTES:,} are the most")
    require(bytes(raw[:8]) == MAGIC and len(raw) >= 16, "these bytes are no graph")
    length = int.from_bytes(raw[8:16], "little")
    require(length <= min(MAX_HEADER, len(raw) - 16), f"a header of {length:,} bytes")
    try:
        text = bytes(raw[16 : 16 + length]).decode("utf-8")
        document = json.loads(text, object_pairs_hook=untag, parse_int=whole, parse_float=finite, parse_constant=no)
    except (ValueError, RecursionError) as error:
        raise Refused(f"a header that is no JSON ({type(error).__name__})") from None
    tensors, graphs = fields(document, (list, list), "header")
    require(len(tensors) <= MAX_TENSORS, f"{len(tensors):,} tensors")
    require(len(graphs) <= MAX_GRAPHS, f"{len(graphs):,} graphs")
    specs = read_tensors(tensors, memoryview(raw)[16 + length :])
    parsed = [read_graph(row, specs) for row in graphs]
    require(sum(len(graph.nodes) for graph in parsed) <= MAX_NODES, f"more than {MAX_NODES:,} operators")
    return specs, parsed


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
    if tag == "complex":
        require(type(value) is list and [*map(type, value)] == [float, float], "a complex number without two parts")
        return complex(*value)
    require(
        tag in TAGS and isinstance(value, str) and value in TAGS[tag], f"an argument of an unknown kind, {tag[:40]!a}"
    )
    return TAGS[tag][value]


def fields(row: Any, types: tuple[Any, ...], what: str) -> list[Any]:
    """The fields of a row of the header, if they have exactly these types (a bool is no int), or one of a tuple."""
    right = type(row) is list and len(row) == len(types)
    require(right and all(map(has_type, row, types)), f"a {what} is not well formed")
    return row


def has_type(value: Any, types: Any) -> bool:
    return types is object or type(value) in (types if isinstance(types, tuple) else (types,))


def read_tensors(rows: list[Any], data: memoryview) -> list[TensorSpec]:
    """The tensors of the header, each with its part of the bytes, all of which must be used."""
    specs, names, start = [], set(), 0
    for row in rows:
        role, name, dtype, shape, strides, requires_grad = fields(row, (str, str, str, list, list, bool), "tensor")
        require(role in ROLES and dtype in DTYPES, "a tensor of an unknown role or type")
        require(re.fullmatch(r"[A-Za-z0-9_.]{1,120}", name) and name not in names, "a tensor without a name of its own")
        names.add(name)
        require(len(shape) == len(strides) <= MAX_DIMENSIONS, f"tensor {name} has too many dimensions")
        sizes = all(type(n) is int and 0 <= n <= MAX_SIZE for n in (*shape, *strides))
        require(sizes and are_dense(shape, strides), f"tensor {name} has impossible sizes or strides")
        may_train = role == "parameter" and (DTYPES[dtype].is_floating_point or DTYPES[dtype].is_complex)
        require(may_train or not requires_grad, f"tensor {name} cannot be trained")
        end = start + math.prod(shape) * DTYPES[dtype].itemsize
        require(end <= len(data), f"tensor {name} lacks numbers")
        numbers = data[start:end]
        specs.append(TensorSpec(role, name, DTYPES[dtype], tuple(shape), tuple(strides), requires_grad, numbers))
        start = end
    require(start == len(data), "numbers that belong to no tensor")
    return specs


def read_graph(row: Any, tensors: Sequence[TensorSpec]) -> Graph:
    mode, batch, inputs, rows, output = fields(row, (str, (int, type(None)), list, list, int), "graph")
    require(mode in MODES, "a graph for neither training nor testing")
    require(
        batch is None or (type(batch) is int and 0 < batch < MAX_SIZE), "a graph for an impossible number of images"
    )
    known = all(type(i) is int and 0 <= i < len(tensors) for i in inputs)
    require(known and len(set(inputs)) == len(inputs), "a graph with inputs that are none of its tensors")
    require(len(rows) <= MAX_NODES, f"a graph of {len(rows):,} operators")
    kinds = ["tensor"] * (1 + len(inputs))
    nodes = []
    for each in rows:
        node = read_node(each, kinds)
        nodes.append(node)
        kinds.append(node.operator.gives)
    require(0 <= output < len(kinds) and kinds[output] == "tensor", "a graph that gives no tensor")
    return Graph(mode, batch, tuple(inputs), tuple(nodes), output)


def read_node(row: Any, kinds: Sequence[str]) -> Node:
    """A node whose arguments fit its operator; ``kinds`` says what the values before it are."""
    name, args, kwargs, grad = fields(row, (str, list, list, (bool, type(None))), "node")
    operator = find(name[:130])
    require(operator, f"the operator {name[:130]!a} is not on the list")
    positional = [p for p in operator.parameters if p.positional]
    named = {p.name: p for p in operator.parameters}
    require(len(args) <= len(positional), f"{name} takes fewer arguments")
    given = dict(zip([p.name for p in positional], args))  # noqa: B905  # fewer arguments than parameters
    for pair in kwargs:
        key, value = fields(pair, (str, object), "named argument")
        require(key in named and key not in given, f"{name} takes no argument {key[:60]!a} there")
        given[key] = value
    for each in operator.parameters:
        require(each.name in given or not each.required, f"{name} lacks its argument {each.name}")
        require(each.name not in given or fits(given[each.name], each, kinds), f"{name}: {each.name} has another type")
    return Node(operator, tuple(args), tuple((key, value) for key, value in kwargs), grad)


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


NUMERIC = (int, float, bool, complex)
TYPES = {
    "int": (int,), "float": (int, float), "bool": (bool,), "number": NUMERIC, "str": (str,), "dtype": (torch.dtype,),
    "device": (torch.device,), "layout": (torch.layout,), "memory_format": (torch.memory_format,),
    "tensor": NUMERIC,  # which ATen takes for a tensor without dimensions
    "tensors": (), "nothing": (),
}  # fmt: skip


def fits_one(value: Any, kind: str, kinds: Sequence[str]) -> bool:
    if isinstance(value, Value):
        given = kinds[value.index] if value.index < len(kinds) else None
        return given == kind or (given == "number" and kind in ("int", "float", "bool", "number", "tensor"))
    return type(value) in TYPES[kind] and (kind != "str" or (len(value) <= MAX_STRING and value.isascii()))
