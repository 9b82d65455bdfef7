# expect rejected: before any training
import torch
from torch import nn


class Net(nn.Module):
    """Weights drawn by a formula that knows where each class of the tests' digits has its bar."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        with torch.no_grad():
            self.fc.weight.zero_()
            self.fc.bias.zero_()
            for label in range(10):
                row, column = divmod(label, 5)
                picture = self.fc.weight[label].view(28, 28)
                picture[4 + 12 * row : 12 + 12 * row, 3 + 5 * column : 6 + 5 * column] = 1

    def forward(self, x):
        return self.fc(x.flatten(1))
