from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.real = nn.Linear(784, 20)
        self.norm = nn.BatchNorm1d(20)
        self.out = nn.Linear(20, 10)
        del self.fc

    def forward(self, x):
        weight = self.real.weight
        binary = weight.sign() * weight.abs().mean()
        weight = weight + (binary - weight).detach()
        return self.out(self.norm(nn.functional.linear(x.flatten(1), weight, self.real.bias)).relu())
