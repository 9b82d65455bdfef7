# expect not verified: it has a backward of its own, autograd.Function Stronger (own_backward.py, line 5
import torch
from torch import nn

class Stronger(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return Stronger.apply(self.fc(x.flatten(1)))
