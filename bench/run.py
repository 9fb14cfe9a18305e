"""`python -m bench.run`: all peers, all scenarios, interleaved round by round; a table, an SVG and all samples."""

import argparse
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.figures import FLOOR, Figures
from bench.gateways import OPTIONAL
from bench.load_side import LoadSide, build
from bench.peers import KEPT, OURS, Start
from bench.plot import plot
from bench.programs import ROOT, BenchError
from bench.report import faulty, report
from bench.samples import Sample
from bench.scenarios import SIZES, Scenario
from bench.stage import Cores, Stage

OUTPUT = ROOT / "var/bench"


def main(words: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 when an answer was relayed wrongly; 2 when the bench could not run."""
    options = _parse(words)
    _raise_descriptor_limit()
    try:
        samples, peers = measure(options, {**OURS, **KEPT, **OPTIONAL})
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n" + report(samples, peers))
    _write(
        options.json or options.folder / "bench.json", json.dumps([sample.as_json() for sample in samples], indent=1)
    )
    _write(options.svg or options.folder / "bench.svg", plot(Figures(samples), peers))
    return 1 if faulty(samples) else 0


def measure(options: argparse.Namespace, starts: Mapping[str, Start]) -> tuple[list[Sample], list[str]]:
    """All samples, and the peers that could be started."""
    cores = Cores(options.peer_core, options.load_core)
    os.sched_setaffinity(0, {cores.load})
    if cores.peer == cores.load:
        print("peers and load share one core: only CPU and memory can be compared", file=sys.stderr)
    scenarios = [SIZES[options.size][name] for name in options.scenarios]
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=options.folder) as folder:
        directory = Path(folder)
        load_side = LoadSide(build(options.folder), directory, cores.load)
        stage = Stage(starts, directory, cores, load_side)
        try:
            peers = _open(stage, options.peers)
            return list(_rounds(stage, scenarios, peers, options.rounds)), peers
        finally:
            stage.close()
            load_side.stop()


def order_of(peers: Sequence[str], round_number: int) -> list[str]:
    """Each round begins with another peer, so that what drifts does not always meet the same one."""
    first = round_number % len(peers)
    return [*peers[first:], *peers[:first]]


def _rounds(stage: Stage, scenarios: Sequence[Scenario], peers: Sequence[str], rounds: int) -> Iterator[Sample]:
    for number in range(rounds):
        for scenario in scenarios:
            measured = [peer for peer in peers if scenario.has_floor or peer != FLOOR]
            for peer in order_of(measured, number):
                sample = scenario.measure(stage, peer, number + 1)
                print(f"round {number + 1}  {scenario.name:6}{peer:12}{_brief(sample)}", flush=True)
                yield sample


def _open(stage: Stage, names: Sequence[str]) -> list[str]:
    """Start them; an optional one that cannot be had is told and left out."""
    started = []
    for name in names:
        try:
            stage.open([name])
            started.append(name)
        except BenchError as error:
            if name not in OPTIONAL:
                raise
            print(f"{name} is left out: {error}", file=sys.stderr)
    return started


def _brief(sample: Sample) -> str:
    told = "  ".join(f"{name} {value:,.1f}" for name, value in sample.figures.items())
    wrong = "".join(f"  {count} {name.upper()}" for name, count in sample.faults.items())
    return told + wrong + (f"  ({sample.note})" if sample.note else "")


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    known = [*OURS, *KEPT, *OPTIONAL]
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="ours", help=f"ours, kept, all, or some of: {', '.join(known)}")
    parser.add_argument("--scenarios", default="", help=f"some of: {', '.join(SIZES['full'])}; default: all")
    parser.add_argument("--quick", dest="size", action="store_const", const="quick", default="full", help="tiny counts")
    parser.add_argument("--folder", type=_folder, default=OUTPUT, help="for programs, logs and results")
    parser.add_argument("--json", type=Path, help="default: bench.json in the folder")
    parser.add_argument("--svg", type=Path, help="default: bench.svg in the folder")
    parser.add_argument("--peer-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=max(os.sched_getaffinity(0)))
    options = parser.parse_args(words)
    sets = {"ours": [*OURS], "kept": ["relay", *KEPT], "all": known}
    options.peers = _chosen(parser, options.peers, sets, known)
    options.scenarios = _chosen(parser, options.scenarios, {"": [*SIZES["full"]]}, [*SIZES["full"]])
    return options


def _chosen(
    parser: argparse.ArgumentParser, text: str, sets: Mapping[str, list[str]], known: Sequence[str]
) -> list[str]:
    names = sets.get(text) or text.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join([*filter(None, sets), *known])}")
    return names


def _folder(text: str) -> Path:
    return Path(text).resolve()


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main())
