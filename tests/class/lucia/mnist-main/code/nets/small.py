import os
import sys

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "lib"))

from layers import ConvBN
from torch import nn


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(ConvBN(1, 8), nn.MaxPool2d(2), ConvBN(8, 16), nn.MaxPool2d(2))
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        return self.fc(self.body(x).mean((2, 3)))
