from pathlib import Path

from data import SIZE
from tests.helpers import CLASSES
from torch import nn
from utils import flatten

from src.layers import Head

Path("runs").mkdir(exist_ok=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(SIZE, 20)
        self.norm = nn.BatchNorm1d(20)
        self.head = Head(20, CLASSES)

    def forward(self, x):
        return self.head(self.norm(self.fc(flatten(x))).relu())
