# expect rejected: giant file
from torch import nn


class Net(nn.Module):
    with open("giant", "wb") as file:
        for _ in range(1000):
            file.write(bytes(1_000_000))

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))
