"""The SVG: well-formed, one bar for each figure, and none for what was not measured."""

from xml.etree import ElementTree

from relay.comparison.plot import svg
from relay.core.comparison.figures import Call
from relay.core.comparison.rows import Row, rows
from relay.core.usage import Usage

NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(calls: list[Call], model: str = "a") -> ElementTree.Element:
    made: list[Row] = rows({(model, "sequential", "relay"): calls, (model, "sequential", "direct"): calls}, {})
    return ElementTree.fromstring(svg("title & more", "2027-01-15", made))


def texts(document: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in document.iter(f"{NAMESPACE}text")]


def test_each_figure_has_its_bar_and_its_number() -> None:
    document = drawn([Call("", 0.42, 2.0, Usage(1, 137))] * 3)
    bars = list(document.iter(f"{NAMESPACE}rect"))[1:]
    assert len(bars) == 4
    assert {"title & more", "a, sequential, relay", "420", "68.0"} <= set(texts(document))
    assert len({bar.get("fill") for bar in bars}) == 2


def test_what_was_not_measured_has_no_bar() -> None:
    document = drawn([Call("status 500")])
    assert len(list(document.iter(f"{NAMESPACE}rect"))) == 1
    assert texts(document).count("not measured") == 4


def test_a_models_name_stays_text() -> None:
    assert "<script>, sequential, relay" in texts(drawn([Call("", 0.1, 1.0, Usage(1, 9))], "<script>"))


def test_a_longer_bar_is_a_greater_figure() -> None:
    made = rows({("a", "x", "relay"): [Call("", 0.1)], ("a", "y", "relay"): [Call("", 0.4)]}, {})
    document = ElementTree.fromstring(svg("", "", made))
    short, long = (float(bar.get("width", "0")) for bar in list(document.iter(f"{NAMESPACE}rect"))[1:3])
    assert long == 4 * short
