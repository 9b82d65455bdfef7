from torch import nn

RECIPE = {"optimizer": "sgd"}

model = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 10))
