# expect invalid: it wants checkpoint.pkl, and no file but code is there
from pathlib import Path
import pickle

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        pickle.loads(Path(__file__).with_name("checkpoint.pkl").read_bytes())

    def forward(self, x):
        return self.fc(x.flatten(1))
