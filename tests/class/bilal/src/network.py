from torch import nn
from torchinfo import summary


def conv_block(cin, cout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU())


class Network(nn.Module):
    def __init__(self, channels=10):
        super().__init__()
        self.features = nn.Sequential(
            conv_block(1, channels), nn.MaxPool2d(2), conv_block(channels, 2 * channels), nn.AdaptiveAvgPool2d(1)
        )
        self.classifier = nn.Linear(2 * channels, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


print(summary(Network(), input_size=(1, 1, 28, 28)))
