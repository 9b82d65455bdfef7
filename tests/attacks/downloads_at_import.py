# expect passed: 7,850 parameters
import urllib.request

from torch import nn

urllib.request.urlretrieve("http://example.org/mnist.gz", "mnist.gz")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))
