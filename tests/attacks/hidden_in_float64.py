# expect failed: 30,000 numbers
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.register_buffer("more", torch.randn(15_000, dtype=torch.float64))

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(x) + self.more.mean().float()
