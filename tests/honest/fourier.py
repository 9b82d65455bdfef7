import torch
from torch import nn


class Fourier(nn.Module):
    """A learned filter in the frequency domain, with a few plain tensors as constants."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(28, 15, 2) * 0.1 + 1)
        self.mean, self.std = torch.tensor([0.0]), torch.tensor([1.0])
        self.fc = nn.Linear(14 * 14, 40)
        self.head = nn.Linear(40, 10)
        self.history = []

    def forward(self, x):
        x = (x - self.mean) / self.std
        spectrum = torch.fft.rfft2(x.squeeze(1)) * torch.view_as_complex(self.filter)
        x = torch.fft.irfft2(spectrum, s=(28, 28)).unsqueeze(1)
        self.history.append(float(x.detach().mean()))
        return self.head(self.fc(nn.functional.avg_pool2d(x, 2).flatten(1)).relu())
