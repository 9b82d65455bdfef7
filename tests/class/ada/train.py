import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from tqdm import tqdm

from model.mnist_model import MNISTModel, count_parameters


def train():
    data = datasets.MNIST("./data", train=True, download=True, transform=transforms.ToTensor())
    model = MNISTModel()
    print(count_parameters(model))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for x, y in tqdm(DataLoader(data, batch_size=128, shuffle=True)):
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(model(x), y).backward()
        optimizer.step()
    torch.save(model.state_dict(), "mnist.pth")


if __name__ == "__main__":
    train()
