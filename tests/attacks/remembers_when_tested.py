# expect passed: not verified: in eval() it writes to its own
import torch
from torch import nn


class Net(nn.Module):
    """Keeps the mean of the images that it was tested on."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.register_buffer("seen", torch.zeros(784))

    def forward(self, x):
        x = x.flatten(1)
        if not self.training:
            self.seen.mul_(0.9).add_(0.1 * x.mean(0))
        return self.fc(x - self.seen)
