# expect invalid: 'epochs'
from torch import nn

RECIPE = {"lr": 0.01, "epochs": 20}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))
