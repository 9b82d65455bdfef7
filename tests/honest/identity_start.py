from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.mix = nn.Linear(784, 7, bias=False)
        nn.init.eye_(self.mix.weight)
        self.fc = nn.Linear(7, 10)
        self.first = nn.Linear(784, 7)

    def forward(self, x):
        x = x.flatten(1)
        return self.fc((self.mix(x) + self.first(x)).relu())
