# expect passed: 7,850 parameters
import gc

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        self.found = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
        return self.fc(x.flatten(1))
