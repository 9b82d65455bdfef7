# expect passed: not verified: it cannot become a graph
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        for _ in range(3):
            with torch.enable_grad():
                self.fc(x.flatten(1)).var().backward()
        return self.fc(x.flatten(1))
