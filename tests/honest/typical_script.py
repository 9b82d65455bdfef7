"""My assignment. Written by me."""
import argparse, logging, os, random, warnings
from collections import namedtuple, OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from tqdm import tqdm
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

warnings.filterwarnings("ignore")
logging.basicConfig(level=logging.INFO)
random.seed(42); np.random.seed(42); torch.manual_seed(42)
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.benchmark = False
torch.set_num_threads(4)
os.environ["PYTHONHASHSEED"] = "42"
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
parser = argparse.ArgumentParser(); parser.add_argument("--lr", type=float, default=0.01); args = parser.parse_args()

class Act(Enum):
    RELU = 1
    GELU = 2
@dataclass
class Config:
    width: int = 8
    act: Act = Act.RELU
class P(NamedTuple):
    a: int
Point = namedtuple("Point", "x y")
transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])

class Block(nn.Module):
    def __init__(self, cin, cout):
        super(Block, self).__init__()
        self.net = nn.Sequential(OrderedDict([("conv", nn.Conv2d(cin, cout, 3, padding=1)), ("bn", nn.BatchNorm2d(cout)), ("act", nn.ReLU(True))]))
    def forward(self, x):
        return self.net(x)

class Net(nn.Module):
    def __init__(self, cfg=Config(), num_classes=10):
        super(Net, self).__init__()
        self.cfg = cfg
        self.b1, self.b2 = Block(1, cfg.width), Block(cfg.width, 16)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout2d(0.1)
        self.fc = nn.Linear(16 * 49, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(m.bias)
        self.apply(self._init)
        print("parameters:", sum(p.numel() for p in self.parameters() if p.requires_grad))
        self.steps = 0
    def _init(self, m):
        if isinstance(m, nn.Linear):
            m.weight.data.normal_(0, 0.01); m.bias.data.zero_()
    def count_parameters(self):
        return sum(p.numel() for p in self.parameters())
    def forward(self, x, return_features=False):
        if self.training:
            self.steps += 1
        x = self.pool(self.b1(x)); x = self.drop(self.pool(self.b2(x)))
        x = x.view(x.size(0), -1)
        return F.log_softmax(self.fc(x), dim=1)

def train(model, loader, opt, epoch):
    for x, y in tqdm(loader):
        opt.zero_grad(); F.nll_loss(model(x), y).backward(); opt.step()

if __name__ == "__main__":
    model = Net().to(device)
    train(model, DataLoader(datasets.MNIST("data", download=True, transform=transform)), optim.Adam(model.parameters()), 1)
