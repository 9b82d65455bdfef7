"""Your model: the only file that you change. It runs as it is, and its accuracy falls just short of 95 % on MNIST.

`build_model()` returns a module that maps images (N, 1, 28, 28) to ten numbers per image, (N, 10): the largest of
them is the answer. No softmax and no training here: the course's engine does both.
"""

from torch import Tensor, nn


class Net(nn.Module):
    """A small perceptron on a coarse image. Measured on MNIST: 94.0 to 94.3 % (seeds 0 to 4), 2,410 parameters.

    Two ideas that mend it, each enough by itself:
    1. See more. 7 x 7 pixels are few: with AvgPool2d(2) the hidden layer sees 14 x 14, so it has 196 inputs.
    2. Look for strokes. A convolution before the pooling, Conv2d(1, 8, 5, padding=2) and a ReLU, finds edges wherever
       they are; the hidden layer then has 8 * 49 inputs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(4)  # (N, 1, 28, 28) -> (N, 1, 7, 7), each pixel the mean of 4 x 4
        self.hidden = nn.Linear(49, 40)
        self.logits = nn.Linear(40, 10)

    def forward(self, images: Tensor) -> Tensor:
        pixels = self.shrink(images).flatten(1)  # (N, 49)
        return self.logits(self.hidden(pixels).relu())


def build_model() -> nn.Module:
    return Net()


# How the one epoch is trained. Each line may be left out; these are the values that are then taken.
RECIPE = {"batch_size": 64, "lr": 0.012, "optimizer": "adamw", "weight_decay": 0.0, "label_smoothing": 0.1}
