import torch
from torch import nn


class SqueezeBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.gate = nn.Linear(channels, channels)

    def forward(self, x):
        y = self.conv(x).relu()
        return x + y * torch.sigmoid(self.gate(y.mean((2, 3))))[:, :, None, None]
