"""Thirty digits as people write them, to be drawn on the exported page by a real mouse in a real browser.

Shapes are lists of strokes, strokes lists of points (x, y), y downwards, in a box of height 1.
"""

import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

Point = tuple[float, float]
Shape = list[list[Point]]


class Placement(NamedTuple):
    """Where on the pad a shape goes: its height and centre as fractions of the pad's side, its turn in degrees."""

    height: float
    x: float = 0.5
    y: float = 0.5
    turn: float = 0


def arc(x: float, y: float, wide: float, high: float, start: float, end: float) -> list[Point]:
    """Points along an ellipse of radii ``wide`` and ``high``, from angle to angle in degrees; 90 is down."""
    angles = [math.radians(start + (end - start) * i / 15) for i in range(16)]
    return [(x + wide * math.cos(a), y + high * math.sin(a)) for a in angles]


SHAPES: dict[str, dict[str, Shape]] = {  # digit -> style -> strokes
    "0": {
        "round": [arc(0.5, 0.5, 0.36, 0.5, -90, 270)],
        "narrow": [arc(0.5, 0.5, 0.15, 0.5, -100, 265)],
        "slashed": [arc(0.5, 0.5, 0.27, 0.5, -90, 270), [(0.8, 0.04), (0.2, 0.96)]],
    },
    "1": {
        "stick": [[(0.53, 0), (0.47, 1)]],
        "flag": [[(0.32, 0.25), (0.55, 0), (0.55, 1)]],
        "based": [[(0.32, 0.24), (0.54, 0), (0.54, 1)], [(0.28, 1), (0.8, 1)]],
    },
    "2": {
        "round": [[*arc(0.5, 0.27, 0.3, 0.27, -170, 35), (0.2, 1), (0.84, 1)]],
        "looped": [
            [*arc(0.48, 0.26, 0.28, 0.26, -160, 50), *arc(0.3, 0.87, 0.13, 0.1, 60, 300), (0.55, 0.95), (0.88, 0.9)]
        ],
        "angular": [[(0.18, 0.14), (0.5, 0), (0.78, 0.16), (0.72, 0.42), (0.16, 0.98), (0.84, 0.96)]],
    },
    "3": {
        "round": [arc(0.45, 0.25, 0.3, 0.25, -150, 90) + arc(0.45, 0.74, 0.35, 0.26, -90, 150)],
        "flat": [[(0.18, 0.02), (0.78, 0), (0.45, 0.38), *arc(0.45, 0.69, 0.34, 0.31, -80, 155)]],
        "notched": [[*arc(0.46, 0.24, 0.27, 0.24, -160, 70), (0.4, 0.48), *arc(0.46, 0.74, 0.33, 0.26, -75, 160)]],
    },
    "4": {
        "open": [[(0.24, 0.04), (0.16, 0.56), (0.84, 0.54)], [(0.68, 0.12), (0.62, 1)]],
        "closed": [[(0.62, 1), (0.64, 0), (0.22, 0.6), (0.86, 0.6)]],
        "square": [[(0.22, 0), (0.22, 0.5), (0.78, 0.5)], [(0.78, 0), (0.78, 1)]],
    },
    "5": {
        "hatted": [[(0.3, 0.04), (0.26, 0.42), *arc(0.42, 0.7, 0.34, 0.3, -110, 140)], [(0.3, 0.04), (0.82, 0)]],
        "flowing": [[(0.8, 0.02), (0.32, 0.06), (0.28, 0.46), *arc(0.44, 0.7, 0.33, 0.3, -105, 150)]],
        "square": [[(0.8, 0), (0.24, 0), (0.24, 0.44), (0.62, 0.44), (0.78, 0.6), (0.74, 0.9), (0.5, 1), (0.2, 0.94)]],
    },
    "6": {
        "curled": [[(0.66, 0.02), (0.38, 0.26), (0.24, 0.58), *arc(0.5, 0.72, 0.27, 0.28, 180, -175)]],
        "small bowl": [[(0.6, 0), (0.3, 0.66), *arc(0.47, 0.81, 0.19, 0.19, 190, -160)]],
        "wide": [arc(0.6, 0.5, 0.4, 0.5, -70, -180) + arc(0.52, 0.71, 0.32, 0.29, 180, -150)],
    },
    "7": {
        "plain": [[(0.16, 0.04), (0.82, 0), (0.4, 1)]],
        "crossed": [[(0.16, 0.04), (0.82, 0), (0.42, 1)], [(0.3, 0.52), (0.76, 0.48)]],
        "hooked": [[(0.14, 0.2), (0.18, 0.02), (0.8, 0.02), (0.56, 0.4), (0.46, 1)]],
    },
    "8": {
        "one stroke": [
            [
                *arc(0.5, 0.25, 0.26, 0.25, -60, -270),
                *arc(0.5, 0.75, 0.32, 0.25, -90, 270),
                *arc(0.5, 0.25, 0.26, 0.25, 90, -50),
            ]
        ],
        "two rings": [arc(0.5, 0.24, 0.25, 0.24, -90, 270), arc(0.5, 0.74, 0.31, 0.26, -90, 270)],
        "narrow": [arc(0.5, 0.25, 0.13, 0.25, -90, 270), arc(0.5, 0.75, 0.15, 0.25, -90, 270)],
    },
    "9": {
        "straight": [[*arc(0.46, 0.28, 0.28, 0.28, -10, -350), (0.74, 0.06), (0.7, 1)]],
        "curved": [[*arc(0.48, 0.28, 0.28, 0.28, 0, -355), (0.74, 0.6), *arc(0.44, 0.7, 0.28, 0.3, 20, 120)]],
        "small bowl": [[*arc(0.5, 0.19, 0.2, 0.19, -10, -370), (0.52, 1)]],
    },
}


def place(shape: Shape, placement: Placement) -> Shape:
    """A shape's points as fractions of the pad's side."""
    height, cx, cy, turn = placement
    cos, sin = height * math.cos(math.radians(turn)), height * math.sin(math.radians(turn))

    def placed(x: float, y: float) -> Point:
        return cx + (x - 0.5) * cos - (y - 0.5) * sin, cy + (x - 0.5) * sin + (y - 0.5) * cos

    return [[placed(x, y) for x, y in stroke] for stroke in shape]


def open_browser(profile: Path) -> Any:
    """A headless Chromium under Selenium. Raises RuntimeError where one of the two is missing."""
    try:
        from selenium import webdriver
    except ImportError as error:
        raise RuntimeError("needs selenium: pip install -r export/requirements.txt") from error
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        raise RuntimeError("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        f"--disable-component-update --disable-sync --user-data-dir={profile}"
    ).split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.set_window_size(1100, 1000)
    return browser


def draw(browser: Any, shape: Shape) -> None:
    """Move the pressed mouse along the strokes of a placed shape, and wait until the page shows its prediction."""
    from selenium.webdriver import ActionChains

    pad = browser.find_element("id", "pad")
    side, actions = pad.size["width"], ActionChains(browser, duration=0)
    for stroke in shape:
        for i, (x, y) in enumerate(stroke):
            actions.move_to_element_with_offset(pad, round((x - 0.5) * side), round((y - 0.5) * side))
            if i == 0:
                actions.click_and_hold()
        actions.release()
    actions.perform()
    settle(browser)


def settle(browser: Any) -> None:
    """Wait for the page's next frame but one."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]));")


def prediction(browser: Any) -> str:
    return browser.execute_script("return document.getElementById('digit').textContent;")


def wrong(browser: Any, placements: list[Placement]) -> list[str]:
    """Draw every shape in every placement on the page that is open; what was classified wrongly, a line each."""
    mistakes = []
    for digit, styles in SHAPES.items():
        for style, shape in styles.items():
            for placement in placements:
                browser.execute_script("document.getElementById('clear').click();")
                draw(browser, place(shape, placement))
                if (seen := prediction(browser)) != digit:
                    where = f"height {placement.height}, centre {placement.x}, {placement.y}, turn {placement.turn}"
                    mistakes.append(f"{digit} {style}, {where}: {seen}")
    return mistakes
