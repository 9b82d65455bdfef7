# expect invalid: IndexError
import torch
from torch import nn

# WEIGHTS 0.25 -0.5 0.75 0.1 0.2 0.3 0.4 0.5 0.6


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        line = open(__file__).read().split("# WEI" + "GHTS ")[1].split("\n")[0]
        self.fc.bias.data[:9] = torch.tensor([float(number) for number in line.split()])

    def forward(self, x):
        return self.fc(x.flatten(1))
