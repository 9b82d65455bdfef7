# expect graph: 7,850 parameters, 0 other numbers
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        for _ in range(3):
            self.fc(torch.randn(8, 784)).var().backward()

    def forward(self, x):
        return self.fc(x.flatten(1))
