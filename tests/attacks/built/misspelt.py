# expect invalid: misspelt.py, line 9: self.act = nn.RelU()
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.act = nn.RelU()

    def forward(self, x):
        return self.fc(x.flatten(1))
