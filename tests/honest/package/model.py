import json
from pathlib import Path
from net import Net
from net.parts import WIDTH
cfg = json.load(open(Path(__file__).parent / "config.json"))
def build_model(width=None):
    return Net(width or cfg["width"])
