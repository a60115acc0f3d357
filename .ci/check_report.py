"""Checks a JSON report of the stress: usage: check_report.py FILE key=value..."""

import json
import sys

KEYS = """workload vms processes finished failed killed unfinished vm_ticks resumes starting_resumes frames late_ticks elapsed_s
spawn_s despawn_s frame_ms tick_ms resume_ns gc_ms gc_pause_max_ms isolate_bytes live_bytes peak_rss_bytes
bytes_per_process
workers isolates quantum tick_budget baseline quarters neighbours_ended fairness
save_s save_bytes save_frame_max_ms load_s digest""".split()
DISTRIBUTION = "mean p50 p99 p999 max".split()

path, *expected = sys.argv[1:]
with open(path) as file:
    report = json.load(file)

problems = [f"key {key} is missing" for key in KEYS if key not in report]
problems += [f"key {key} is unknown" for key in report if key not in KEYS]
for name in ("frame_ms", "tick_ms"):
    problems += [f"{name}.{key} is missing" for key in DISTRIBUTION if key not in report.get(name, {})]
ended = sum(report.get(key, 0) for key in ("finished", "failed", "killed", "unfinished"))
if ended != report.get("processes"):
    problems.append(f"{ended} processes are accounted for, not {report.get('processes')}")
for key in ("resumes", "frames", "elapsed_s", "isolate_bytes", "peak_rss_bytes"):
    if not report.get(key, 0) > 0:
        problems.append(f"{key} is {report.get(key)}, expected more than 0")
# Slices have a time if some ran otherwise than with the start of their process.
if (report.get("resume_ns", 0) > 0) != (report.get("resumes", 0) > report.get("starting_resumes", 0)):
    problems.append("resume_ns is {resume_ns}, with {starting_resumes} of {resumes} slices in starts".format(**report))
for expectation in expected:
    key, value = expectation.split("=")
    if str(report.get(key)) != value:
        problems.append(f"{key} is {report.get(key)}, expected {value}")

for problem in problems:
    print(f"{path}: {problem}", file=sys.stderr)
sys.exit(1 if problems else 0)
