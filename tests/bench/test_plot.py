"""The SVG is well-formed, has a bar for each ratio, and puts them where they belong."""

from xml.etree import ElementTree

import pytest

from bench.figures import Figures
from bench.plot import plot
from bench.samples import Sample

NAME = "{http://www.w3.org/2000/svg}"
SAMPLES = [
    Sample(number, scenario, peer, {"cpu_per_frame_us": value * number})
    for number in (1, 2)
    for scenario in ("S1", "S2")
    for peer, value in (("nginx", 10.0), ("relay", 15.0), ("naive", 900.0), ("direct", 1.0))
]
PEERS = ["direct", "nginx", "naive", "relay"]


def drawing(samples: list[Sample]) -> ElementTree.Element:
    return ElementTree.fromstring(plot(Figures(samples), PEERS))


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{NAME}text")]


def test_each_ratio_has_a_bar_and_its_number() -> None:
    told = texts(drawing(SAMPLES))
    assert told.count("1.50 ×") == 2
    assert told.count("90.00 ×") == 2


def test_a_peer_that_costs_more_has_the_longer_bar() -> None:
    naive, relay = _widths(drawing(SAMPLES))[:2]
    assert naive > 3 * relay


def test_everything_stands_within_the_picture() -> None:
    root = drawing([*SAMPLES, Sample(3, "S1", "nginx", {"cpu_per_frame_us": 1.0}),
                    Sample(3, "S1", "naive", {"cpu_per_frame_us": 1e6})])  # fmt: skip
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for one in root.iter(f"{NAME}rect"):
        assert 0 <= float(one.get("x", 0)) <= float(one.get("x", 0)) + float(one.get("width", 0)) <= width
        assert 0 <= float(one.get("y", 0)) + float(one.get("height", 0)) <= height


@pytest.mark.parametrize("samples", [[], [Sample(1, "S1", "relay", {})]], ids=["none", "without figures"])
def test_a_run_without_ratios_is_still_a_picture(samples: list[Sample]) -> None:
    assert drawing(samples).tag == f"{NAME}svg"


def test_names_are_escaped() -> None:
    samples = [Sample(1, "S1", peer, {"cpu_per_frame_us": 1.0}) for peer in ("nginx", "<&>")]
    assert "<&>" in texts(ElementTree.fromstring(plot(Figures(samples), ["nginx", "<&>"])))


def _widths(root: ElementTree.Element) -> list[float]:
    """Of the bars, which are as high as a bar is."""
    return [float(one.get("width", 0)) for one in root.iter(f"{NAME}rect") if one.get("height") == "12"]
