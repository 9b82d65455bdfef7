# expect failed: too many to be under 25,000
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.register_buffer("more", torch.randint(-127, 127, (784, 40), dtype=torch.int8))

    def forward(self, x):
        x = x + (x.flatten(1) @ self.more.float()).mean()
        return self.fc(x.flatten(1))
