import torch
from torch import nn
from torch.func import vmap
from functools import lru_cache, partial, cached_property
class F_(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w
    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w.t(), x.t() @ g
@lru_cache(None)
def dct(n):
    k = torch.arange(n).float()
    return torch.cos(torch.pi / n * (k[:, None] + 0.5) * k[None])
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.empty(100, 24)); nn.init.xavier_uniform_(self.w)
        self.out = nn.Linear(24, 10)
        self.alpha = nn.Parameter(torch.tensor(0.5))
    @cached_property
    def basis(self):
        return dct(28)[:, :10]
    def forward(self, x):
        z = torch.einsum("nchw,hi,wj->ncij", x, self.basis, self.basis).flatten(1) / 10
        h = F_.apply(z, self.w)
        for _ in range(3):
            h = h + self.alpha * torch.tanh(h)
        return self.out(h)
