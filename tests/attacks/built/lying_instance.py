# expect not verified: its graph has other gradients than its code: a hook changes them
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.__dict__["parameters"] = lambda recurse=True: iter([self.fc.bias])

    def forward(self, x):
        return self.fc(x.flatten(1))
