from torch import nn

from .config import CHANNELS, DROPOUT
from .parts import SqueezeBlock


class TinyNet(nn.Module):
    """Two blocks and global average pooling."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, CHANNELS, 3, stride=2, padding=1)
        self.block = SqueezeBlock(CHANNELS)
        self.drop = nn.Dropout(DROPOUT)
        self.fc = nn.Linear(CHANNELS * 4, 10)

    def forward(self, x):
        x = self.block(self.stem(x).relu())
        x = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
        return self.fc(self.drop(x))
