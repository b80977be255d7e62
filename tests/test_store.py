import dataclasses
import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cracklib import config, store
from cracklib.architecture import weight_shapes
from cracklib.errors import CrackError, WeightsError
from cracklib.store import Store, is_locked, locked
from cracklib.weights import card_path, encode_weights, load_weights, save_weights, sha256
from tests.tiny import make_card

DAY_S = 24 * 3600


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def session(root):
    return Store(root).create()


@pytest.fixture(scope="module")
def encoded():
    return encode_weights(
        {name: np.zeros(shape, np.float32) for name, shape in weight_shapes().items()}
    )


@pytest.fixture(scope="module")
def card(encoded):
    return make_card(name="theirs", sha256=sha256(encoded), temperature=1.5)


def age(path, seconds):
    was = path.stat().st_mtime - seconds
    os.utime(path, (was, was))


def hold(path):
    """Lock ``path`` until the file that is returned is closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def test_a_session_is_found_again_by_its_token(root, session):
    (session.path / "photo.jpg").write_bytes(b"wall")
    again = Store(root).open(session.token)
    assert again == session
    assert (again.path / "photo.jpg").read_bytes() == b"wall"


def test_sessions_are_apart_and_readable_by_their_owner_only(root):
    sessions = [Store(root).create() for _ in range(2)]
    assert sessions[0].token != sessions[1].token
    assert sessions[0].path != sessions[1].path
    for folder in (root, *(session.path for session in sessions)):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_read_is_closed_to_them(root):
    root.mkdir()
    root.chmod(0o755)
    Store(root)
    assert root.stat().st_mode & 0o777 == 0o700


def test_no_path_tells_the_token(session):
    assert session.token not in str(session.path)
    assert session.token not in repr(session)


@pytest.mark.parametrize(
    "token",
    ["", "..", "../" + "a" * 40, *("a" * n for n in (42, 43, 44)), "a" * 43 + "\n", "é" * 43],
)
def test_other_tokens_open_nothing(root, session, token):
    assert Store(root).open(token) is None


def test_the_name_of_a_folder_does_not_open_it(root, session):
    assert Store(root).open(session.path.name) is None


def test_a_folder_of_another_account_is_refused(root, monkeypatch):
    root.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: root.stat().st_uid + 1)
    with pytest.raises(CrackError, match=r"belongs to another account.*CRACKLIB_STORE"):
        Store(root)


def test_a_root_that_is_a_file_is_refused(root):
    root.write_text("")
    with pytest.raises(CrackError, match=r"File exists.*CRACKLIB_STORE"):
        Store(root)


def test_default_root(monkeypatch, tmp_path):
    monkeypatch.delenv("CRACKLIB_STORE", raising=False)
    assert config.store_root().name == f"wall-crack-inspector-{os.getuid()}"
    monkeypatch.setenv("CRACKLIB_STORE", str(tmp_path / "own"))
    assert config.store_root() == tmp_path / "own"


@pytest.mark.parametrize("sweep", [lambda store: Store(store.root), Store.create])
def test_a_session_unused_for_a_day_is_deleted(root, sweep):
    sessions = Store(root)
    old, recent = sessions.create(), sessions.create()
    age(old.path, DAY_S + 60)
    age(recent.path, DAY_S - 60)
    sweep(sessions)
    assert not old.path.exists()
    assert recent.path.exists()


def test_opening_a_session_counts_as_use(root):
    sessions = Store(root)
    session = sessions.create()
    age(session.path, DAY_S + 60)
    assert sessions.open(session.token) == session
    sessions.sweep()
    assert session.path.exists()


def test_a_session_whose_job_ended_lately_is_kept(root, session):
    job = session.path / "jobs" / "1"
    job.mkdir(parents=True)
    age(session.path, 2 * DAY_S)
    Store(root)
    assert job.exists()
    age(job, 2 * DAY_S)
    Store(root)
    assert not session.path.exists()


def test_a_session_with_a_running_job_is_kept(root, session):
    with hold(session.path / "jobs" / "1" / "process"):
        age(session.path / "jobs" / "1", 2 * DAY_S)
        age(session.path, 2 * DAY_S)
        Store(root)
        assert session.path.exists()
    Store(root)
    assert not session.path.exists()


def test_only_folders_of_sessions_are_swept(root):
    others = [root / name for name in ("keep me", ".git", ".config")]
    half_deleted = root / f".{32 * '0'}"
    for folder in (*others, half_deleted):
        folder.mkdir(parents=True)
        age(folder, 2 * DAY_S)
    Store(root)
    assert all(folder.exists() for folder in others)
    assert not half_deleted.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can plant one for another account")
def test_no_link_that_another_account_planted_is_followed(root, tmp_path):
    root.symlink_to(tmp_path)
    os.chown(root, 12345, -1, follow_symlinks=False)
    with pytest.raises(CrackError, match="belongs to another account"):
        Store(root)


def test_a_deleted_session_is_gone(root, session):
    (session.path / "photos").mkdir()
    (session.path / "photos" / "a.jpg").write_bytes(b"wall")
    session.delete()
    assert Store(root).open(session.token) is None
    assert list(root.iterdir()) == []


def test_room_in_a_session(session, monkeypatch):
    monkeypatch.setattr(store, "MAX_SESSION_BYTES", 10_000_000)
    monkeypatch.setattr(store, "MIN_FREE_DISK_BYTES", 0)
    (session.path / "photos").mkdir()
    (session.path / "photos" / "a.jpg").write_bytes(bytes(3_000_000))
    (session.path / "b.jpg").write_bytes(bytes(1_000_000))
    assert session.size_bytes() == 4_000_000
    session.check_room(6_000_000)
    with pytest.raises(CrackError, match="holds 4 MB and 7 MB more would be over its 10 MB"):
        session.check_room(6_500_001)


def test_room_on_the_disk(session, monkeypatch):
    monkeypatch.setattr(store, "MIN_FREE_DISK_BYTES", 2**62)
    with pytest.raises(CrackError, match="disk is nearly full: 5 MB are needed"):
        session.check_room(5_000_000)


def test_an_uploaded_model_is_kept_under_its_new_name(session, encoded, card):
    path = session.add_model("Köln 2 (night)", encoded, card.to_json())
    assert session.models() == [path]
    assert path.stem == "Köln 2 (night)"
    _, kept = load_weights(path)
    assert kept == dataclasses.replace(card, name="Köln 2 (night)")


def test_an_upload_that_is_no_model_leaves_nothing(session, encoded, card):
    with pytest.raises(WeightsError, match="does not match its card"):
        session.add_model("bad", encoded[:-1], card.to_json())
    with pytest.raises(WeightsError, match="not a model card"):
        session.add_model("bad", encoded, "{}")
    assert session.models() == []
    assert session.size_bytes() == 0


def test_an_upload_over_the_sessions_room_is_refused(session, encoded, card, monkeypatch):
    monkeypatch.setattr(store, "MAX_SESSION_BYTES", len(encoded))
    with pytest.raises(CrackError, match="Delete photos or models"):
        session.add_model("large", encoded, card.to_json())


def test_models_are_listed_by_age_once_they_are_whole(session, encoded, card):
    for name in ("b", "a"):
        save_weights(session.model_path(name), encoded, card)
    age(session.path / "models" / "b.safetensors", 60)
    session.model_path("c").write_bytes(encoded)  # a run that has not written its card yet
    assert [path.stem for path in session.models()] == ["b", "a"]


def test_a_taken_name_is_refused(session, encoded, card):
    session.add_model("mine", encoded, card.to_json())
    with pytest.raises(WeightsError, match="'mine' already"):
        session.model_path("mine")


def test_a_deleted_model_is_gone_with_all_that_belongs_to_it(session, encoded, card):
    path = session.add_model("mine", encoded, card.to_json())
    other = session.add_model("mine too", encoded, card.to_json())
    path.with_suffix(".run").mkdir()
    (path.with_suffix(".run") / "features.npy").write_bytes(b"1")
    session.delete_model("mine")
    session.delete_model("mine")
    assert sorted((session.path / "models").iterdir()) == sorted([other, card_path(other)])


def test_the_model_in_use_is_kept_until_another_is_chosen(root, session, encoded, card):
    assert session.model_in_use() is None
    path = session.add_model("north wall", encoded, card.to_json())
    session.use_model("north wall")
    assert Store(root).open(session.token).model_in_use() == path
    session.use_model(None)
    assert session.model_in_use() is None
    session.use_model(None)


def test_a_model_that_is_not_there_is_not_used(root, session, encoded, card):
    other = Store(root).create()
    other.add_model("theirs", encoded, card.to_json())
    session.add_model("mine", encoded, card.to_json())
    session.use_model("mine")
    for name in ("theirs", "../theirs"):
        with pytest.raises(WeightsError):
            session.use_model(name)
    assert session.model_in_use().stem == "mine"


def test_a_deleted_model_is_no_longer_in_use(session, encoded, card):
    for name in ("a", "b"):
        session.add_model(name, encoded, card.to_json())
    session.use_model("a")
    session.delete_model("b")
    assert session.model_in_use().stem == "a"
    session.delete_model("a")
    assert session.model_in_use() is None


def test_a_model_that_the_disk_has_no_room_for_leaves_nothing(session, encoded, card, monkeypatch):
    def half(path, encoded, card):
        path.parent.mkdir()
        path.write_bytes(encoded[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "save_weights", half)
    with pytest.raises(CrackError, match=r"No space left.*Delete photos or models"):
        session.add_model("mine", encoded, card.to_json())
    assert session.size_bytes() == 0
    session.model_path("mine")


def test_a_file_with_two_names_takes_up_room_once(session):
    (session.path / "photo.jpg").write_bytes(bytes(1_000_000))
    (session.path / "again.jpg").hardlink_to(session.path / "photo.jpg")
    assert session.size_bytes() == 1_000_000


def test_a_root_that_was_cleaned_away_is_made_again(root):
    sessions = Store(root)
    root.rmdir()
    assert sessions.create().path.is_dir()
    assert root.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["a", "Wand 3", "v1.2", "ひび割れ", "a" * 40, "_x-(1)+"])
def test_names_of_models(session, name):
    assert session.model_path(name).name == f"{name}.safetensors"


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../x", "a/b", "a\\b", "-x", ".x", "x.", "x ", "(", "a" * 41, "a\nb"],
)
def test_names_that_could_be_paths_or_confuse_are_refused(session, name):
    with pytest.raises(WeightsError, match="can't be a model's name"):
        session.model_path(name)
    with pytest.raises(WeightsError, match="can't be a model's name"):
        session.delete_model(name)


def test_a_lock_is_seen_by_others_and_freed(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    with locked(path):
        assert is_locked(path)
    assert not is_locked(path)


def test_the_server_never_loads_the_frameworks():
    code = (
        "import sys, cracklib.jobs, cracklib.store\n"
        "print(*({'tensorflow', 'keras', 'openvino', 'streamlit'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(store.__file__).parents[1],
    )
    assert run.stdout.strip() == ""
