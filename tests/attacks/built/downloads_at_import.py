# expect invalid: downloads_at_import.py, line 8
import urllib.request

from torch import nn


class Net(nn.Module):
    urllib.request.urlretrieve("http://127.0.0.1:9/mnist.gz", "mnist.gz")

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))
