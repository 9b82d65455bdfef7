import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn
from torchmetrics import Accuracy

wandb.init(project="mnist", config={"lr": 0.01})
LR = wandb.config["lr"] * 2


class MNISTDataModule(pl.LightningDataModule):
    def __init__(self, batch_size=64):
        super().__init__()
        self.batch_size = batch_size


class LitMNIST(pl.LightningModule):
    def __init__(self, hidden=20):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=LR)


trainer = pl.Trainer(max_epochs=1, callbacks=[EarlyStopping("val_loss", patience=3)])
trainer.fit(LitMNIST(), MNISTDataModule())
