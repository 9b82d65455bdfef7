from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Deeper(Net):
    def __init__(self):
        super().__init__()
        self.more = nn.Linear(10, 10)

    def forward(self, x):
        return self.more(super().forward(x).relu())
