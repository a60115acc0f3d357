"""Checks that each floor of src/ imports only from floors below it, and that no files import each other in a circle.

An import counts for the file that defines the item, not for one that re-exports it.
"""

import pathlib
import re
import sys

# From the lowest floor to the highest. A folder and the file of the same name are one floor.
FLOORS = """random value types save console script luau isolate runtime assets process vm api ecs scheduler diagnostics
plugin run guide lib""".split()
SOURCE = pathlib.Path(__file__).parent.parent / "src"


def module_of(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return () if parts == ("lib",) else parts


def code_of(path):
    text = re.sub(r"//.*", "", path.read_text())
    return re.sub(r"#\[cfg\(test\)\]\s*mod \w+ \{.*", "", text, flags=re.DOTALL)


def expand(tree):
    """The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`."""
    prefix, brace, rest = tree.partition("{")
    if not brace:
        return [tree.split(" as ")[0].strip()]
    parts = re.findall(r"(?:[^,{}]|\{(?:[^{}]|\{[^{}]*\})*\})+", rest.rstrip()[:-1])
    return [prefix.strip() + path for part in parts if part.strip() for path in expand(part.strip())]


CODE = {module_of(path): code_of(path) for path in SOURCE.rglob("*.rs")}
USES = re.compile(r"(\bpub(?:\([^)]*\))? )?\buse ([^;]+);")


def absolute(module, path):
    """The names of a path from the root of the crate, or None if it leads to another crate."""
    names, base = path.split("::"), list(module)
    if names[0] == "crate":
        base = []
    elif names[0] not in ("super", "self") and (*module, names[0]) not in CODE:
        return None
    for name in names:
        base = base[:-1] if name == "super" else base if name in ("crate", "self") else [*base, name]
    return tuple(base)


REEXPORTS = {}
for module, text in CODE.items():
    for public, tree in USES.findall(text):
        for path in expand(tree) if public else []:
            REEXPORTS[*module, path.split("::")[-1]] = absolute(module, path)


def defining_file(names):
    for end in range(1, len(names) + 1):
        target = REEXPORTS.get(names[:end])
        if target and names[:end] not in CODE:
            return defining_file((*target, *names[end:]))
    while names not in CODE:
        names = names[:-1]
    return names


def imports(module, text):
    body = USES.sub("", text)
    paths = re.findall(r"\b(?:crate|super)(?:::\w+)+", re.sub(r"pub\([^)]*\)", "", body))
    for public, tree in USES.findall(text):
        used = lambda path: re.search(rf"\b{path.split('::')[-1]}\b", body)
        paths += [path for path in expand(tree) if not public or used(path)]
    targets = {defining_file(names) for names in (absolute(module, path) for path in paths) if names}
    return sorted(targets - {module})


def circles(graph):
    """The files from which a way of imports leads back, by the files that they share it with."""
    reach = {node: set(targets) for node, targets in graph.items()}
    while any([reach[node].update(*(reach[to] for to in reach[node])) or len(reach[node]) > size
               for node, size in [(node, len(reach[node])) for node in graph]]):
        pass
    return {tuple(sorted(to for to in reach[node] if node in reach[to])) for node in graph if node in reach[node]}


graph = {module: imports(module, text) for module, text in CODE.items()}
name = lambda module: "::".join(module) or "lib"
floor = lambda module: FLOORS.index(module[0] if module else "lib")
problems = [f"{name(a)} imports {name(b)}, which is above it" for a in graph for b in graph[a] if floor(b) > floor(a)]
problems += [f"a circle: {', '.join(map(name, circle))}" for circle in circles(graph)]
print(*problems, f"{len(graph)} files, {sum(map(len, graph.values()))} imports, {len(problems)} problems", sep="\n")
sys.exit(1 if problems else 0)
