"""The rules of the house, as functions over one source file: each yields `file:line: what is wrong; what to do`."""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

LINES_MAX = 250
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "handler", "handlers", "common"}

# web, cli -> rooms -> stores -> core; `assembly` builds the rooms. A layer may import itself and what is named here.
BELOW = {
    "core": {"core"},
    "stores": {"stores", "core"},
    "room": {"stores", "core"},  # of other rooms it knows nothing: see `_same_room`
    "assembly": {"room", "stores", "core"},
    "web": {"web", "assembly", "room", "stores", "core"},
    "cli": {"cli", "assembly", "room", "stores", "core"},
    "app": {"web"},
    "gunicorn.conf": set(),
    "config": set(),
    "tests": {"tests", "web", "cli", "assembly", "room", "stores", "core", "app"},
}

MAY_READ_CONFIG = ("config", "relay.assembly", "relay.web", "relay.cli", "gunicorn.conf", "tests")

# Who may import a library; a package's name admits all that is in it.
CONFINED = {
    "flask": ("relay.web",),
    "flask_cors": ("relay.web",),
    "werkzeug": ("relay.web",),
    "gevent": (
        "gunicorn.conf",
        "relay.pump",
        "relay.streams",
        "relay.tasks",
        "relay.probe",
        "relay.upstream",
        "relay.connections",
        "relay.lifecycle",
        "relay.control",
        "relay.loop",
        "relay.demo",
        "relay.cli.serve",
        "relay.cli.demo_upstream",
        "relay.cli.worker",
    ),
    "requests": ("relay.upstream", "relay.pump.takeover", "relay.cli"),
    "urllib3": ("relay.upstream", "relay.pump.takeover", "relay.cli"),
    "redis": ("relay.stores",),
    "sqlalchemy": ("relay.stores",),
    "jwt": ("relay.tokens",),
    "limits": ("relay.stores", "relay.admission"),
}

# core/ thinks and does nothing: what it would need of these is handed to it as an argument.
NOT_IN_CORE = {
    "asyncio", "http.client", "logging", "os", "pathlib", "select", "selectors", "shutil", "signal", "socket",
    "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
NOT_CALLED_IN_CORE = {"open", "print", "input", "now", "utcnow", "today", "monotonic", "perf_counter"}


@dataclass(frozen=True)
class Source:
    """One file; `path` from the project's root, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_ours(self) -> bool:
        return not self.path.startswith("tests/")

    def problem(self, line: int, wrong: str, remedy: str) -> str:
        return f"{self.path}:{line}: {wrong}; {remedy}"

    def imports(self) -> Iterator[tuple[int, str]]:
        """Every imported thing under its full dotted name: `from a.b import c` is a.b.c."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.path.removesuffix(".py").split("/")[: -node.level]
        return ".".join([*package, *(node.module or "").split(".")]).strip(".")


Rule = Callable[[Source], Iterator[str]]


def layers(source: Source) -> Iterator[str]:
    """web, cli -> rooms -> stores -> core, and no room knows another."""
    own = _layer(source.module)
    for line, name in source.imports():
        layer = _layer(name)
        if layer in BELOW[own] | {"config", "outside"} or _same_room(source.module, name):
            continue
        remedy = "let assembly hand it over" if layer == own == "room" else "move the code down, or ask from above"
        yield source.problem(line, f"{own} imports {name} ({layer})", remedy)


def configuration(source: Source) -> Iterator[str]:
    """Few read the settings; the others are given values."""
    if not _within(source.module, MAY_READ_CONFIG) or _deep_in_web(source.module):
        for line, name in source.imports():
            if _within(name, ("config",)):
                yield source.problem(line, f"imports {name}", "let assembly pass the value")


def libraries(source: Source) -> Iterator[str]:
    """Each library stays in the room that it serves."""
    for line, name in source.imports() if source.is_ours else ():
        admitted = CONFINED.get(name.split(".")[0])
        if admitted is not None and not _within(source.module, admitted):
            yield source.problem(line, f"imports {name}", f"only {', '.join(admitted)} may: use what they offer")


def environment(source: Source) -> Iterator[str]:
    """Only config reads the environment."""
    if not source.is_ours or _within(source.module, ("config",)):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.environb", "os.getenv"}:
            yield source.problem(node.lineno, f"reads {ast.unparse(node)}", "make it a setting in config")
    for line, name in source.imports():
        if name in {"os.environ", "os.environb", "os.getenv"}:
            yield source.problem(line, f"imports {name}", "make it a setting in config")


def purity(source: Source) -> Iterator[str]:
    """core/ is the standard library and msgspec, with no clock and no I/O."""
    if not _within(source.module, ("relay.core",)):
        return
    for line, name in source.imports():
        if name.split(".")[0] not in sys.stdlib_module_names | {"msgspec", "relay"}:
            yield source.problem(line, f"core imports {name}", "core knows the standard library and msgspec only")
        if _within(name, tuple(NOT_IN_CORE)):
            yield source.problem(line, f"core imports {name}", "take the time or the bytes as an argument")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (called := _called(node)) in NOT_CALLED_IN_CORE:
            yield source.problem(node.lineno, f"core calls {called}()", "take the time or the bytes as an argument")


def size(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > LINES_MAX:
        yield source.problem(lines, f"{lines} lines, {LINES_MAX} at most", "it is two rooms: split it")


def name(source: Source) -> Iterator[str]:
    for part in source.module.split("."):
        if vague := set(part.split("_")) & VAGUE_NAMES:
            yield source.problem(1, f"a file named {vague.pop()!r}", "name it for what it does")


def docstring(source: Source) -> Iterator[str]:
    if source.text.strip() and not ast.get_docstring(source.tree):
        yield source.problem(1, "no module docstring", "say in a line what the file is for")


def globals_(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield source.problem(node.lineno, f"global {', '.join(node.names)}", "keep the state in an object")


RULES: tuple[Rule, ...] = (layers, configuration, libraries, environment, purity, size, name, docstring, globals_)


def _layer(module: str) -> str:
    top, *rest = module.split(".")
    if _within(module, ("gunicorn.conf",)):
        return "gunicorn.conf"
    if top == "relay":
        return _layer_within_relay(rest[0] if rest else "")
    return top if top in {"config", "app", "tests"} else "outside"


def _layer_within_relay(part: str) -> str:
    if part in {"core", "stores", "assembly", "web", "cli"}:
        return part
    return "cli" if part == "__main__" else "room"


def _same_room(module: str, other: str) -> bool:
    """A package under relay/ is one room; its files know each other."""
    return module.split(".")[:2] == other.split(".")[:2] and module.startswith("relay.")


def _deep_in_web(module: str) -> bool:
    """Of web only `__init__` reads the settings."""
    return module.startswith("relay.web.")


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
