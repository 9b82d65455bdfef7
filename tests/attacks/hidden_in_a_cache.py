# expect failed: too many to be under 25,000
import torch
from torch import nn

from functools import lru_cache


@lru_cache
def table():
    return torch.randn(784, 40)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        table()

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(x) + (x @ table())[:, :10]
