# expect graph: 7,850 parameters, 0 other numbers
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        if self.training and not hasattr(self, "more"):
            self.more = nn.Parameter(torch.randn(784, 40))
        return self.fc(x.flatten(1))
