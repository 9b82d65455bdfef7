# expect graph: 7,850 parameters, 0 other numbers
import torch
from torch import nn

import numpy as np


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        weights = np.random.default_rng(3).normal(size=(10, 784)) / 28
        self.fc.weight.data = torch.tensor(weights, dtype=torch.float32)

    def forward(self, x):
        return self.fc(x.flatten(1))
