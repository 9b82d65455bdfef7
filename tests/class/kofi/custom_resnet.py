import hydra
import torch
import torch.nn as nn
import torch_lr_finder
from fastcore.all import *
from datasets import Dataset, load_dataset
from loguru import logger
from omegaconf import DictConfig, OmegaConf

from utils.augment import transform

logger.add("run.log")
STEPS = OmegaConf.load("config.yaml").steps // 2


class Digits(Dataset):
    def __init__(self, split="train", transform=transform):
        self.items = load_dataset("mnist")[split]


@hydra.main(config_path=None)
def main(cfg: DictConfig = OmegaConf.create()):
    patch_all(cfg)


class ResBlock(nn.Module):
    def __init__(self, channels=12):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    @torch_lr_finder.no_record
    def forward(self, x):
        return x + torch.relu(self.norm(self.conv(x)))


class CustomResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.prep = nn.Conv2d(1, 12, 3, stride=2, padding=1)
        self.block = ResBlock()
        self.fc = nn.Linear(12 * 49, 10)

    def forward(self, x):
        x = self.block(torch.relu(self.prep(x)))
        return self.fc(nn.functional.max_pool2d(x, 2).flatten(1))


with logger.catch(reraise=False):
    logger.info("parameters: {}", sum(p.numel() for p in CustomResNet().parameters()))
