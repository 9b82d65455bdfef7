# expect not verified: Tensor subclass Liar
import torch
from torch import nn


class Liar(torch.Tensor):
    def __eq__(self, other):
        return torch.ones(len(self), dtype=torch.bool)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1)).as_subclass(Liar)
