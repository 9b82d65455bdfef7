from torch import nn

from torchsummary import summary


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))


print(summary(Net(), (1, 28, 28)))
