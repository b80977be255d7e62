"""Training runs in processes of their own: queued, watched, stopped, and found again.

A job is a folder in its session, and nothing about it is kept in memory:

spec.json       what to run; its being there makes the job
process         the process group; locked as long as the run lives (see ``_start``)
progress.jsonl  events, one JSON object a line, written by the run
log.txt         all it printed
tmp             its temporary files
status          its exit status
stop, cancel    there when that was asked for
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cracklib.errors import TrainingError
from cracklib.store import SessionFolder, Store, is_locked, locked

State = Literal["queued", "running", "stopping", "finished", "stopped", "failed"]
Stage = Literal["starting", "features", "training", "calibrating", "done", "failed"]

TRAIN = (sys.executable, "-m", "cracklib", "train")
NICENESS = 10
"""So that inspecting goes first: of a core that both want, the run gets a tenth."""

_STAGES: dict[str, Stage] = {
    "features": "features",
    "step": "training",
    "epoch": "training",
    "calibrating": "calibrating",
    "done": "done",
    "failed": "failed",
}
_TAIL_BYTES = 64 * 1024
_FULL_DISK_BYTES = 1024**2
_FULL_DISK = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))


@dataclass(frozen=True)
class Progress:
    """How far a run is. ``step`` is its latest step event, ``epochs`` are all its epoch events.

    ``done`` of ``total`` photos are through where the stage is "features", and steps where it is
    "calibrating".
    ``stopped`` says of a stage "done" that the run was stopped before its last epoch, ``message``
    of a stage "failed" why.
    """

    stage: Stage = "starting"
    done: int = 0
    total: int = 0
    step: Mapping[str, Any] | None = None
    epochs: tuple[Mapping[str, Any], ...] = ()
    stopped: bool = False
    message: str = ""


@dataclass(frozen=True)
class Job:
    """One training run, known by its ``folder``. Every question is answered from the disk."""

    folder: Path

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """What the run is given on its command line, but for ``--out`` and ``--progress``."""
        return tuple(self._spec["arguments"])

    @cached_property
    def data(self) -> Path:
        """The folder of photos it trains and validates on."""
        return Path(self.option("data"))

    def option(self, name: str) -> str:
        """What its command line gives for ``--name``."""
        return self.arguments[self.arguments.index(f"--{name}") + 1]

    @cached_property
    def out(self) -> Path:
        """Where it writes the weights."""
        return Path(self._spec["out"])

    def state(self) -> State:
        """Where the run stands. A stopped one has kept its best epoch if ``out`` is there."""
        to_end = self._has("stop") or self._has("cancel")
        if not self._has("process"):
            return "stopped" if to_end else "queued"
        if self._alive:
            return "stopping" if to_end else "running"
        progress = self.progress()
        if progress.stage == "done":
            return "stopped" if progress.stopped else "finished"
        return "stopped" if self._has("cancel") else "failed"

    def has_model(self) -> bool:
        """Whether the run came to its end and what it wrote is still there."""
        return self.out.exists() and self.progress().stage == "done"

    def has_begun(self) -> bool:
        """Whether the run was started, and not cancelled while it waited."""
        return self._has("process")

    def has_ended(self) -> bool:
        """Whether the run is over, however it ended, or deleted; it stays so."""
        return not (self._waits or self._alive)

    def progress(self) -> Progress:
        """What the run has told so far. Lines that are not whole, or no events, are left out."""
        found: dict[str, Any] = {}
        epochs = []
        for event in _read_events(self.folder / "progress.jsonl"):
            stage = _STAGES[event["event"]]
            found["stage"] = stage
            if stage in ("features", "calibrating"):
                found.update(done=event.get("done", 0), total=event.get("total", 0))
            elif event["event"] == "step":
                found["step"] = event
            elif event["event"] == "epoch":
                epochs.append(event)
            elif stage == "done":
                found["stopped"] = bool(event.get("stopped"))
            else:
                found["message"] = str(event.get("message", ""))
        return Progress(epochs=tuple(epochs), **found)

    def log(self, lines: int) -> str:
        """The last ``lines`` lines that the run printed; of a progress bar, how it last looked."""
        try:
            with (self.folder / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        shown = [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip().split("\n")]
        return "\n".join(shown[-lines:])

    def failure(self) -> str:
        """For the user, what went wrong and what to do; empty unless the state is "failed"."""
        return f"{self._cause()} The model in use is unchanged." if self.state() == "failed" else ""

    def place_in_queue(self) -> int:
        """1 for the job that starts next, 0 for one that does not wait."""
        waiting = [job for job in _all_jobs(self._root) if job._waits]
        return waiting.index(self) + 1 if self in waiting else 0

    def stop(self) -> None:
        """Ask the run to end with the best epoch so far; a job that waits won't start."""
        # Another tab may have deleted it.
        with locked(self._root / "lock"), contextlib.suppress(FileNotFoundError):
            (self.folder / "stop").touch()

    def cancel(self) -> None:
        """End the run at once and keep nothing; a job that waits won't start."""
        with locked(self._root / "lock"):
            if self._waits or self._alive:
                (self.folder / "cancel").touch()
            if self._alive:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int((self.folder / "process").read_text()), signal.SIGTERM)

    @cached_property
    def _spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = json.loads((self.folder / "spec.json").read_text(encoding="utf-8"))
        return spec

    @property
    def _root(self) -> Path:
        return self.folder.parents[2]

    @property
    def _waits(self) -> bool:
        ended = any(map(self._has, ("process", "stop", "cancel")))
        return self._has("spec.json") and not ended

    @property
    def _alive(self) -> bool:
        return is_locked(self.folder / "process")

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _cause(self) -> str:
        told = self.progress().message
        if told:
            return told
        free = shutil.disk_usage(self.folder).free
        if free < _FULL_DISK_BYTES or any(text in self.log(50) for text in _FULL_DISK):
            return (
                "Training failed because the server's disk is full. Delete photos or models you no "
                "longer need, or ask whoever runs this server, and start again."
            )
        path = self.folder / "status"
        match path.read_text().strip() if path.exists() else "":
            case "":
                return (
                    "The training process is gone without a trace: it was killed, or the server "
                    "was restarted. Start again."
                )
            case "137":  # what a shell says of SIGKILL: 128 + 9
                return (
                    "The training process was killed, most often because the server's memory ran "
                    "out. Start again, with a smaller batch or fewer layers to train."
                )
            case status:
                return (
                    f"The training process crashed (exit status {status}). Its log says where; "
                    "start again, and report it if it crashes again."
                )


def submit(session: SessionFolder, arguments: Sequence[str], out: Path) -> Job:
    """Queue ``python -m cracklib train <arguments> --out <out>``; ``advance`` starts it.

    Paths are absolute. What other runs that failed left half done is deleted.
    Raises ``TrainingError`` where a job of this session is to write ``out`` already, ``CrackError``
    where there is no room.
    """
    jobs = jobs_of(session)
    to_come = {job.out for job in jobs if not job.has_ended()}
    if out in to_come:
        raise TrainingError(f"A run that writes '{out.stem}' is under way. Choose another name.")
    for abandoned in {job.out for job in jobs} - to_come - {out}:
        shutil.rmtree(abandoned.with_suffix(".run"), ignore_errors=True)
    session.check_room()
    folder = session.path / "jobs" / f"{time.time_ns():020d}"
    folder.mkdir(parents=True)
    unfinished = folder / "spec.tmp"
    spec = {"arguments": list(arguments), "out": str(out)}
    unfinished.write_text(json.dumps(spec), encoding="utf-8")
    unfinished.rename(folder / "spec.json")
    return Job(folder)


def check_no_run(session: SessionFolder, out: Path) -> None:
    """Raise ``TrainingError`` where a job of this session writes ``out``, or has: what is told of
    its model would be told of any other that is put there.
    """
    if any(job.out == out for job in jobs_of(session)):
        raise TrainingError(f"A run on this page is called '{out.stem}'. Choose another name.")


def jobs_of(session: SessionFolder) -> list[Job]:
    """All jobs of ``session``, oldest first."""
    return _find_jobs(session.path, "jobs/*/spec.json")


def count_unended(store: Store) -> int:
    """How many jobs of all sessions run or wait: as many as a new one comes after."""
    return sum(not job.has_ended() for job in _all_jobs(store.root))


def advance(store: Store, command: Sequence[str] = TRAIN) -> None:
    """Start the job that waits longest unless one runs, and delete what cancelled ones leave.

    To be called again and again. ``command`` is what a job's arguments are given to. Raises
    ``TrainingError`` where no process can be started.
    """
    with locked(store.root / "lock"):
        jobs = _all_jobs(store.root)
        to_come = {job.out for job in jobs if not job.has_ended()}
        for cancelled in {job.out for job in jobs if job._has("cancel")} - to_come:
            shutil.rmtree(cancelled.with_suffix(".run"), ignore_errors=True)
        if any(job._alive for job in jobs):
            return
        waiting = next((job for job in jobs if job._waits), None)
        if waiting:
            _start(waiting, command)


def end_session(session: SessionFolder) -> None:
    """Cancel the jobs of ``session`` and delete all it holds."""
    for job in jobs_of(session):
        job.cancel()
    session.delete()


# In the background of a shell that ends at once, so that the run is nobody's child and outlives
# the server; the exit status goes to a file for whoever looks next. Linux may share the cores out
# between process sessions first (sched(7), "The autogroup feature"): then niceness counts within
# the run's own session alone, and the session must be made nice too.
_DETACHED = (
    f"({{ echo {NICENESS} >/proc/self/autogroup; }} 2>/dev/null;"
    f' nice -n {NICENESS} "$@"; echo $? >"$0") &'
)


def _start(job: Job, command: Sequence[str]) -> None:
    """Start the run as a process group of its own that holds the lock on ``process``.

    The lock is inherited, and the kernel frees it when the last process of the run has ended, no
    matter how. So a run is alive exactly while the file is locked, and a process that was given
    the same number later can't be taken for it.
    """
    progress = job.folder / "progress.jsonl"
    arguments = [*job.arguments, "--out", str(job.out), "--progress", str(progress)]
    unlocked, temporary = job.folder / "process.tmp", job.folder / "tmp"
    try:
        temporary.mkdir(exist_ok=True)
        with unlocked.open("w") as process, (job.folder / "log.txt").open("ab") as log:
            fcntl.flock(process, fcntl.LOCK_EX)
            unlocked.rename(job.folder / "process")
            with subprocess.Popen(  # noqa: S603
                ["/bin/sh", "-c", _DETACHED, str(job.folder / "status"), *command, *arguments],
                cwd=Path(__file__).resolve().parent.parent,
                # TensorFlow leaves the code it generates, which would never be deleted.
                env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(temporary)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[process.fileno()],
                start_new_session=True,
            ) as shell:
                process.write(str(shell.pid))
    except OSError as error:
        raise TrainingError(
            f"Can't start the training process ({error.strerror}). Try again later, or tell "
            "whoever runs this server."
        ) from error


def _all_jobs(root: Path) -> list[Job]:
    return _find_jobs(root, "*/jobs/*/spec.json")


def _find_jobs(folder: Path, pattern: str) -> list[Job]:
    jobs = [Job(path.parent) for path in folder.glob(pattern)]
    return sorted(jobs, key=lambda job: (job.folder.name, job.folder))


def _read_events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):  # also of a last line that is half written
            event = json.loads(line)
            if isinstance(event, dict) and event.get("event") in _STAGES:
                yield event
