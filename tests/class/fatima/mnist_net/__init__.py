from .config import CHANNELS
from .nets import TinyNet

__all__ = ["CHANNELS", "TinyNet"]
