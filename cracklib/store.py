"""Private folders of sessions: what a person uploads and trains, deleted a day after its last use.

A session is known by a token that can't be guessed and that only the browser keeps. Its folder is
named after the token's hash, so no path (in a message, a model card, the list of processes) gives
the token away, and no token can be a path.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from cracklib.config import MAX_SESSION_BYTES, MIN_FREE_DISK_BYTES, SESSION_UNUSED_S
from cracklib.errors import CrackError, WeightsError
from cracklib.weights import card_path, decode_weights, save_weights

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_FOLDER_NAME = re.compile(r"[0-9a-f]{32}")
_HALF_DELETED = re.compile(r"\.[0-9a-f]{32}")
_MODEL_NAME = re.compile(r"\w(?:[\w .()+-]{0,38}[\w)+])?")


@dataclass(frozen=True)
class SessionFolder:
    """The folder ``path`` of one session. ``models/`` and ``in_use`` in it are kept by this module,
    ``jobs/`` by ``jobs``; the rest is free to use.
    """

    path: Path
    token: str = field(repr=False)

    def size_bytes(self) -> int:
        """All that lies in the folder; a file with several hard links counts once."""
        sizes = {}
        for folder, _, names in os.walk(self.path):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    status = Path(folder, name).lstat()
                    sizes[status.st_dev, status.st_ino] = status.st_size
        return sum(sizes.values())

    def check_room(self, n_bytes: int = 0) -> None:
        """Raise ``CrackError`` where ``n_bytes`` more would be too much for session or disk."""
        used = self.size_bytes()
        if used + n_bytes > MAX_SESSION_BYTES:
            raise CrackError(
                f"This session holds {_megabytes(used)} and {_megabytes(n_bytes)} more would be "
                f"over its {_megabytes(MAX_SESSION_BYTES)}. Delete photos or models you no longer "
                "need, then try again."
            )
        free = shutil.disk_usage(self.path).free
        if free - n_bytes < MIN_FREE_DISK_BYTES:
            raise CrackError(
                f"The server's disk is nearly full: {_megabytes(n_bytes)} are needed, "
                f"{_megabytes(free)} are free, and {_megabytes(MIN_FREE_DISK_BYTES)} must stay so. "
                "Delete photos or models you no longer need, or ask whoever runs this server."
            )

    def models(self) -> list[Path]:
        """The weights files of this session, oldest first; a file's stem is its model's name."""
        found = [p for p in self.path.glob("models/*.safetensors") if card_path(p).exists()]
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def model_path(self, name: str) -> Path:
        """Where a new model called ``name`` is to be written. Raises ``WeightsError`` where the
        name can't be used or is taken.
        """
        path = self._named(name)
        if path.exists():
            raise WeightsError(f"There is a model called '{name}' already. Choose another name.")
        return path

    def add_model(self, name: str, encoded: bytes, card_text: str) -> Path:
        """Keep an uploaded model under ``name``: the contents of its weights file and its card.

        Raises ``WeightsError`` where they are not a model of this network or the name can't be
        used, ``CrackError`` where there is no room.
        """
        path = self.model_path(name)
        self.check_room(len(encoded) + len(card_text))
        _, card = decode_weights(encoded, card_text, name)
        try:
            save_weights(path, encoded, replace(card, name=name))
        except OSError as error:
            self.delete_model(name)
            raise CrackError(
                f"'{name}' can't be kept on this server ({error.strerror}). Delete photos or "
                "models you no longer need, then try again."
            ) from error
        return path

    def model_in_use(self) -> Path | None:
        """The weights that were chosen with ``use_model``; None where they are the bundled ones."""
        try:
            return self._named((self.path / "in_use").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def use_model(self, name: str | None) -> None:
        """Choose the model that judges in this session; None is the bundled one.

        Raises ``WeightsError`` where the session has no model called ``name``.
        """
        choice = self.path / "in_use"
        if name is None:
            choice.unlink(missing_ok=True)
            return
        if self._named(name) not in self.models():
            raise WeightsError(f"There is no model called '{name}' any more. Choose another.")
        unfinished = choice.with_suffix(".tmp")
        unfinished.write_text(name, encoding="utf-8")
        unfinished.rename(choice)

    def delete_model(self, name: str) -> None:
        """Delete what there is of the model called ``name``: weights, card, unfinished run.

        Where it was in use, the bundled one is from now on.
        """
        path = self._named(name)
        if self.model_in_use() == path:
            self.use_model(None)
        path.unlink(missing_ok=True)
        card_path(path).unlink(missing_ok=True)
        shutil.rmtree(path.with_suffix(".run"), ignore_errors=True)

    def delete(self) -> None:
        """Delete all. ``jobs.end_session`` is for sessions that may have a job running."""
        _delete(self.path)

    def _named(self, name: str) -> Path:
        if not _MODEL_NAME.fullmatch(name):
            raise WeightsError(
                f"'{name[:60]}' can't be a model's name. Use 1 to 40 letters, digits, spaces and "
                "_ - . + ( ), with a letter or digit first."
            )
        return self.path / "models" / f"{name}.safetensors"


class Store:
    """All sessions' folders, under ``root``, readable by this account only.

    Raises ``CrackError`` where ``root`` can't be used. Several processes may share it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.sweep()

    def create(self) -> SessionFolder:
        """A new session with an empty folder. Raises ``CrackError`` where there can't be one."""
        self.sweep()
        token = secrets.token_urlsafe(32)
        session = SessionFolder(self._folder(token), token)
        try:
            session.path.mkdir(mode=0o700)
        except OSError as error:
            raise CrackError(
                f"Can't keep a new session on this server ({error.strerror}). Try again later, or "
                "tell whoever runs it."
            ) from error
        return session

    def open(self, token: str) -> SessionFolder | None:
        """The session of ``token``, used just now; None where there is none, or no longer."""
        if not _TOKEN.fullmatch(token):
            return None
        session = SessionFolder(self._folder(token), token)
        try:
            os.utime(session.path)
        except FileNotFoundError:
            return None
        return session

    def sweep(self) -> None:
        """Delete sessions unused for ``SESSION_UNUSED_S`` that have no job running.

        Raises ``CrackError`` where ``root`` can't be used.
        """
        self._make_root()
        for folder in self.root.iterdir():
            if _HALF_DELETED.fullmatch(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
            elif _FOLDER_NAME.fullmatch(folder.name) and _is_unused(folder):
                _delete(folder)

    def _make_root(self) -> None:
        # Again at every sweep: what cleans temporary files may have taken an empty one away.
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.root.lstat().st_uid != os.getuid():  # a link may be planted in a shared folder
                raise PermissionError(0, "it belongs to another account")
            self.root.chmod(0o700)
        except OSError as error:
            raise CrackError(
                f"Can't keep sessions in {self.root}: {error.strerror}. Set CRACKLIB_STORE to a "
                "folder that belongs to the account this server runs under."
            ) from error

    def _folder(self, token: str) -> Path:
        return self.root / hashlib.sha256(token.encode()).hexdigest()[:32]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` alone among threads and processes; the kernel frees it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Whether someone holds the lock file ``path``."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _is_unused(folder: Path) -> bool:
    jobs = list(folder.glob("jobs/*"))
    try:
        last_used = max(path.stat().st_mtime for path in (folder, *jobs))
    except FileNotFoundError:  # another process deletes it
        return False
    old = time.time() - last_used > SESSION_UNUSED_S
    return old and not any(is_locked(job / "process") for job in jobs)


def _delete(folder: Path) -> None:
    """Rename first, so that no one can open what is half deleted."""
    doomed = folder.with_name(f".{folder.name}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"
