"""The process that trains: its command, its surroundings, and how it is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import site
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from ..errors import TrainingError
from ..io.files import one_line
from .run_folder import LOG, ask_to_stop

# What one process of several is told of the others: not for a training of its own.
_OF_SEVERAL = (
    "RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID",
)  # fmt: skip
# The folder that the viewer was started in holds no modules of ours; what is printed may hold any
# letter; and a crash says where it was.
_OURS = {"PYTHONSAFEPATH": "1", "PYTHONUTF8": "1", "PYTHONFAULTHANDLER": "1"}
# Niceness of a process that gives way to others, where systems count so.
_NICE = 10
# Seconds that a process has to end when it is told to, before it is ended by force.
_PATIENCE = 5.0

# Processes begun here, by their numbers: they are asked for how they ended, also later on.
_begun: dict[int, subprocess.Popen[bytes]] = {}


def start(folder: Path, arguments: Sequence[str], *, processes: int = 1) -> subprocess.Popen[bytes]:
    """Start the command line in a process that outlives this one.

    What it prints goes into a file of the folder.

    Parameters
    ----------
    folder
        The folder of the training.
    arguments
        Of ``napari-monai``.
    processes
        How many of them share the work, by torchrun.

    Raises
    ------
    TrainingError
        If there is no Python to start, or the system does not start it.
    """
    command = [python()]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes)]
    command += ["-m", "napari_monai", *arguments]
    _reap()
    try:
        with (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(processes),
                # No window of its own, and no Ctrl-C that is meant for this process.
                creationflags=_windows_flags(),
                start_new_session=True,
            )
    except OSError as error:
        raise TrainingError(f"The training cannot be started: {one_line(error)}.") from None
    _begun[process.pid] = process
    return process


def python() -> str:
    """Return the Python that has our packages: in an app that is bundled not what runs itself."""
    names = ("python.exe",) if sys.platform == "win32" else ("bin/python3", "bin/python")
    own = Path(sys.executable or "")
    # Of pythonw, which has no output, the brother that has one.
    brothers = [own.with_name("python.exe")] if own.stem.lower() == "pythonw" else []
    is_python = own.stem.lower().startswith("python")
    found = [*brothers, *([own] if is_python else []), *(Path(sys.prefix, n) for n in names)]
    for path in found:
        if path.is_file():
            return str(path)
    raise TrainingError(
        f"No Python beside {sys.executable or sys.prefix}: train with the command napari-monai."
    )


def environment(processes: int = 1) -> dict[str, str]:
    """Return the variables of a training's process: ours, less what would mislead it."""
    told = {k: v for k, v in os.environ.items() if k not in _OF_SEVERAL}
    told |= _OURS
    paths = [os.path.abspath(p) for p in told.get("PYTHONPATH", "").split(os.pathsep) if p]
    ours = str(Path(__file__).resolve().parents[2])
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    # Only a checkout: an installed one would come before the standard library with all others.
    if ours not in (os.path.realpath(p) for p in installed):
        paths.insert(0, ours)
    if paths:
        told["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    if processes > 1:
        told.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
        if sys.platform == "win32":
            told.setdefault("USE_LIBUV", "0")  # torch is built without it there
    return told


def rank() -> int | None:
    """Return which one of several that share a training this process is; ``None`` of one alone."""
    told = os.environ.get("RANK", "")
    return int(told) if told.isdecimal() and "WORLD_SIZE" in os.environ else None


def give_way(processes: int = 1) -> None:
    """Leave the computer to others: a low priority, and one core that is not used.

    Before torch is imported, which asks once how many threads it is to have.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores() - 1) // processes)))
    me = psutil.Process()
    with contextlib.suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            me.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            me.nice(max(me.nice(), _NICE))


@contextlib.contextmanager
def terminable(folder: Path) -> Iterator[None]:
    """End the training in a folder between two steps when this process is told to end.

    So a shutdown, or a cluster that wants its place, leaves the last state behind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(_number: int, _frame: object) -> None:
        try:
            ask_to_stop(folder, now=True)
        except OSError:
            raise KeyboardInterrupt from None

    before = signal.signal(signal.SIGTERM, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def cores() -> int:
    """Return how many cores this process may use."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return max(1, min(physical, allowed))


def end(pid: int) -> None:
    """End a process and those that it has begun: told to first, by force then."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.terminate()
    _, alive = psutil.wait_procs(family, timeout=_PATIENCE)
    for one in alive:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(alive, timeout=_PATIENCE)


def exit_code(pid: int) -> int | None:
    """Return how a process that was begun here has ended; ``None`` where that is not known."""
    process = _begun.get(pid)
    return None if process is None else process.poll()


def is_alive(pid: int | None) -> bool:
    """Whether a process that was begun here has not ended yet."""
    process = None if pid is None else _begun.get(pid)
    return process is not None and process.poll() is None


def _reap() -> None:
    for pid, process in list(_begun.items()):
        if process.poll() is not None:
            del _begun[pid]


def _windows_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0
