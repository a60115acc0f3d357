"""Checks a report of the demo: check_demo.py FILE CONDITION..., such as vms=5 or parts[1].ticks>3."""

import json
import re
import sys

path, *conditions = sys.argv[1:]
with open(path) as file:
    report = json.load(file)


def look_up(key):
    value = report
    for name in re.findall(r"\w+", key):
        value = value[int(name)] if isinstance(value, list) else value.get(name, 0)
    return value


problems = []
for condition in conditions:
    key, sign, wanted = re.fullmatch(r"(.*?)([=<>])(.*)", condition).groups()
    value = look_up(key)
    holds = {
        "=": lambda: str(value) == wanted,
        "<": lambda: value < float(wanted),
        ">": lambda: value > float(wanted),
    }[sign]()
    if not holds:
        problems.append(f"{path}: {key} is {value}, expected {sign} {wanted}")

# Only runaways may end badly: robots are persistent, so none is missing.
if report["runaways"] == 0 and report["kills"]:
    problems.append(f"{path}: {report['last_kills']}")
if not all(part["median_ms"] > 0 for part in report["parts"] if part["frames"] > 10):
    problems.append(f"{path}: frames took no time")

for problem in problems:
    print(problem, file=sys.stderr)
sys.exit(1 if problems else 0)
