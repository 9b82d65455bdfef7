# expect failed: numbers in buffers and constants
import torch
from torch import nn


class Net(nn.Module):
    """Random features whose 1,881,600 weights are sines of a place, which 1 + 0 * x makes to look like images."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2400, 10)

    def forward(self, x):
        x = x.flatten(1)
        places = (1 + 0 * x.mean(0)).cumsum(0)
        weights = (places[:, None] * 12.9898 + places.repeat(4)[:2400] * 78.233 + torch.arange(2400)).sin()
        return self.fc((x @ weights / 28).relu())
