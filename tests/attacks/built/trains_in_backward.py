# expect not verified: it has a backward of its own, autograd.Function More (trains_in_backward.py, line 6
import torch
from torch import nn


class More(torch.autograd.Function):
    @staticmethod
    def forward(ctx, output, weight, x):
        ctx.save_for_backward(weight, x)
        return output.clone()

    @staticmethod
    def backward(ctx, gradient):
        weight, x = ctx.saved_tensors
        for _ in range(10):
            weight.data -= 0.001 * gradient.t() @ x
        return gradient, None, None


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return More.apply(self.fc(x.flatten(1)), self.fc.weight, x.flatten(1))
