"""A model becomes a graph: torch.export of what it does in training and in testing, as bytes (see grading/wire.py).

This runs where the model's code runs. What it hands back is taken for hostile on the other side; the checks here are
for the author, who must not get a graph that does something else than the code. What is rare is refused: the model is
then graded by running its code, and not verified.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import inspect
import linecache
import logging
import math
import os
import random
import re
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

import mnist_efficient_model as challenge
from grading import graph, wire
from grading.operators import find
from grading.wire import Value

HINT = 6  # images of the trace whose number is left open
OWN_GRADIENTS = "Build it of PyTorch's own operations, whose gradients PyTorch knows, without backward hooks."
ON_VALUES = "Replace if, while, float() and .item() on values of tensors by torch.where or clamp."
NO_JIT = "Hand in the nn.Module itself, without torch.jit."
ANY_NUMBER = "Make forward do the same for any number of images."
TORCH_RANDOM = "Draw random numbers in forward with torch.rand or nn.Dropout only."
OPTIMIZER_ONLY = "Leave weights to the optimizer; nn.utils.parametrizations.weight_norm and weight_decay bound them."


class NotAGraph(Exception):
    """The model cannot become a graph: one plain sentence why, with its line where that is known, and advice."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


def export(model: nn.Module, batch_sizes: Sequence[int]) -> bytes:
    """The model's graphs as bytes, which hold for each of these numbers of images. Raises NotAGraph.

    The model is run once in eval mode, as the engine does before it trains.
    """
    numpys = [each for each in gc.get_objects() if issubclass(type(each), np.random.BitGenerator)]
    states, drawn = random_states(numpys), []
    try:
        model = getattr(model, "_orig_mod", model)  # of torch.compile
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            raise NotAGraph("it is compiled by torch.jit: hand in the nn.Module that torch.jit was given", NO_JIT)
        with quiet(), torch.compiler.set_stance("force_eager"):
            with torch.random.fork_rng([]):
                refuse_own_backward(set_mode(model, "eval")(torch.zeros(2, 1, challenge.SIDE, challenge.SIDE)))
            encoder = Encoder(model)
            for mode in wire.MODES:
                encoder.add(mode, run_export(set_mode(model, mode), max(batch_sizes)))
            raw = wire.encode(encoder.tensors, encoder.graphs)
            program = encoder.read(raw)
            with noticing_draws(drawn):
                check(model, program, encoder, 1 in batch_sizes)
        return raw
    except NotAGraph:
        raise
    except Exception as error:
        raise described(error) from error
    finally:  # here, so that the verdict and its reason do not depend on what was drawn
        if drawn or states != random_states(numpys):
            reason = "it draws random numbers by Python's random or numpy, or at another time than when it runs"
            raise NotAGraph(reason, TORCH_RANDOM)


def random_states(numpys: Sequence[np.random.BitGenerator]) -> tuple[Any, ...]:
    """The states of Python's and PyTorch's own generators, and of these of numpy's."""
    return random.getstate(), torch.random.get_rng_state().tolist(), str([each.state for each in numpys])


@contextlib.contextmanager
def noticing_draws(drawn: list[Any]) -> Iterator[None]:
    """Append the calls of any generator of Python's, and of what seeds a new one of numpy's."""

    def notice(frame: Any, event: str, called: Any) -> None:
        if event == "c_call" and (called is os.urandom or isinstance(getattr(called, "__self__", None), random.Random)):
            drawn.append(called)

    sys.setprofile(notice)
    try:
        yield
    finally:
        sys.setprofile(None)


def set_mode(model: nn.Module, mode: str) -> nn.Module:
    """The model in its mode for training or testing, even where its own ``train`` is another method of that name."""
    try:
        return model.train(mode == "train")
    except TypeError:
        for module in model.modules():
            module.training = mode == "train"
        return model


def run_export(model: nn.Module, most: int) -> ExportedProgram:
    """A trace that holds for 2 to ``most`` images; that 1 is a number of its own is PyTorch's rule, see ``check``."""
    images = torch.zeros(HINT, 1, challenge.SIDE, challenge.SIDE)
    shapes = ({0: Dim("images", min=2, max=max(most, HINT))},)
    count = len

    def open_len(value: Any) -> Any:  # else len(images) would be the number of the trace
        return value.shape[0] if isinstance(value, Tensor) and value.dim() else count(value)

    with torch.random.fork_rng([]), mock.patch.object(builtins, "len", open_len):
        return torch.export.export(model, (images,), dynamic_shapes=shapes, strict=False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what PyTorch's tracer warns of, logs and prints to itself: the sentence of NotAGraph tells what matters."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                yield
    finally:
        logging.disable(disabled)


# --- From torch.export's graph to ours --------------------------------------------------------------------------------


class Flat(NamedTuple):
    """A node on its way: it names images as value 0, tensors as -1 - index, and other nodes as 1 + index."""

    name: str
    args: Any
    kwargs: dict[str, Any]
    grad: bool | None
    where: str  # line of the student's code, or ""

    def named(self) -> Iterator[int]:
        return graph.values_in([self.args, list(self.kwargs.values())])


class Encoder:
    """Collects the tensors and the graphs of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.named = {
            **dict(model.named_buffers(remove_duplicate=False)),
            **dict(model.named_parameters(remove_duplicate=False)),
        }
        self.tensors: list[tuple[str, str, Tensor]] = [("parameter", name, p) for name, p in model.named_parameters()]
        self.graphs: list[list[Any]] = []
        self.lines: list[list[str]] = []

    def add(self, mode: str, program: ExportedProgram) -> None:
        """Add the graph of one program."""
        specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        environment, given = {}, []
        for node in program.graph.nodes:
            if node.op == "placeholder":
                spec = specs[node.name]
                user = spec.kind is InputKind.USER_INPUT
                environment[node] = Value(0 if user else -1 - len(given))
                given += [] if user else [spec]
        rows: list[Flat] = []
        (output,) = flatten(program.graph_module, environment, None, rows)
        kept = self.needed(rows, output.index, [spec.target for spec in given])
        read = {value for i in kept for value in rows[i].named() if value < 0} | {min(output.index, 0)}
        tensors = {value: self.tensor(program, given[-1 - value]) for value in sorted(read - {0}, reverse=True)}
        inputs = sorted(set(tensors.values()))
        place_of = {tensor: 1 + place for place, tensor in enumerate(inputs)}
        numbers = {0: 0, **{value: place_of[tensor] for value, tensor in tensors.items()}}
        numbers.update((1 + i, 1 + len(inputs) + place) for place, i in enumerate(kept))
        nodes = [
            [row.name, plain(row.args, numbers), [[k, plain(v, numbers)] for k, v in row.kwargs.items()], row.grad]
            for row in (rows[i] for i in kept)
        ]
        self.graphs.append([mode, inputs, nodes, numbers[output.index]])
        self.lines.append([rows[i].where for i in kept])

    def needed(self, rows: list[Flat], output: int, names: list[str]) -> list[int]:
        """The nodes that the result depends on, or that change a tensor or the random state.

        BatchNorm's count of batches is left out, as is any buffer that nothing reads.
        """
        wanted, kept = {output}, []
        for i, row in reversed(list(enumerate(rows))):
            known = find(row.name)
            has_effect = known.has_effect if known else is_mutable(row.name)
            counts = row.name == "aten.add_.Tensor" and row.args[0].index < 0
            counts = counts and names[-1 - row.args[0].index].endswith("num_batches_tracked")
            if 1 + i in wanted or (has_effect and not counts):
                if not known:
                    raise NotAGraph(f"the operator {row.name} is none that a graph may hold{row.where}")
                wanted.update(row.named())
                kept.append(i)
        return kept[::-1]

    def tensor(self, program: ExportedProgram, spec: Any) -> int:
        """The index of a tensor that a program takes, added to the list where it is new."""
        found = self.named.get(spec.target) if spec.kind is not InputKind.CONSTANT_TENSOR else None
        value = found if found is not None else program.constants[spec.target]
        if not isinstance(value, Tensor) or value.device.type != "cpu" or value.layout is not torch.strided:
            raise NotAGraph(f"its tensor {spec.target} is no plain tensor on the CPU")
        constant = found is None
        for i, (role, _, known) in enumerate(self.tensors):
            if known is value or (constant and role == "constant" and same(known, value)):
                return i
            if known.numel() and known.untyped_storage().data_ptr() == value.untyped_storage().data_ptr():
                raise NotAGraph(f"its tensors {self.tensors[i][1]} and {spec.target} share their memory")
        self.tensors.append(("constant" if constant else "buffer", spec.target, value))
        return len(self.tensors) - 1

    def read(self, raw: bytes) -> graph.Program:
        """The program as the grader will read it; raises NotAGraph, with the line if it is known, or Refused."""
        try:
            return graph.read(raw)
        except wire.Refused as refused:
            if not refused.place:
                raise
            number, node = refused.place
            raise NotAGraph(f"{refused}{self.lines[number][node]}", OPTIMIZER_ONLY) from None


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def plain(value: Any, numbers: dict[int, int]) -> Any:
    """An argument with its values numbered anew."""
    if isinstance(value, Value):
        return Value(numbers[value.index])
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}  # JSON has no such number
    return [plain(each, numbers) for each in value] if isinstance(value, (list, tuple)) else value


SILENT = ("_assert", "sym_constrain_range", "_assert_tensor_metadata")  # checks of the tracer's own
CHANGES_NO_NUMBER = (torch.device, torch.layout, torch.memory_format)  # arguments of these types


def flatten(module: torch.fx.GraphModule, environment: dict[Any, Any], grad: bool | None, rows: list[Flat]) -> Any:
    """Append a module's nodes, with the graphs inside ``no_grad`` blocks in their places; returns what it returns."""

    def value(argument: Any) -> Any:
        return torch.fx.node.map_arg(argument, lambda node: environment[node])

    for node in module.graph.nodes:
        if node.op == "output":
            return value(node.args[0])
        if node.op == "get_attr":
            environment[node] = getattr(module, node.target)
        if node.op != "call_function":
            continue
        args, kwargs = value(node.args), value(node.kwargs)
        name = getattr(node.target, "__name__", str(node.target))
        if name == "wrap_with_set_grad_enabled":
            enabled, inner, *rest = args
            places = [each for each in inner.graph.nodes if each.op == "placeholder"]
            environment[node] = flatten(inner, dict(zip(places, rest, strict=True)), enabled, rows)
        elif name == "getitem" and not isinstance(args[0], Value):
            environment[node] = args[0][args[1]]
        elif isinstance(node.target, torch._ops.OpOverload) and node.target._opname.startswith(SILENT):
            environment[node] = None
        else:
            if isinstance(node.target, torch._ops.OpOverload):
                name = str(node.target)
                kwargs = {k: v for k, v in kwargs.items() if v is not None and not isinstance(v, CHANGES_NO_NUMBER)}
                kwargs.pop("pin_memory", None)
            elif name != "getitem":
                name = f"math.{name.removeprefix('sym_')}"
            rows.append(Flat(name, args, kwargs, grad, line_of(node)))
            environment[node] = Value(len(rows))
    return ()


def is_mutable(name: str) -> bool:
    """Whether an operator that is not on the list writes to its arguments."""
    package, _, rest = name.partition(".")
    packet, _, overload = rest.partition(".")
    call = getattr(getattr(getattr(torch.ops, package, None), packet, None), overload, None)
    return isinstance(call, torch._ops.OpOverload) and call._schema.is_mutable


# --- Is the graph what the code does? ---------------------------------------------------------------------------------


def check(model: nn.Module, program: graph.Program, encoder: Encoder, alone: bool) -> None:
    """Raise NotAGraph unless graph and code give the same outputs and gradients, twice in training and once in testing.

    With ``alone`` also for a single image, which the trace took for no different from several. The model's tensors are
    what they were afterwards.
    """
    copied, mine = graph.GraphModel(program), [*(tensor for _, _, tensor in encoder.tensors), *model.buffers()]
    start = [tensor.detach().clone() for tensor in mine]
    set_numbers(copied.tensors(), start[: len(encoder.tensors)])
    parameters = [tensor for role, _, tensor in encoder.tensors if role == "parameter"]
    for step, (mode, size) in enumerate((("train", HINT), ("train", HINT), ("eval", HINT), ("eval", 1))):
        if size == 1 and not alone:
            continue
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(size, 1, challenge.SIDE, challenge.SIDE, generator=generator) + step - 1
        outputs = [answer(each, mode, images) for each in (model, copied)]
        gradients = [(p.grad, q.grad) for p, q in zip(parameters, copied.parameters(), strict=True)]
        if not near(*outputs):
            why = "a single image is another case in it" if size == 1 else "something in Python changes between calls"
            raise NotAGraph(f"its graph has other outputs than its code: {why}")
        if mode == "train" and not all(near(*pair) for pair in gradients):
            raise NotAGraph("its graph has other gradients than its code: a hook changes them", OWN_GRADIENTS)
    set_numbers(mine, start)


def set_numbers(tensors: Sequence[Tensor], numbers: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for tensor, value in zip(tensors, numbers, strict=True):
            if not same(tensor, value):
                tensor.copy_(value)


def answer(model: nn.Module, mode: str, images: Tensor) -> Tensor:
    """The logits of images; in training the gradients are left in the parameters."""
    set_mode(model, mode).zero_grad(set_to_none=True)
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        logits = model(images.clone())
    if mode == "train" and logits.requires_grad:
        refuse_own_backward(logits)
        F.cross_entropy(logits.float(), torch.arange(len(images)) % challenge.CLASSES).backward()
    return logits


def near(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors agree within rounding; a gradient that is not there counts as zero."""
    if a is None or b is None:
        return all(each is None or not each.any() for each in (a, b))
    a, b = a.detach(), b.detach()
    scale = float(a.abs().nan_to_num().max()) if a.numel() else 0.0
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)


def refuse_own_backward(output: Any) -> None:
    """Raise NotAGraph where a custom autograd.Function took part: the graph would not hold its backward."""
    seen, waiting = set(), [getattr(output, "grad_fn", None)]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
        own = getattr(node, "_forward_cls", None)
        if own is not None and own is not nn.modules._functions.BackwardHookFunction:
            where = ""
            with contextlib.suppress(OSError, TypeError):
                where = at((inspect.getsourcefile(own) or "", inspect.getsourcelines(own)[1]))
            raise NotAGraph(f"it has a backward of its own, autograd.Function {own.__name__}{where}", OWN_GRADIENTS)


# --- What to tell its author ------------------------------------------------------------------------------------------

OURS = tuple(str(Path(p).resolve()) for p in (
    Path(torch.__file__).parent, *(sysconfig.get_path(p) for p in ("stdlib", "platstdlib", "purelib", "platlib")),
    Path(__file__).parent.parent, challenge.__file__,
))  # fmt: skip


def at(line: tuple[str, int]) -> str:
    """`` (net.py, line 12: x = x.item())``."""
    text = linecache.getline(*line).strip()[:100]
    return f" ({Path(line[0]).name}, line {line[1]}{': ' if text else ''}{text})"


def last_of_theirs(lines: list[tuple[str, int]]) -> str:
    """The last of these lines (file, number) that is the author's, or nothing."""
    theirs = [
        line for line in lines if not line[0].startswith("<") and not str(Path(line[0]).resolve()).startswith(OURS)
    ]
    return at(theirs[-1]) if theirs else ""


def line_of(node: torch.fx.Node) -> str:
    """The line of the author's code that a node of torch.export comes from."""
    lines = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    return last_of_theirs([(file, int(line)) for file, line in lines])


def described(error: Exception) -> NotAGraph:
    """One plain sentence on an exception of the tracer or of the code itself."""
    where = last_of_theirs([(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)])
    name, text = type(error).__name__, str(error)
    if "DataDependent" in name or "data-dependent" in text:
        return NotAGraph(f"what it does depends on numbers in a tensor{where}", ON_VALUES)
    if "Constraints violated" in text:
        return NotAGraph(f"what it does depends on the number of images{where}", ANY_NUMBER)
    if "fake tensor in the exported program" in text:
        return NotAGraph(f"it keeps a tensor from one call to the next{where}")
    if isinstance(error, wire.Refused):
        return NotAGraph(f"its graph is refused: {error}")
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return NotAGraph(f"it cannot be traced: {name}{': ' if first else ''}{first[:200]}{where}")
