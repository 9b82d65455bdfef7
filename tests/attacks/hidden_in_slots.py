# expect failed: too many to be under 25,000
import torch
from torch import nn

class Box:
    __slots__ = ("table",)

    def __init__(self):
        self.table = torch.randn(784, 40)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.box = Box()

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(x) + (x @ self.box.table)[:, :10]
