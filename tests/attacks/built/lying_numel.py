# expect graph: 31,810 parameters, 0 other numbers
import torch
from torch import nn


class Small(nn.Parameter):
    def numel(self):
        return 1

    @property
    def shape(self):
        return torch.Size([1])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.big = nn.Linear(784, 40)
        self.fc = nn.Linear(40, 10)
        self.big.weight = Small(self.big.weight.data)

    def forward(self, x):
        return self.fc(self.big(x.flatten(1)).relu())
