# expect invalid: Network is unreachable
import urllib.request

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        urllib.request.urlopen("http://192.0.2.1/labels", timeout=5)
        return self.fc(x.flatten(1))
