# expect timeout: put that under if __name__
from torch import nn

while True:
    print("x" * 10_000)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))
