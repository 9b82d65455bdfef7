import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(28 * 28, 30), nn.ReLU(), nn.Dropout(0.1), nn.Linear(30, 10), nn.Softmax(dim=1)
        )

    def forward(self, x):
        return self.layers(x)
