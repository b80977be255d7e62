"""Jobs with real processes, signals and files; a small script stands in for the training run."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cracklib import jobs, store
from cracklib.errors import CrackError, TrainingError
from cracklib.jobs import Job, Progress, advance, count_unended, end_session, jobs_of, submit
from cracklib.store import Store

DEADLINE_S = 60

STAND_IN = f"""
import json, os, pathlib, sys, tempfile, time

how, _, out, _, progress = sys.argv[1:]
progress = pathlib.Path(progress)

def tell(event, **values):
    with progress.open("a") as file:
        file.write(json.dumps({{"event": event, **values}}) + "\\n")

def wait_for(*names):
    deadline = time.monotonic() + {3 * DEADLINE_S}
    while time.monotonic() < deadline:
        for name in names:
            if progress.with_name(name).exists():
                return name
        time.sleep(0.01)
    sys.exit("nobody came")

print("niceness", os.nice(0), "group", os.getpgid(0), "of", os.getpid())
tell("features", done=10, total=10)
tell("epoch", epoch=1, loss=0.5, accuracy=0.75, val_loss=0.6, val_accuracy=0.7)
tell("step", step=3, steps=8, epoch=2, epochs=2, loss=0.4, accuracy=0.8, photos_per_s=9.0,
     seconds_left=5.0, pid=os.getpid(), temporary=tempfile.mkstemp()[1])
if how == "wait":
    stopped = wait_for("stop", "go") == "stop"
elif how == "crash":
    raise RuntimeError("a bug in the run")
elif how == "refuse":
    tell("failed", message="Only 3 photos of cracks; bring at least 10.")
    sys.exit(1)
elif how == "fill":
    with open("/dev/full", "w") as full:
        full.write("features")
pathlib.Path(out).parent.mkdir(exist_ok=True)
pathlib.Path(out).write_text("weights")
tell("done", stopped=stopped)
"""


@pytest.fixture
def sessions(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def session(sessions):
    return sessions.create()


@pytest.fixture
def command(tmp_path, sessions):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    yield [sys.executable, "-S", str(script)]
    for folder in sessions.root.glob("*/jobs/*"):
        Job(folder).cancel()


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def start(sessions, session, command, how="wait", name="mine"):
    """A job that has told of its first step, or has ended."""
    job = submit(session, [how], session.model_path(name))
    advance(sessions, command)
    wait_until(lambda: job.progress().step or job.state() == "failed")
    return job


def go_on(job):
    (job.folder / "go").touch()
    wait_until(lambda: job.state() != "running")


def is_free(file):
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pid(job):
    return job.progress().step["pid"]


def test_a_run_to_the_end(sessions, session, command):
    job = submit(session, ["wait"], session.model_path("mine"))
    assert (job.state(), job.place_in_queue(), job.log(5)) == ("queued", 1, "")
    assert job.progress() == Progress()

    advance(sessions, command)
    wait_until(lambda: job.progress().step)
    assert (job.state(), job.place_in_queue()) == ("running", 0)
    progress = job.progress()
    assert progress.stage == "training"
    assert (progress.done, progress.total) == (10, 10)
    assert (progress.step["step"], progress.step["steps"]) == (3, 8)
    assert [epoch["val_accuracy"] for epoch in progress.epochs] == [0.7]

    go_on(job)
    assert job.state() == "finished"
    assert job.progress().stage == "done"
    assert job.failure() == ""
    assert job.out.read_text() == "weights"
    assert (job.arguments, job.out) == (("wait",), session.path / "models" / "mine.safetensors")


def test_the_run_is_polite_and_in_a_group_of_its_own(sessions, session, command):
    job = start(sessions, session, command)
    words = job.log(1).split()
    assert int(words[1]) == min(19, os.nice(0) + 10)
    assert int(words[3]) not in (os.getpgid(0), int(words[5]))
    assert pid(job) == int(words[5])


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this system has no autogroups"
)
def test_the_run_is_polite_to_other_process_sessions_too(sessions, session, command):
    own = Path("/proc/self/autogroup").read_text()
    job = start(sessions, session, command)
    assert Path(f"/proc/{pid(job)}/autogroup").read_text().endswith("nice 10\n")
    assert Path("/proc/self/autogroup").read_text() == own


def test_stopped_half_way_it_keeps_what_it_has(sessions, session, command):
    job = start(sessions, session, command)
    os.kill(pid(job), signal.SIGSTOP)
    job.stop()
    assert job.state() == "stopping"
    os.kill(pid(job), signal.SIGCONT)
    wait_until(lambda: job.state() != "stopping")
    assert job.state() == "stopped"
    assert job.progress().stopped
    assert job.out.exists()


def test_cancelled_it_keeps_nothing(sessions, session, command):
    job = start(sessions, session, command)
    job.out.with_suffix(".run").mkdir(parents=True)
    job.cancel()
    wait_until(lambda: job.state() != "stopping")
    assert (job.state(), job.failure()) == ("stopped", "")
    assert not job.out.exists()
    advance(sessions, command)
    assert not job.out.with_suffix(".run").exists()


def test_of_a_cancelled_run_nothing_is_deleted_that_another_goes_on_with(
    sessions, session, command
):
    cancelled = start(sessions, session, command)
    cancelled.cancel()
    wait_until(lambda: cancelled.state() == "stopped")
    again = start(sessions, session, command)
    again.out.with_suffix(".run").mkdir(parents=True)
    advance(sessions, command)
    assert again.out.with_suffix(".run").exists()
    go_on(again)
    assert (cancelled.has_model(), again.has_model()) == (False, True)


@pytest.mark.parametrize("end", [Job.stop, Job.cancel])
def test_a_waiting_job_that_is_not_wanted_never_starts(sessions, session, command, end):
    job = submit(session, ["wait"], session.model_path("mine"))
    end(job)
    advance(sessions, command)
    assert (job.state(), job.place_in_queue()) == ("stopped", 0)
    assert not (job.folder / "process").exists()


@pytest.mark.parametrize("end", [Job.stop, Job.cancel])
def test_an_end_stays_what_it_was(sessions, session, command, end):
    finished = start(sessions, session, command)
    go_on(finished)
    failed = start(sessions, session, command, "crash", "other")
    wait_until(lambda: failed.state() == "failed")
    end(finished)
    end(failed)
    assert (finished.state(), failed.state()) == ("finished", "failed")


def test_killed(sessions, session, command):
    job = start(sessions, session, command)
    os.kill(pid(job), signal.SIGKILL)
    wait_until(lambda: job.state() != "running")
    assert job.state() == "failed"
    assert "killed, most often because the server's memory ran out" in job.failure()
    assert job.failure().endswith("The model in use is unchanged.")


def test_killed_with_all_that_watched_it(sessions, session, command):
    job = start(sessions, session, command)
    os.killpg(os.getpgid(pid(job)), signal.SIGKILL)
    wait_until(lambda: job.state() != "running")
    assert job.state() == "failed"
    assert "gone without a trace" in job.failure()
    assert job.failure().endswith("The model in use is unchanged.")


def test_a_killed_run_that_was_asked_to_stop_has_failed(sessions, session, command):
    job = start(sessions, session, command)
    os.kill(pid(job), signal.SIGSTOP)
    job.stop()
    os.kill(pid(job), signal.SIGKILL)
    wait_until(lambda: job.state() != "stopping")
    assert job.state() == "failed"


@pytest.mark.parametrize(
    ("how", "cause", "log"),
    [
        ("crash", r"crashed \(exit status 1\)", "RuntimeError: a bug in the run"),
        ("refuse", "^Only 3 photos of cracks; bring at least 10. The model in use", "niceness"),
        ("fill", "disk is full", "No space left on device"),
    ],
)
def test_failures_say_what_happened(sessions, session, command, how, cause, log):
    job = start(sessions, session, command, how)
    wait_until(lambda: job.state() != "running")
    assert job.state() == "failed"
    with pytest.raises(AssertionError, match=cause):
        raise AssertionError(job.failure())
    assert job.failure().endswith("The model in use is unchanged.")
    assert log in job.log(1)


def test_a_disk_too_full_for_any_last_word(sessions, session, command, monkeypatch):
    job = start(sessions, session, command)
    os.kill(pid(job), signal.SIGKILL)
    wait_until(lambda: job.state() == "failed")
    monkeypatch.setattr(jobs, "_FULL_DISK_BYTES", 2**62)
    assert "disk is full" in job.failure()


def test_one_runs_and_others_queue(sessions, session, command):
    first = start(sessions, session, command)
    other = sessions.create()
    second = submit(other, ["wait"], other.model_path("mine"))
    third = submit(session, ["wait"], session.model_path("next"))
    advance(sessions, command)
    assert [job.state() for job in (first, second, third)] == ["running", "queued", "queued"]
    assert [job.place_in_queue() for job in (first, second, third)] == [0, 1, 2]
    assert count_unended(sessions) == 3

    go_on(first)
    advance(Store(sessions.root), command)
    wait_until(lambda: second.progress().step)
    assert [job.state() for job in (first, second, third)] == ["finished", "running", "queued"]
    assert [job.place_in_queue() for job in (first, second, third)] == [0, 0, 1]
    assert [job.has_ended() for job in (first, second, third)] == [True, False, False]
    assert count_unended(sessions) == 2

    os.kill(pid(second), signal.SIGKILL)
    wait_until(lambda: second.state() == "failed")
    advance(sessions, command)
    wait_until(lambda: third.progress().step)
    assert third.state() == "running"


def test_many_who_look_at_once_start_one(sessions, command):
    owners = [sessions.create() for _ in range(6)]
    waiting = [submit(owner, ["wait"], owner.model_path("mine")) for owner in owners]
    assert [job.place_in_queue() for job in waiting] == [1, 2, 3, 4, 5, 6]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: advance(Store(sessions.root), command), range(32)))
    assert [job.state() for job in waiting] == ["running", *["queued"] * 5]


def test_jobs_of_a_session_are_its_own(sessions, session):
    other = sessions.create()
    first, _, third = (
        submit(owner, [], owner.model_path(name))
        for owner, name in ((session, "a"), (other, "a"), (session, "b"))
    )
    assert jobs_of(session) == [first, third]


def test_a_run_outlives_the_process_that_started_it_and_is_found_again(sessions, session, command):
    job = submit(session, ["wait"], session.model_path("mine"))
    server = (
        "import sys; from pathlib import Path; from cracklib.jobs import advance;"
        "from cracklib.store import Store; advance(Store(Path(sys.argv[1])), sys.argv[2:])"
    )
    subprocess.run(
        [sys.executable, "-c", server, str(sessions.root), *command],
        check=True,
        cwd=Path(jobs.__file__).parents[1],
    )
    again = Store(sessions.root).open(session.token)
    (found,) = jobs_of(again)
    wait_until(lambda: found.progress().step)
    assert found == job
    assert found.state() == "running"
    found.stop()
    wait_until(lambda: found.state() == "stopped")
    assert found.out.exists()


def test_no_dead_child_is_left(sessions, session, command):
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text().split()
    job = start(sessions, session, command)
    assert children.read_text().split() == before
    assert job.state() == "running"


def test_another_process_with_its_number_is_not_taken_for_the_run(sessions, session, command):
    job = start(sessions, session, command)
    os.killpg(os.getpgid(pid(job)), signal.SIGKILL)
    wait_until(lambda: job.state() == "failed")
    with subprocess.Popen(command[:1], stdin=subprocess.PIPE, start_new_session=True) as stranger:
        (job.folder / "process").write_text(str(stranger.pid))
        assert job.state() == "failed"
        job.cancel()
        following = start(sessions, session, command, name="next")
        assert following.state() == "running"
        stranger.stdin.close()
        assert stranger.wait(DEADLINE_S) == 0


def test_an_ended_session_takes_its_runs_with_it(sessions, session, command):
    job = start(sessions, session, command)
    waiting = submit(session, ["wait"], session.model_path("next"))
    with (job.folder / "process").open() as process:
        end_session(session)
        assert not waiting.folder.exists()
        assert waiting.has_ended()
        wait_until(lambda: is_free(process))
    assert sessions.open(session.token) is None


def test_temporary_files_of_a_run_are_deleted_with_its_session(sessions, session, command):
    job = start(sessions, session, command)
    temporary = Path(job.progress().step["temporary"])
    assert temporary.is_file()
    end_session(session)
    assert not temporary.exists()


def test_a_half_written_line_waits_for_its_rest(sessions, session):
    job = submit(session, [], session.model_path("mine"))
    lines = [
        '{"event": "epoch", "epoch": 1, "loss": 0.5}',
        "",
        '{"event": "ep',  # cut short by a full disk, then more
        '["no event"]',
        '{"event": "told by a later version"}',
        '{"event": "calibrating", "done": 2, "total": 9}',
        '{"event": "done", "stopp',
    ]
    (job.folder / "progress.jsonl").write_text("\n".join(lines))
    progress = job.progress()
    assert (progress.stage, progress.done, progress.total) == ("calibrating", 2, 9)
    assert progress.epochs == ({"event": "epoch", "epoch": 1, "loss": 0.5},)
    with (job.folder / "progress.jsonl").open("a") as file:
        file.write('ed": true}\n')
    assert (job.progress().stage, job.progress().stopped) == ("done", True)


def test_the_log_shows_a_progress_bar_as_it_last_looked(session):
    job = submit(session, [], session.model_path("mine"))
    (job.folder / "log.txt").write_bytes(
        b"x" * 100_000 + b"\nstart\r\n\r 10%\r 50%\r100%\nepoch 1 \xff\n\r 10%\r 20%\r"
    )
    assert job.log(2) == "epoch 1 \ufffd\n 20%"
    assert job.log(4).splitlines()[0] == "start"


def test_two_runs_are_not_to_write_one_model(sessions, session, command):
    job = start(sessions, session, command)
    with pytest.raises(TrainingError, match="'mine' is under way"):
        submit(session, ["wait"], session.model_path("mine"))
    job.cancel()
    wait_until(lambda: job.state() == "stopped")
    submit(session, ["wait"], session.model_path("mine"))


def test_a_new_run_makes_room_by_what_others_left_half_done(sessions, session, command):
    ended = []
    for name in ("again", "left"):
        ended.append(start(sessions, session, command, "crash", name))
        wait_until(ended[-1].has_ended)
    running = start(sessions, session, command, "wait", "running")
    for job in (*ended, running):
        job.out.with_suffix(".run").mkdir(parents=True)
    again = submit(session, ["wait"], session.model_path("again"))
    assert [job.out.with_suffix(".run").exists() for job in (*ended, running)] == [
        True,
        False,
        True,
    ]
    assert again.state() == "queued"


def test_the_photos_of_a_run_are_those_it_was_given(session, tmp_path):
    job = submit(session, ["--data", str(tmp_path), "--seed", "1"], session.model_path("mine"))
    assert job.data == tmp_path


def test_no_run_without_room(session, monkeypatch):
    monkeypatch.setattr(store, "MIN_FREE_DISK_BYTES", 2**62)
    with pytest.raises(CrackError, match="disk is nearly full"):
        submit(session, ["wait"], session.model_path("mine"))
    assert jobs_of(session) == []


def test_the_command_line_is_what_runs(sessions, session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = submit(session, ["--recipe", "no such recipe"], session.model_path("mine"))
    advance(sessions)
    wait_until(lambda: job.state() == "failed")
    assert "usage: python -m cracklib train" in job.log(50)
    assert "invalid choice: 'no such recipe'" in job.log(1)
    assert "exit status 2" in job.failure()


def test_what_to_run_is_written_whole(session):
    job = submit(session, ["--seed", "1"], session.model_path("mine"))
    assert json.loads((job.folder / "spec.json").read_text())["arguments"] == ["--seed", "1"]
    (session.path / "jobs" / "00000000000000000001").mkdir()  # one being written
    assert jobs_of(session) == [job]
