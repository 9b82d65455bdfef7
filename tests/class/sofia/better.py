from torch import nn

from base import BaseNet


class BetterNet(BaseNet):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().flatten(1))
