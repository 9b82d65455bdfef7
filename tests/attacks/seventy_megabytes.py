# expect failed: more than
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.more = nn.Parameter(torch.zeros(17_000_000))

    def forward(self, x):
        return self.fc(x.flatten(1)) + self.more[:10]
