"""`python assets/record_runs.py`: records the two runs that the app opens with anew, in place of those that are here.

Each is an ordinary run of the defaults, and what the pages offer on top of one has been asked for: planes, exact
eigenvalues and their check, the density, other rankings, one exact cut, and what the network weighs elsewhere.
Times and latencies are recorded too, so nothing else should be busy on the machine meanwhile.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TASKS = range(5)
OWN = ("checkpoints", "lock", "log.jsonl", "worker.json")  # of the machine that it ran on, and of no use elsewhere
PLANES = [
    ["landscape", "--task", "0", "--x", "eigen1", "--y", "eigen2"],
    ["landscape", "--task", "0", "--x", "task", "--y", "eigen1"],
]
LOOKS = [
    ["spectrum", "--check"],
    *(["sparsity", "--compare", "--task", str(task)] for task in TASKS),
    ["sparsity", "--exact", "0.93"],
    ["deployment"],
]
RUNS = {
    "EsaCL on digits": (["--method", "esacl"], PLANES + LOOKS),
    "EWC, cut by magnitude": (["--method", "ewc", "--sparsity", "0.9"], LOOKS),
}


def main() -> None:
    """Record both; earlier ones go once all that is new is there."""
    earlier = [folder for folder in HERE.iterdir() if (folder / "config.json").is_file()]
    with tempfile.TemporaryDirectory(dir=HERE.parent, prefix=".recording-") as folder:
        made = [recorded(Path(folder), name, *asked) for name, asked in RUNS.items()]
        for each in earlier:
            shutil.rmtree(each)
        for run in made:
            shutil.move(run, HERE / run.name)


def recorded(runs: Path, name: str, settings: list[str], looks: list[list[str]]) -> Path:
    """One run and every look at it; its folder."""
    told = esacl("run", *settings, "--name", name, "--threads", "1", "--runs", str(runs), "--json")
    run = json.loads(told.splitlines()[-1])["run"]
    for look in looks:
        print(name, *look, flush=True)
        esacl("analyse", run, *look, "--runs", str(runs))
    for each in (runs / run / name for name in OWN):
        shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
    return runs / run


def esacl(*words: str) -> str:
    """What a command says; this program ends with what it says where it fails."""
    done = subprocess.run([sys.executable, "-m", "esacl", *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
