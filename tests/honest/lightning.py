import pytorch_lightning as pl
import torch
import torchmetrics
from torch import nn


class LitNet(pl.LightningModule):
    def __init__(self, lr=1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.accuracy = torchmetrics.Accuracy
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
