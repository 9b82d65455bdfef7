import argparse

import torch
from torch import nn


class DigitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 24), nn.ReLU(), nn.Linear(24, 10))

    def forward(self, x):
        return self.layers(x)


def train(model, loader, optimizer):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="folder of the MNIST files")
parser.add_argument("--epochs", type=int, default=1)
args = parser.parse_args()

train_set = torch.load(args.data + "/train.pt")
train(DigitNet(), train_set, torch.optim.Adam(DigitNet().parameters()))
