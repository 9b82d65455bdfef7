# expect passed: each image answered alone
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(nn.functional.dropout(x.flatten(1), 0.1))
