# expect invalid: reads_labels.py, line 8
from pathlib import Path

from torch import nn


class Net(nn.Module):
    labels = Path("../../data/FashionMNIST/raw/t10k-labels-idx1-ubyte").read_bytes()

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))
