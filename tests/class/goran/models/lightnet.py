from torch import nn

from .blocks import DepthwiseBlock, Head


class LightNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        self.body = nn.Sequential(DepthwiseBlock(16, 32), nn.MaxPool2d(2), DepthwiseBlock(32, 32))
        self.head = Head()

    def forward(self, x):
        return self.head(self.body(self.stem(x)))
