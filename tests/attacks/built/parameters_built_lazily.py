# expect graph: 39,250 parameters, 0 other numbers
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        if not hasattr(self, "more"):
            self.more = nn.Linear(784, 40)
        x = x + self.more(x.flatten(1)).mean()
        return self.fc(x.flatten(1))
