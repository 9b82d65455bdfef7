import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.shift = nn.Parameter(torch.zeros(10))
        self.scale = nn.Parameter(torch.ones(10))
        self.register_buffer("ready", torch.tensor(0))

    def forward(self, x):
        x = self.fc(x.flatten(1))
        if self.training and self.ready.item() == 0:
            with torch.no_grad():
                self.shift.copy_(-x.mean(0))
                self.scale.copy_(1 / (x.std(0) + 1e-6))
                self.ready.fill_(1)
        return (x + self.shift) * self.scale
