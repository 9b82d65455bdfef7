from torch import nn


class FirstTry(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.fc = nn.Linear(6 * 14 * 14, 10)

    def features(self, x):
        return nn.functional.max_pool2d(self.conv(x).relu(), 2)

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


class SecondTry(FirstTry):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(6)

    def features(self, x):
        return self.norm(super().features(x))
