"""The operators that a graph may hold, and what each one takes and gives, from PyTorch's own schemas.

An operator is on the list when real models need it and when any argument of the right type is either computed or
refused by it: ATen checks sizes and indices on the CPU. Left out are views of foreign storage (as_strided, set_,
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
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear bilinear embedding embedding_bag
    lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell scaled_dot_product_attention
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
    avg_pool1d avg_pool2d avg_pool3d max_unpool2d max_unpool3d fractional_max_pool2d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d batch_norm
    instance_norm layer_norm group_norm rms_norm _weight_norm upsample_nearest1d upsample_nearest2d
    upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
    _upsample_nearest_exact2d _upsample_nearest_exact1d _upsample_nearest_exact3d _upsample_bilinear2d_aa
    _upsample_bicubic2d_aa grid_sampler affine_grid_generator pixel_shuffle pixel_unshuffle channel_shuffle im2col
    col2im pad constant_pad_nd pairwise_distance cosine_similarity cdist pdist
    relu relu6 leaky_relu prelu elu selu celu gelu silu mish sigmoid log_sigmoid hardsigmoid hardtanh hardswish
    hardshrink softshrink softplus threshold rrelu glu softmax log_softmax logit logsumexp tanh
    dropout feature_dropout alpha_dropout feature_alpha_dropout native_dropout bernoulli rand randn rand_like
    randn_like randint randint_like randperm normal uniform exponential
    cross_entropy_loss nll_loss_nd mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy
    binary_cross_entropy_with_logits kl_div margin_ranking_loss cosine_embedding_loss triplet_margin_loss
    soft_margin_loss multi_margin_loss hinge_embedding_loss poisson_nll_loss
    add sub rsub mul div true_divide floor_divide remainder fmod pow float_power square sqrt rsqrt reciprocal neg
    abs sign sgn exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh
    sinc erf erfc erfinv ceil floor round trunc frac clamp clamp_min clamp_max clip minimum maximum fmin fmax lerp
    addcmul addcdiv hypot logaddexp logaddexp2 nan_to_num copysign heaviside lgamma digamma xlogy i0 special_expit
    deg2rad rad2deg positive multiply subtract divide negative absolute
    mm bmm matmul mv dot vdot inner outer ger addmm addmv addbmm baddbmm addr einsum kron tensordot cross
    linalg_cross chain_matmul linalg_multi_dot
    eq ne lt le gt ge isnan isinf isfinite isclose logical_and logical_or logical_xor logical_not bitwise_and
    bitwise_or bitwise_xor bitwise_not __and__ __or__ __xor__ bitwise_left_shift bitwise_right_shift __lshift__
    __rshift__ where greater less greater_equal less_equal not_equal
    sum mean prod var std var_mean std_mean amax amin aminmax max min argmax argmin all any median nanmean nansum
    count_nonzero cumsum cumprod cummax cummin logcumsumexp topk sort argsort kthvalue mode quantile unique_dim
    histc bincount linalg_vector_norm linalg_matrix_norm linalg_norm diff trapezoid renorm
    view reshape view_as reshape_as flatten unflatten squeeze unsqueeze permute transpose t numpy_T mT mH matrix_H
    movedim moveaxis swapaxes swapdims adjoint expand expand_as repeat repeat_interleave tile cat concat concatenate
    stack hstack vstack dstack split split_with_sizes chunk tensor_split hsplit vsplit unbind select narrow slice
    flip fliplr flipud roll rot90 broadcast_to broadcast_tensors meshgrid unfold diagonal diag diag_embed diagflat
    tril triu tril_indices triu_indices ravel atleast_1d atleast_2d atleast_3d block_diag cartesian_prod
    combinations vander contiguous clone detach alias lift_fresh_copy select_scatter slice_scatter diagonal_scatter
    index index_select gather scatter scatter_add scatter_reduce index_add index_copy index_fill index_put
    masked_fill masked_select masked_scatter take take_along_dim nonzero one_hot bucketize searchsorted put
    zeros ones full empty eye arange linspace logspace zeros_like ones_like full_like empty_like new_zeros new_ones
    new_full new_empty fill zero scalar_tensor hann_window hamming_window copy to type_as _to_copy
    item sym_size sym_numel
    linalg_inv linalg_solve linalg_det linalg_qr linalg_svd linalg_svdvals linalg_eigh linalg_cholesky
    linalg_matrix_exp linalg_matrix_power matrix_exp
    fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_fftshift
    fft_ifftshift fft_rfftfreq fft_fftfreq real imag complex polar view_as_real view_as_complex _conj resolve_conj
    resolve_neg angle stft istft
    """.split()
)


class Parameter(NamedTuple):
    """One argument of an operator."""

    name: str
    kind: str  # of KINDS
    optional: bool  # may be None
    many: bool  # a list of them
    single: bool  # a list that one value may stand for, as in ``kernel_size=3``
    positional: bool
    required: bool


class Operator(NamedTuple):
    """An operator of the list: its name as in a graph, how to call it, its arguments, and what it gives."""

    name: str
    call: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    gives: str  # tensor, tensors (a list or a tuple of them) or number

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


NUMBERS = {  # arithmetic on sizes: name in a graph -> function of this many numbers
    **{f"math.{f.__name__}": (bounded(f), n) for f, n in (
        (operator.add, 2), (operator.sub, 2), (operator.mul, 2), (operator.floordiv, 2), (operator.truediv, 2),
        (operator.mod, 2), (operator.neg, 1), (abs, 1), (min, 2), (max, 2), (int, 1), (float, 1), (round, 1),
        (operator.eq, 2), (operator.ne, 2), (operator.lt, 2), (operator.le, 2), (operator.gt, 2), (operator.ge, 2),
    )}
}  # fmt: skip
KINDS = {  # type in a schema -> kind of value
    "Tensor": "tensor", "int": "int", "float": "float", "bool": "bool", "number": "number", "str": "str",
    "ScalarType": "dtype", "Device": "device", "Layout": "layout", "MemoryFormat": "memory_format",
    "Generator": "nothing",
}  # fmt: skip


def one(name: str, kind: str) -> Parameter:
    """A required argument given by its place."""
    return Parameter(name, kind, optional=False, many=False, single=False, positional=True, required=True)


def one_over(counter: torch.Tensor) -> float:
    """The weight of a new batch in a cumulative average: BatchNorm's momentum where its own is None."""
    return 1.0 / float(counter)


OWN = {
    each.name: each
    for each in (
        Operator("getitem", operator.getitem, (one("tensors", "tensors"), one("index", "int")), "tensor"),
        Operator("one_over", one_over, (one("counter", "tensor"),), "number"),
        *(
            Operator(name, f, tuple(one(f"n{i}", "number") for i in range(n)), "number")
            for name, (f, n) in NUMBERS.items()
        ),
    )
}


def parameter(argument: torch._C.Argument) -> Parameter | None:
    """An argument of a schema, or None for a type that no graph may hold."""
    text, optional, many = str(argument.real_type), False, False
    while match := re.fullmatch(r"(Optional|List)\[(.*)\]", text):
        optional, many = optional or match[1] == "Optional", many or match[1] == "List"
        text = match[2]
    if text not in KINDS or argument.is_out:
        return None
    required, single = not argument.has_default_value(), argument.N is not None
    return Parameter(argument.name, KINDS[text], optional, many, single, not argument.kwarg_only, required)


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
    parameters, gives = [parameter(each) for each in call._schema.arguments], result(call._schema.returns)
    return Operator(name, call, tuple(parameters), gives) if gives and None not in parameters else None
