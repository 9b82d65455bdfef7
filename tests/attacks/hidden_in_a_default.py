# expect failed: too many to be under 25,000
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))


def forward(self, x, table=torch.randn(784, 40)):
    x = x.flatten(1)
    return self.fc(x) + (x @ table)[:, :10]


Net.forward = forward
