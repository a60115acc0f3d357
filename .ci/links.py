"""Checks that documents name files that exist: links, their headings, and Rust files and folders in backquotes."""

import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).parent.parent
tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
files = [name for name in tracked if (root / name).is_file()]
names = {"/" + name for name in files} | {f"/{parent}/" for name in files for parent in pathlib.Path(name).parents}


def headings(path):
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def problems_of(document):
    text = re.sub(r"```.*?```", "", (root / document).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        # Rust's documentation checks its own links.
        if ":" in target or not path and not heading or re.match(r"crate\b", target):
            continue
        linked = (root / document).parent / path if path else root / document
        if not linked.exists():
            yield f"{document}: there is no {path}"
        elif heading and heading not in headings(linked):
            yield f"{document}: {path} has no heading #{heading}"
    for code in re.findall(r"`([\w./-]+(?:\.rs|/))`", text):
        if not any(name.endswith("/" + code) for name in names):
            yield f"{document}: there is no file {code}"


documents = [name for name in files if name.endswith(".md") and name != "CHANGELOG.md"]
problems = [problem for document in documents for problem in problems_of(document)]
print(*problems, f"{len(documents)} documents, {len(problems)} problems", sep="\n")
sys.exit(1 if problems else 0)
