# expect passed|failed: accuracy
import threading

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        threading.Thread(target=self.more, daemon=True).start()

    def forward(self, x):
        return self.fc(x.flatten(1))


def more(self):
    while True:
        self.fc.weight.data.mul_(0.999)


Net.more = more
