import torch

from models.lightnet import LightNet


class LabelSmoothingLoss(torch.nn.Module):
    def __init__(self, smoothing=0.1):
        super().__init__()
        self.smoothing = smoothing

    def forward(self, prediction, target):
        return torch.nn.functional.cross_entropy(prediction, target, label_smoothing=self.smoothing)


if __name__ == "__main__":
    model, loss = LightNet(), LabelSmoothingLoss()
