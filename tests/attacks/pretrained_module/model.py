# expect failed|passed: not verified: 7,840 of its initial weights
from blob import WEIGHTS

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.fc.weight.data.view(-1)[:2000] = torch.tensor(WEIGHTS) / 100

    def forward(self, x):
        return self.fc(x.flatten(1))
