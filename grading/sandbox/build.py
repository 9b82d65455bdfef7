"""A model becomes a graph: torch.export of what it does in training and in testing, as bytes (see grading/wire.py).

This runs where the model's code runs. What it hands back is taken for hostile on the other side; the checks here are
for the author, who must not get a graph that does something else than the code.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import logging
import math
import operator
import os
import re
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

import mnist_efficient_model as challenge
from grading import graph, wire
from grading.operators import find
from grading.wire import Value

HINT = 6  # images of the trace whose number is left open
CUMULATIVE = 1.0 / 3 + 2.0**-40  # stands for the momentum of a BatchNorm that has none, while it is traced


OWN_GRADIENTS = "Build it of PyTorch's own operations, whose gradients PyTorch knows, without backward hooks."
ON_VALUES = "Replace if, while, float() and .item() on values of tensors by torch.where or clamp."
NO_JIT = "Hand in the nn.Module itself, without torch.jit."


class NotAGraph(Exception):
    """The model cannot become a graph: one plain sentence why, with its line where that is known, and advice."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


def export(model: nn.Module, batch_sizes: Sequence[int]) -> bytes:
    """The model's graphs as bytes, for any number of images or, where its code depends on it, for each of these.

    The model is run once in eval mode, as the engine does before it trains. Raises NotAGraph.
    """
    try:
        model = unwrap(model)
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            raise NotAGraph("it is compiled by torch.jit: hand in the nn.Module that torch.jit was given", NO_JIT)
        with torch.random.fork_rng([]):
            set_mode(model, "eval")(torch.zeros(2, 1, challenge.SIDE, challenge.SIDE))
        encoder = Encoder(model)
        with quiet(), traceable(model) as taken:
            for mode in wire.MODES:
                for batch, program in trace(set_mode(model, mode), batch_sizes):
                    encoder.add(mode, batch, program)
        raw = encoder.encode()
        program = graph.read(raw)
        check(model, program, encoder, taken)
        alone = 1 in batch_sizes and differs_for_one(model, program)
        restore([tensor for _, _, tensor in encoder.tensors], program)
        if alone:
            with quiet(), traceable(model):
                encoder.add("eval", 1, run_export(set_mode(model, "eval"), 1, dynamic=False))
            raw = encoder.encode()
            graph.read(raw)
    except NotAGraph:
        raise
    except Exception as error:
        raise NotAGraph(sentence(error)) from error
    return raw


def set_mode(model: nn.Module, mode: str) -> nn.Module:
    """The model in its mode for training or testing, even where its own ``train`` is another method of that name."""
    try:
        return model.train(mode == "train")
    except TypeError:
        for module in model.modules():
            module.training = mode == "train"
        return model


# --- Tracing ----------------------------------------------------------------------------------------------------------


def trace(model: nn.Module, batch_sizes: Sequence[int]) -> Iterator[tuple[int | None, ExportedProgram]]:
    """One program for any number of images, or one for each size at which the model runs."""
    open_error = None
    try:
        program = run_export(model, HINT, dynamic=True)
        if is_open(program, batch_sizes):
            yield None, program
            return
    except Exception as error:
        if is_about_numbers(error):
            raise
        open_error = error
    found, errors = 0, [open_error]
    for batch in dict.fromkeys(batch_sizes):
        try:
            yield batch, run_export(model, batch, dynamic=False)
            found += 1
        except Exception as error:  # such as BatchNorm in training with one image: it fails there in any case
            errors.append(error)
    if not found:
        raise next(filter(None, errors), NotAGraph("there is no batch size to trace it for"))


def run_export(model: nn.Module, batch: int, dynamic: bool) -> ExportedProgram:
    images = torch.zeros(batch, 1, challenge.SIDE, challenge.SIDE)
    shapes = ({0: Dim.AUTO},) if dynamic else None
    with torch.random.fork_rng([]):
        return torch.export.export(model, (images,), dynamic_shapes=shapes, strict=False)


def is_open(program: ExportedProgram, batch_sizes: Sequence[int]) -> bool:
    """Whether the trace holds for all of these numbers of images: none of its guards says otherwise."""
    images = next(
        n for n in program.graph.nodes if n.op == "placeholder" and n.name in program.graph_signature.user_inputs
    )
    size = images.meta["val"].shape[0]
    if not isinstance(size, torch.SymInt):
        return False
    symbol, environment = size.node.expr, images.meta["val"].fake_mode.shape_env
    sizes = [n for n in batch_sizes if n > 1]  # that 1 is no size to guard for is PyTorch's rule, see ``check``
    low, high = (environment.bound_sympy(symbol).lower, environment.bound_sympy(symbol).upper)
    guards = [guard.expr for guard in environment.guards]
    return all(low <= n <= high and all(guard.subs(symbol, n) != False for guard in guards) for n in sizes)  # noqa: E712


@contextlib.contextmanager
def traceable(model: nn.Module) -> Iterator[list[str]]:
    """Make traceable what torch.export refuses though a graph can hold it; undone afterwards.

    ``tensor.data`` is read as ``detach()`` and set as a copy in place; a number that was taken from a tensor prints as
    nan; compiled functions run as they were written; BatchNorm's cumulative average gets a momentum that the encoder
    knows again; backward hooks are left out here and looked at by ``check``, and so is what becomes of the numbers
    that ``float(tensor)`` and ``tensor.numpy()`` took, at the lines that are listed.
    """
    taken: list[str] = []

    def assign(self: Tensor, value: Tensor) -> None:
        with torch.no_grad():
            self.copy_(value)

    def refuse(self: Tensor, hook: Any) -> None:
        raise NotAGraph(f"it changes gradients by a hook{at(here())}", OWN_GRADIENTS)

    data = property(lambda self: self.detach(), assign)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.momentum is None]
    hooked = [m for m in model.modules() if m._backward_hooks or m._backward_pre_hooks]
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(mock.patch.object(Tensor, "data", data, create=True))
        stack.enter_context(mock.patch.object(Tensor, "register_hook", refuse))
        stack.enter_context(
            mock.patch.object(torch.SymFloat, "__format__", lambda self, spec: format(math.nan, spec), create=True)
        )
        for name, stand_in in (("__float__", lambda _: math.nan), ("numpy", array_of_nan)):
            stack.enter_context(mock.patch.object(Tensor, name, taking(getattr(Tensor, name), stand_in, taken)))
        for module in norms:
            stack.enter_context(mock.patch.object(module, "momentum", CUMULATIVE))
        for module in hooked:
            stack.enter_context(mock.patch.object(module, "_backward_hooks", type(module._backward_hooks)()))
            stack.enter_context(mock.patch.object(module, "_backward_pre_hooks", type(module._backward_pre_hooks)()))
        yield taken


def taking(method: Callable[..., Any], stand_in: Callable[[Tensor], Any], taken: list[str]) -> Callable[..., Any]:
    """A method of Tensor that takes its numbers: with a stand-in while they are open, at a line that is then noted."""

    def take(self: Tensor, **options: Any) -> Any:
        if not isinstance(self, FakeTensor):
            return method(self, **options)
        if self.constant is not None:
            return method(self.constant, **options)
        taken.append(at(here()))
        return stand_in(self)

    return take


def array_of_nan(tensor: Tensor) -> np.ndarray:
    return np.full([size if type(size) is int else HINT for size in tensor.shape], math.nan, np.float32)


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


def unwrap(model: nn.Module) -> nn.Module:
    """The model as it was before torch.compile, its modules too."""
    compiled = torch._dynamo.eval_frame.OptimizedModule
    if isinstance(model, compiled):
        model = model._orig_mod
    for module in model.modules():
        module._compiled_call_impl = None
        for name, child in list(module._modules.items()):
            if isinstance(child, compiled):
                module._modules[name] = unwrap(child)
    return model


# --- From torch.export's graph to ours --------------------------------------------------------------------------------


class Flat(NamedTuple):
    """A node on its way: its arguments name other nodes by their keys."""

    key: Any
    name: str
    args: Any
    kwargs: dict[str, Any]
    grad: bool | None
    where: str  # line of the student's code, or ""


@dataclass(frozen=True)
class Key:
    """The result of a node, or a tensor, before values are numbered."""

    what: Any


class Encoder:
    """Collects the tensors and the graphs of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.named = {
            **dict(model.named_buffers(remove_duplicate=False)),
            **dict(model.named_parameters(remove_duplicate=False)),
        }
        self.tensors: list[tuple[str, str, Tensor]] = [("parameter", name, p) for name, p in model.named_parameters()]
        self.index = {id(p): i for i, (_, _, p) in enumerate(self.tensors)}
        self.constants: dict[Any, int] = {}  # by content
        self.graphs: list[list[Any]] = []
        for name, parameter in model.named_parameters():
            if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
                raise NotAGraph(f"its parameter {name} has a hook that may change gradients", OWN_GRADIENTS)

    def add(self, mode: str, batch: int | None, program: ExportedProgram) -> None:
        """Add the graph of one program."""
        flattener = Flattener(program)
        needed = flattener.needed()
        sources = flattener.sources(needed)
        inputs = [self.tensor(program, spec) for spec in sources]
        numbers = {
            Key(("input", spec.arg.name)): i for spec, i in zip(sources, range(1, len(sources) + 1), strict=True)
        }
        numbers[Key("images")] = 0
        numbers.update((node.key, i) for i, node in enumerate(needed, 1 + len(sources)))

        def plain(value: Any) -> Any:
            if isinstance(value, Key):
                return Value(numbers[value])
            if isinstance(value, float) and not math.isfinite(value):
                return {"float": repr(value)}  # JSON has no such number
            return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

        rows = [[n.name, plain(n.args), [[k, plain(v)] for k, v in n.kwargs.items()], n.grad] for n in needed]
        if len(set(inputs)) < len(inputs):  # tied tensors come once for each name
            unique = list(dict.fromkeys(inputs))
            moved = {0: 0, **{i: 1 + unique.index(tensor) for i, tensor in enumerate(inputs, 1)}}
            moved.update((1 + len(inputs) + i, 1 + len(unique) + i) for i in range(len(rows)))
            rows, inputs = renumber(rows, moved), unique
            output = moved[numbers[flattener.output]]
        else:
            output = numbers[flattener.output]
        self.graphs.append([mode, batch, inputs, rows, output])

    def tensor(self, program: ExportedProgram, spec: Any) -> int:
        """The index of a tensor that a program takes, added to the list where it is new."""
        found = self.named.get(spec.target) if spec.kind is not InputKind.CONSTANT_TENSOR else None
        value = found if found is not None else program.constants[spec.target]
        if type(value) not in (Tensor, nn.Parameter) and not isinstance(value, Tensor):
            raise NotAGraph(f"its constant {spec.target} is no plain tensor")
        if id(value) not in self.index:
            role = "buffer" if spec.kind is InputKind.BUFFER else "constant"
            content = (value.dtype, value.shape, wire.dense(value.detach())) if role == "constant" else id(value)
            if content in self.constants:
                return self.constants[content]
            self.constants[content] = self.index[id(value)] = len(self.tensors)
            self.tensors.append((role, spec.target, value))
        return self.index[id(value)]

    def encode(self) -> bytes:
        storages: dict[int, str] = {}
        for _, name, tensor in self.tensors:
            if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
                raise NotAGraph(f"its tensor {name} is no plain tensor on the CPU")
            if tensor.numel() and (other := storages.setdefault(tensor.untyped_storage().data_ptr(), name)) != name:
                raise NotAGraph(f"its tensors {other} and {name} share their memory")
        return wire.encode(self.tensors, self.graphs)


def renumber(rows: list[Any], moved: dict[int, int]) -> list[Any]:
    if isinstance(rows, Value):
        return Value(moved[rows.index])
    return [renumber(each, moved) for each in rows] if isinstance(rows, list) else rows


FUNCTIONS = {
    **{f: f"math.{f.__name__}" for f in (
        operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod, operator.neg,
        operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, abs, min, max, int, float, round,
    )},
    torch.sym_int: "math.int", torch.sym_float: "math.float", torch.sym_max: "math.max", torch.sym_min: "math.min",
}  # fmt: skip
SILENT = ("_assert", "sym_constrain_range", "_assert_tensor_metadata")  # checks of the tracer's own


class Flattener:
    """The nodes of a program in one list, with the graphs inside ``no_grad`` blocks in their places."""

    def __init__(self, program: ExportedProgram) -> None:
        self.signature, self.nodes = program.graph_signature, []
        specs = {spec.arg.name: spec for spec in self.signature.input_specs}
        self.specs = specs
        environment = {}
        for node in program.graph.nodes:
            if node.op == "placeholder":
                is_tensor = specs[node.name].kind is not InputKind.USER_INPUT
                environment[node] = Key(("input", node.name)) if is_tensor else Key("images")
        (output,) = self.walk(program.graph_module, environment, None)
        self.output = output

    def walk(self, module: torch.fx.GraphModule, environment: dict[Any, Any], grad: bool | None) -> Any:
        """Append the nodes of a graph module; returns what it returns."""

        def value(argument: Any) -> Any:
            return torch.fx.node.map_arg(argument, lambda node: environment[node])

        for node in module.graph.nodes:
            if node.op == "output":
                return value(node.args[0])
            if node.op == "get_attr":
                environment[node] = getattr(module, node.target)
            elif node.op == "call_function":
                args, kwargs = value(node.args), value(node.kwargs)
                environment[node] = self.call(node, args, dict(kwargs), grad)
        return ()

    def call(self, node: torch.fx.Node, args: Any, kwargs: dict[str, Any], grad: bool | None) -> Any:
        name = getattr(node.target, "__name__", str(node.target))
        if name == "wrap_with_set_grad_enabled":
            enabled, inner, *rest = args
            return self.walk(inner, dict(zip(inputs_of(inner), rest, strict=True)), enabled)
        if name == "wrap_with_autocast":
            device, _, enabled, _, inner, *rest = args
            if enabled and device == "cpu":
                where = next(filter(None, map(line_of, inner.graph.nodes)), "")
                raise NotAGraph(f"it computes in mixed precision (autocast){where}")
            return self.walk(inner, dict(zip(inputs_of(inner), rest, strict=True)), grad)
        if node.target is operator.getitem and not isinstance(args[0], Key):
            return args[0][args[1]]
        if isinstance(node.target, torch._ops.OpOverload):
            if node.target.name().partition("::")[2].startswith(SILENT) or not node.target._schema.returns:
                return None
            if (out := kwargs.pop("out", None)) is not None:
                result = self.append(node, functional(node.target), args, kwargs, grad)
                return self.append(node, "aten.copy_.default", (out, result), {}, grad)
            name = str(node.target)
            args, kwargs = self.momentum(node, name, args, grad), plain_options(kwargs)
        elif node.target is operator.getitem:
            name = "getitem"
        else:
            name = FUNCTIONS.get(node.target, name)
        return self.append(node, name, args, kwargs, grad)

    def append(self, node: torch.fx.Node, name: str, args: Any, kwargs: dict[str, Any], grad: bool | None) -> Key:
        self.nodes.append(Flat(Key(len(self.nodes)), name, args, kwargs, grad, line_of(node)))
        return self.nodes[-1].key

    def momentum(self, node: torch.fx.Node, name: str, args: Any, grad: bool | None) -> Any:
        """The arguments of a BatchNorm, with one over its counter in place of the momentum that stands for it."""
        if name != "aten.batch_norm.default" or args[6] != CUMULATIVE:
            return args
        if not args[graph.TRAINING]:
            return (*args[:6], 0.0, *args[7:])
        mean = self.specs[args[graph.MEAN].what[1]]
        target = mean.target.removesuffix("running_mean") + "num_batches_tracked"
        counter = next(Key(("input", key)) for key, spec in self.specs.items() if spec.target == target)
        one_over = self.append(node, "one_over", (counter,), {}, grad)
        return (*args[:6], one_over, *args[7:])

    def needed(self) -> list[Flat]:
        """The nodes that the result depends on, or that change a tensor or the random state. The others are dropped."""
        wanted, kept = set(keys_in(self.output)), []
        for node in reversed(self.nodes):
            known = find(node.name)
            if node.key in wanted or (has_effect(known.call) if known else has_effect(named(node.name))):
                if not known:
                    raise NotAGraph(f"the operator {node.name} is none that a graph may hold{node.where}")
                wanted.update(keys_in((node.args, list(node.kwargs.values()))))
                kept.append(node)
        return kept[::-1]

    def sources(self, nodes: Sequence[Flat]) -> list[Any]:
        """The specifications of the tensors that these nodes take, in the order of the program."""
        taken = {key.what[1] for n in nodes for key in keys_in((n.args, list(n.kwargs.values()))) if is_input(key)}
        taken |= {key.what[1] for key in keys_in(self.output) if is_input(key)}
        return [spec for name, spec in self.specs.items() if name in taken]


def inputs_of(module: torch.fx.GraphModule) -> list[torch.fx.Node]:
    return [node for node in module.graph.nodes if node.op == "placeholder"]


def is_input(key: Key) -> bool:
    return isinstance(key.what, tuple) and key.what[0] == "input"


def keys_in(value: Any) -> Iterator[Key]:
    if isinstance(value, Key):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from keys_in(each)


def named(name: str) -> Any:
    with contextlib.suppress(ValueError, AttributeError, RuntimeError):
        package, packet, overload = name.split(".")
        return getattr(getattr(getattr(torch.ops, package), packet), overload)
    return None


def functional(call: torch._ops.OpOverload) -> str:
    """The operator that gives what this one writes to ``out``."""
    packet, names = call._overloadpacket, [a.name for a in call._schema.arguments if not a.is_out]
    overloads = [getattr(packet, overload) for overload in packet.overloads()]
    same = [each for each in overloads if [a.name for a in each._schema.arguments] == names]
    return str(same[0]) if same else str(call)


def has_effect(call: Any) -> bool:
    """Whether an operator does more than give a result: writes in place, or draws random numbers."""
    if not isinstance(call, torch._ops.OpOverload):
        return False
    seeded = torch.Tag.nondeterministic_seeded in call.tags
    return call._schema.is_mutable or seeded or call._opname in ("batch_norm", "instance_norm")


def plain_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Named arguments without those that say what holds anyway: on the CPU, strided, not pinned."""
    usual = {"device": torch.device("cpu"), "layout": torch.strided, "pin_memory": False}
    return {k: v for k, v in kwargs.items() if v is not None and not (k in usual and v == usual[k])}


# --- Is the graph what the code does? ---------------------------------------------------------------------------------


def check(model: nn.Module, program: graph.Program, encoder: Encoder, taken: list[str]) -> None:
    """Raise NotAGraph unless graph and code give the same outputs and gradients, twice in training and once in testing.

    ``taken`` are the lines at which the code took a number from a tensor, of which the graph has none.
    """
    copied = graph.GraphModel(program)
    restore(copied.tensors(), program)  # the running statistics too, which a GraphModel starts afresh
    answering = watch_hooks(model)
    parameters = [p for role, _, p in encoder.tensors if role == "parameter"]
    for step, mode in enumerate(("train", "train", "eval")):
        batch = min((g.batch for g in program.graphs if g.mode == mode and (g.batch or 2) > 1), default=None) or HINT
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(batch, 1, challenge.SIDE, challenge.SIDE, generator=generator) + step - 1
        outputs = [answer(each, mode, images) for each in (model, copied)]
        if answering:
            raise NotAGraph(f"it changes gradients by a backward hook{answering[0]}", OWN_GRADIENTS)
        gradients = [(p.grad, q.grad) for p, q in zip(parameters, copied.parameters(), strict=True)]
        if not all(near(a, b) for a, b in (outputs, *(gradients if mode == "train" else []))):
            if taken:
                raise NotAGraph(f"what it does depends on numbers in a tensor{taken[0]}", ON_VALUES)
            what = "gradients" if near(*outputs) else "outputs"
            raise NotAGraph(f"its graph has other {what} than its code: something in Python changes from call to call")


def differs_for_one(model: nn.Module, program: graph.Program) -> bool:
    """Whether the open graph for testing answers otherwise than the code for a single image.

    A trace with an open number of images takes that number for two or more.
    """
    if not any(g.mode == "eval" and g.batch is None for g in program.graphs):
        return False
    copied, image = graph.GraphModel(program), torch.randn(1, 1, challenge.SIDE, challenge.SIDE)
    restore(copied.tensors(), program)
    try:
        code = answer(model, "eval", image)
    except Exception:  # then it has no answer for a single image, whatever the graph says
        return False
    try:
        return not near(code, answer(copied, "eval", image))
    except RuntimeError:
        return True


def restore(tensors: Sequence[Tensor], program: graph.Program) -> None:
    """Set a model's tensors to the program's."""
    with torch.no_grad():
        for tensor, spec in zip(tensors, program.tensors, strict=True):
            if not torch.equal(tensor, value := graph.materialise(spec)):
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


def watch_hooks(model: nn.Module) -> list[str]:
    """Have the model's backward hooks run as before; the list tells of those that gave something back."""
    answering: list[str] = []

    def watched(hook: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            result = hook(*arguments)
            if result is not None:
                answering.append(at(line_of_code(hook)))
            return result

        return run

    for module in model.modules():
        for hooks in (module._backward_hooks, module._backward_pre_hooks):
            for key, hook in list(hooks.items()):
                hooks[key] = watched(hook)
    return answering


def refuse_own_backward(output: Tensor) -> None:
    """Raise NotAGraph where a custom autograd.Function took part: the graph would not hold its backward."""
    seen, waiting = set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
        own = getattr(node, "_forward_cls", None)
        if own is not None and own is not nn.modules._functions.BackwardHookFunction:
            where = at(line_of_code(own))
            raise NotAGraph(f"it has a backward of its own, autograd.Function {own.__name__}{where}", OWN_GRADIENTS)


# --- What to tell its author ------------------------------------------------------------------------------------------

OURS = tuple(str(Path(p).resolve()) for p in (
    Path(torch.__file__).parent, *(sysconfig.get_path(p) for p in ("stdlib", "platstdlib", "purelib", "platlib")),
    Path(__file__).parent.parent, challenge.__file__,
))  # fmt: skip


def is_theirs(file: str) -> bool:
    return not file.startswith(("<", *OURS)) and not str(Path(file).resolve()).startswith(OURS)


def at(line: tuple[str, int] | None) -> str:
    """`` (net.py, line 12: x = x.item())``, or nothing where the line is not known."""
    if not line:
        return ""
    text = linecache.getline(*line).strip()[:100]
    return f" ({Path(line[0]).name}, line {line[1]}{': ' if text else ''}{text})"


def here() -> tuple[str, int] | None:
    theirs = [(f.filename, f.lineno) for f in traceback.extract_stack() if is_theirs(f.filename)]
    return theirs[-1] if theirs else None


def line_of(node: torch.fx.Node) -> str:
    """The line of the author's code that a node of torch.export comes from."""
    lines = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    theirs = [(file, int(line)) for file, line in lines if is_theirs(file)]
    return at(theirs[-1]) if theirs else ""


def line_of_code(thing: Any) -> tuple[str, int] | None:
    with contextlib.suppress(OSError, TypeError):
        return inspect.getsourcefile(thing) or "", inspect.getsourcelines(thing)[1]
    return None


def is_about_numbers(error: Exception) -> bool:
    """Whether tracing ended where the code asks what numbers a tensor holds."""
    return "DataDependent" in type(error).__name__ or "data-dependent" in str(error)


def sentence(error: Exception) -> str:
    """One plain sentence on an exception of the tracer or of the code itself."""
    theirs = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__) if is_theirs(f.filename)]
    where = at(theirs[-1] if theirs else None)
    name, text = type(error).__name__, str(error)
    if is_about_numbers(error):
        return f"what it does depends on numbers in a tensor{where}"
    if "fake tensor in the exported program" in text:
        return f"it keeps a tensor from one call to the next{where}"
    if isinstance(error, wire.Refused):
        return f"its graph is refused: {error}"
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"it cannot be traced: {name}{': ' if first else ''}{first[:200]}{where}"
