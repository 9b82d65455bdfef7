"""The operators that a graph may hold, and what each one takes, gives and changes, from PyTorch's own schemas.

An operator is on the list when classifiers of digits need it and when any argument of the right type is either computed
or refused by it: ATen checks sizes and indices on the CPU. Left out are views of foreign storage (as_strided, set_,
resize_), whatever reads devices, files or addresses, sparse, quantised and custom operators, and the private ones
behind a public name. Random ones are there for dropout and noise: each call draws anew from the process's own
generator, and none takes a generator, so nothing can be stored in them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch

# Names in ATen; each stands for all its overloads and for the same name with an underscore, which works in place.
ALLOWED = frozenset(
    """
    conv1d conv2d conv_transpose2d linear embedding lstm gru rnn_tanh rnn_relu scaled_dot_product_attention max_pool1d
    max_pool2d avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d batch_norm instance_norm
    layer_norm group_norm rms_norm _weight_norm upsample_nearest2d upsample_bilinear2d grid_sampler
    affine_grid_generator pixel_unshuffle channel_shuffle im2col pad cdist
    relu relu6 leaky_relu prelu elu selu gelu silu mish sigmoid hardsigmoid hardtanh hardswish softplus glu softmax
    log_softmax logsumexp tanh
    dropout feature_dropout alpha_dropout bernoulli rand randn rand_like randn_like normal uniform
    add sub rsub mul div floor_divide remainder pow square sqrt rsqrt reciprocal neg abs sign exp log sin cos erf floor
    round clamp clamp_min clamp_max minimum maximum addcmul
    mm bmm matmul mv outer addmm einsum
    eq ne lt le gt ge logical_and logical_not bitwise_and bitwise_or bitwise_not where
    sum mean prod var std amax amin max min argmax argmin cumsum topk sort linalg_vector_norm
    view reshape view_as flatten unflatten squeeze unsqueeze permute transpose t numpy_T mT movedim expand expand_as
    repeat repeat_interleave cat stack split split_with_sizes chunk unbind select narrow slice flip roll meshgrid unfold
    diagonal tril triu contiguous clone detach alias lift_fresh_copy index index_put index_select gather scatter
    masked_fill one_hot
    zeros ones full empty eye arange linspace zeros_like ones_like full_like empty_like new_zeros new_ones new_full
    new_empty fill zero scalar_tensor copy to type_as _to_copy
    item sym_size sym_numel
    """.split()
)
SIZES_ONLY = frozenset(  # what they give does not depend on the numbers in their arguments
    "rand_like randn_like zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty "
    "sym_size sym_numel".split()
)
UNSET = ("empty", "empty_like", "new_empty")  # operators that give memory as it is
UNMARKED_VIEWS = ("meshgrid", "type_as", "dropout", "feature_dropout", "alpha_dropout")  # may give what they take
NORMS = ("batch_norm", "instance_norm")  # which write to their running statistics without saying so


class Parameter(NamedTuple):
    """One argument of an operator."""

    name: str
    kind: str  # of KINDS
    optional: bool = False  # may be None
    many: bool = False  # a list of them
    single: bool = False  # a list that one value may stand for, as in ``kernel_size=3``
    positional: bool = True
    required: bool = True
    written: bool = False  # the operator may write to it
    scales: bool = False  # it does not go into what the operator writes
    shown: bool = False  # what the operator gives may be a view of it


class Operator(NamedTuple):
    """An operator of the list: its name as in a graph, how to call it, its arguments, and what it gives."""

    name: str
    call: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    gives: str  # tensor, tensors (a list or a tuple of them) or number
    has_effect: bool = False  # it writes to an argument, or draws random numbers

    @property
    def base(self) -> str:
        """Its name without package and overload: conv2d."""
        return self.name.split(".")[-2] if self.name.count(".") == 2 else self.name


def bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with results of more than 64 bits refused: a chain of products would grow for ever."""

    def checked(*numbers: Any) -> Any:
        result = function(*numbers)
        if isinstance(result, int) and abs(result) >= 2**63:
            raise OverflowError(f"a size of more than 64 bits from {function.__name__}")
        return result

    return checked


def zeroed(call: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The operator, giving zeros: memory that was used before, by labels for example, is not shown to a graph."""
    return lambda *args, **kwargs: call(*args, **kwargs).zero_()


KINDS = {  # type in a schema -> kind of value
    "Tensor": "tensor", "int": "int", "float": "float", "bool": "bool", "number": "number", "str": "str",
    "ScalarType": "dtype", "Device": "nothing", "Layout": "nothing", "MemoryFormat": "nothing",
    "Generator": "nothing",
}  # fmt: skip
NUMBERS = {  # arithmetic on sizes
    **dict.fromkeys((operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod), 2),
    **dict.fromkeys((operator.neg, int, float), 1),
}
OWN = {
    f"math.{f.__name__}": Operator(
        f"math.{f.__name__}", bounded(f), tuple(Parameter(f"n{i}", "number") for i in range(n)), "number"
    )
    for f, n in NUMBERS.items()
}
OWN["getitem"] = Operator(
    "getitem", operator.getitem, (Parameter("tensors", "tensors", shown=True), Parameter("index", "int")), "tensor"
)


def parameter(argument: torch._C.Argument, base: str) -> Parameter | None:
    """An argument of a schema, or None for a type that no graph may hold."""
    text, optional, many = str(argument.real_type), False, False
    while match := re.fullmatch(r"(Optional|List)\[(.*)\]", text):
        optional, many = optional or match[1] == "Optional", many or match[1] == "List"
        text = match[2]
    if text not in KINDS or argument.is_out:
        return None
    alias = argument.alias_info
    return Parameter(
        argument.name,
        KINDS[text],
        optional=optional,
        many=many,
        single=argument.N is not None,
        positional=not argument.kwarg_only,
        required=not argument.has_default_value(),
        written=(alias is not None and alias.is_write) or (base in NORMS and argument.name.startswith("running")),
        scales=base in NORMS and argument.name in ("weight", "bias"),
        shown=alias is not None or base in UNMARKED_VIEWS,
    )


def result(returns: list[torch._C.Argument]) -> str | None:
    """What an operator gives: tensor, tensors, number, or None where no graph may hold it."""
    types = [str(each.real_type) for each in returns]
    if types == ["Tensor"]:
        return "tensor"
    if types == ["List[Tensor]"] or (len(types) > 1 and set(types) == {"Tensor"}):
        return "tensors"
    return "number" if types in (["int"], ["number"], ["float"], ["bool"]) else None


@lru_cache(4096)
def find(name: str) -> Operator | None:
    """The operator of that name, as in ``aten.conv2d.default``, or None if it is not on the list."""
    if name in OWN:
        return OWN[name]
    match = re.fullmatch(r"aten\.(\w{1,60})\.(\w{1,60})", name, re.ASCII)
    if not match or not (match[1] in ALLOWED or (match[1].endswith("_") and match[1][:-1] in ALLOWED)):
        return None
    call = getattr(getattr(torch.ops.aten, match[1], None), match[2], None)
    if not isinstance(call, torch._ops.OpOverload):
        return None
    base, gives = match[1].removesuffix("_"), result(call._schema.returns)
    parameters = [parameter(each, base) for each in call._schema.arguments]
    if not gives or None in parameters:
        return None
    seeded = torch.Tag.nondeterministic_seeded in call.tags
    has_effect = seeded or any(each.written for each in parameters)
    return Operator(name, zeroed(call) if base in UNSET else call, tuple(parameters), gives, has_effect)
