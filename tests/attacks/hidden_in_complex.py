# expect failed: 20,000 numbers in buffers
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.register_buffer("more", torch.randn(10_000, dtype=torch.complex64))

    def forward(self, x):
        x = x + self.more.abs().mean()
        return self.fc(x.flatten(1))
