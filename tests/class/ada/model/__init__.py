from .mnist_model import MNISTModel
