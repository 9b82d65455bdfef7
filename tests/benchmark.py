"""Times of whole commands, run in turn on one machine: not a test. Each round prints a line; the last has the medians.

    python tests/benchmark.py startup              the script against `import torch`; rest: without it and the epoch
    python tests/benchmark.py pair ../other        this script against the one of another checkout
    python tests/benchmark.py together             two commands at once against one alone
    python tests/benchmark.py example              against PyTorch's own MNIST example
    python tests/benchmark.py tutorial             against the usual tutorial recipe of this challenge
    python tests/benchmark.py jobs                 --seeds 20 --jobs 2 against one run after the other, two threads each

Seconds, of our command and of theirs; accuracies are fractions of the test images. A ratio's median is that of the
rounds' own ratios. Run it on a quiet machine: a round measures what it compares one right after the other, every second
round in reverse order.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Command = list[Any]
Row = dict[str, float]  # what one round measured, by name


# --- Recipes that the script is measured against, each in a process of its own ----------------------------------------


def train_and_test(model: Any, optimizer: Any, loss: Callable, train: Any, test: Any, batch: int) -> None:
    """One epoch over torchvision datasets and a test, by DataLoaders; prints figures under the script's names."""
    import torch
    from torch.utils.data import DataLoader

    start = time.perf_counter()
    model.train()
    for images, labels in DataLoader(train, batch, shuffle=True):
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    model.eval()
    with torch.no_grad():
        hits = sum(int((model(x).argmax(1) == y).sum()) for x, y in DataLoader(test, 1000))
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"train_seconds": seconds, "test_accuracy": hits / len(test), "parameters": parameters}))


def datasets(dataset: str, *augmentation: Any) -> list[Any]:
    """torchvision's training and test set of that name: PIL images, augmented where they are for training."""
    from torchvision import datasets, transforms

    sys.path.insert(0, str(ROOT))
    import mnist_efficient_model as challenge

    kind = {"mnist": datasets.MNIST, "fashion": datasets.FashionMNIST}[dataset]
    common = [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    steps = {True: transforms.Compose([*augmentation, *common]), False: transforms.Compose(common)}
    return [kind(challenge.default_data_dir(), training, steps[training]) for training in (True, False)]


def example(dataset: str) -> None:
    """PyTorch's own MNIST example (github.com/pytorch/examples, mnist), one epoch: 1,199,882 parameters."""
    import torch.nn.functional as F
    from torch import nn, optim

    convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
    head = [nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10), nn.LogSoftmax(1)]
    model = nn.Sequential(*convolutions, nn.Flatten(), *head)
    train_and_test(model, optim.Adadelta(model.parameters(), lr=1.0), F.nll_loss, *datasets(dataset), batch=64)


def tutorial(dataset: str) -> None:
    """The usual recipe: `efficient` on the whole image, PIL augmentation per image, Adam at 1e-3, dropout 0.3."""
    import torch.nn.functional as F
    from torch import nn, optim
    from torchvision import transforms

    warps = [transforms.RandomRotation(10), transforms.RandomAffine(0, translate=(0.1, 0.1))]
    sets = datasets(dataset, *warps)
    from mnist_efficient_model import conv_block

    convolutions = [*conv_block(1, 8), *conv_block(8, 16), *conv_block(16, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*convolutions, nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10))
    train_and_test(model, optim.Adam(model.parameters(), lr=1e-3), F.cross_entropy, *sets, batch=128)


def jobs(dataset: str) -> None:
    """The runs of --seeds 20 one after the other in one process, with as many threads as PyTorch takes by itself."""
    sys.path.insert(0, str(ROOT))
    import mnist_efficient_model as challenge

    data = challenge.load_dataset(dataset)
    for seed in range(20):
        print(challenge.run("efficient", data, seed=seed)[0].one_line(), file=sys.stderr)


RECIPES = {"example": example, "tutorial": tutorial, "jobs": jobs}


# --- Timing -----------------------------------------------------------------------------------------------------------


def timed(commands: list[Command]) -> Row:
    """Seconds until commands that start together have ended, and what their JSON says of the epoch and the test."""
    began, pipes = time.perf_counter(), {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([str(word) for word in command], **pipes) for command in commands]
    ended = [(process, *process.communicate()) for process in started]
    row = {"whole": time.perf_counter() - began}
    for process, out, err in ended:
        if process.returncode not in (0, 1) or (process.returncode and not out.startswith("{")):  # 1: a broken limit
            sys.exit(f"benchmark.py: error: {' '.join(map(str, process.args))}: {err.strip()[-500:]}")
        found = json.loads(out) if out.startswith("{") else {}
        if "train_seconds" in found:
            row["epoch"] = max(row.get("epoch", 0), found["train_seconds"])
            row["accuracy"] = found["test_accuracy"]
    return row


def compared(given: argparse.Namespace) -> tuple[list[Command], list[Command]]:
    """The commands of ours and of theirs."""

    def script(*more: Any, root: Path = ROOT) -> Command:
        folder = tempfile.mkdtemp(dir=given.folder)
        fixed = ["--dataset", given.dataset, "--results-dir", folder, "--json", "--quiet"]
        return [sys.executable, root / "mnist_efficient_model.py", *fixed, *more]

    if given.what == "startup":
        return [script()], [[sys.executable, "-c", "import torch"]]
    if given.what == "pair":
        return [script()], [script(root=given.other)]
    if given.what == "together":
        return [script(), script()], [script()]
    more = ("--seeds", 20, "--jobs", 2) if given.what == "jobs" else ()
    return [script(*more)], [[sys.executable, __file__, given.what, "--recipe", "--dataset", given.dataset]]


def one_round(given: argparse.Namespace, reverse: bool) -> Row:
    commands = dict(zip(("ours", "theirs"), compared(given), strict=True))
    found = {name: timed(commands[name]) for name in sorted(commands, reverse=reverse)}
    ours, theirs = found["ours"], found["theirs"]
    row = {f"{name} {key}": found[name][key] for key in ours for name in commands if key in found[name]}
    if given.what == "startup":
        return row | {"rest": ours["whole"] - ours["epoch"] - theirs["whole"]}
    return row | {f"{key} ratio": ours[key] / theirs[key] for key in ("whole", "epoch") if key in ours.keys() & theirs}


def shown(row: Row) -> str:
    return "  ".join(f"{name} {value:.{4 if 'accuracy' in name else 2}f}" for name, value in row.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("what", choices=("startup", "pair", "together", *RECIPES))
    add("other", nargs="?", type=Path, metavar="CHECKOUT", help="pair: folder of the other mnist_efficient_model.py")
    add("--rounds", type=int, default=7, metavar="N", help="default: 7")
    add("--dataset", default="mnist", choices=("mnist", "fashion"), help="of $MNIST_DATA_DIR (default: mnist)")
    add("--recipe", action="store_true", help="run only what the script is measured against")
    given = parser.parse_args()
    if (given.what == "pair") != (given.other is not None):
        parser.error("pair, and nothing else, takes the folder of another checkout")
    if given.recipe:
        return RECIPES[given.what](given.dataset)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as given.folder:
        for i in range(given.rounds):
            rows.append(one_round(given, i % 2 == 1))
            print(f"{i + 1:>6}  {shown(rows[-1])}", flush=True)
    print(f"median  {shown({name: statistics.median(row[name] for row in rows) for name in rows[0]})}  (n={len(rows)})")


if __name__ == "__main__":
    main()
