import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return (x > 0).float()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Binary(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = spectral_norm(nn.Linear(784, 24))
        self.norm = nn.BatchNorm1d(24)
        self.fc2 = nn.Linear(24, 10)

    def forward(self, x):
        return self.fc2(StraightThrough.apply(self.norm(self.fc1(x.view(x.shape[0], -1)))))
