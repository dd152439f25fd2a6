"""Enough of SLURM to submit an array of jobs here: sbatch, srun and sacct, by the name called.

An allocation is this machine several times over; its tasks are processes with the variables that
SLURM sets. Jobs run one after the other, and ``sacct`` knows how each ended.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ARRAY = "4711"


def install(folder: Path) -> None:
    """Put the three commands into a folder that is to lead PATH."""
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct"):
        script = folder / name
        script.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
        script.chmod(0o755)


def sbatch(script: str) -> None:
    """Submit: the jobs go on when this command has ended."""
    options = dict(re.findall(r"#SBATCH --([\w-]+)=(\S+)", Path(script).read_text()))
    last = int(options["array"].split("%")[0].split("-")[1])
    tasks, nodes = options.get("ntasks-per-node", "1"), options.get("nodes", "1")
    everyone = {
        "SLURM_NTASKS": str(int(tasks) * int(nodes)), "SLURM_NTASKS_PER_NODE": tasks,
        "SLURM_NNODES": nodes, "SLURM_JOB_NUM_NODES": nodes, "SLURM_NODELIST": "localhost",
        "SLURM_JOB_NODELIST": "localhost", "SLURM_JOB_NAME": options["job-name"],
        "SLURM_ARRAY_JOB_ID": ARRAY,
    }  # fmt: skip
    (_here() / "states.json").write_text(json.dumps(dict.fromkeys(range(last + 1), "PENDING")))
    print(f"Submitted batch job {ARRAY}", flush=True)
    if os.fork() == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        for job in range(last + 1):
            own = {"SLURM_ARRAY_TASK_ID": str(job), "SLURM_JOB_ID": str(int(ARRAY) + job)}
            _note(job, "RUNNING")
            ended = subprocess.run(["bash", script], env={**os.environ, **everyone, **own})
            _note(job, "FAILED" if ended.returncode else "COMPLETED")


def srun(output: str, command: list[str]) -> int:
    """Run the command once a task; the worst status of all."""
    own = {"%A": ARRAY, "%a": os.environ["SLURM_ARRAY_TASK_ID"]}
    for mark, value in own.items():
        output = output.replace(mark, value)
    per_node, started = int(os.environ["SLURM_NTASKS_PER_NODE"]), []
    for task in range(int(os.environ["SLURM_NTASKS"])):
        place = {
            "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task % per_node),
            "SLURM_NODEID": str(task // per_node),
        }  # fmt: skip
        with open(output.replace("%t", str(task)), "w") as printed:
            started.append(
                subprocess.Popen(
                    command, env={**os.environ, **place}, stdout=printed, stderr=subprocess.STDOUT
                )
            )
    return max(abs(process.wait()) for process in started)


def sacct() -> None:
    """How the jobs stand."""
    print("JobID|State|NodeList")
    for job, state in json.loads((_here() / "states.json").read_text()).items():
        print(f"{ARRAY}_{job}|{state}|localhost")


def _here() -> Path:
    return Path(sys.argv[0]).parent


def _note(job: int, state: str) -> None:
    states = json.loads((_here() / "states.json").read_text())
    fresh = _here() / "states.new"
    fresh.write_text(json.dumps({**states, str(job): state}))
    fresh.replace(_here() / "states.json")


def main() -> None:
    name = Path(sys.argv[0]).name
    if name == "sbatch":
        sbatch(sys.argv[-1])
    elif name == "srun":
        parser = argparse.ArgumentParser()
        parser.add_argument("--unbuffered", action="store_true")
        parser.add_argument("--output", required=True)
        parser.add_argument("--error")
        parser.add_argument("command", nargs=argparse.REMAINDER)
        given = parser.parse_args()
        sys.exit(srun(given.output, given.command))
    else:
        sacct()


if __name__ == "__main__":
    main()
