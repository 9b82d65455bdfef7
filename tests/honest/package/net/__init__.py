from .parts import Net
