"""Processes of Python that need not import: they are forked from one that has imported before.

What a run needs takes four seconds of a processor to import, and the tests start two hundred
processes. One that is forked is a process like any other, a child of who asked for it, with memory,
signals and output of its own. Who tests what is imported starts it with `subprocess`.
"""

import atexit
import ctypes
import importlib
import inspect
import os
import pickle
import runpy
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

from harness.stages.collecting import collect_seldom, set_aside

HERE = str(Path(__file__).parent)
NAME = "fork-server"
PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36  # prctl(2)
LONGEST = 1 << 17  # bytes of a request
IMPORTED = (
    "harness.cli.app",
    "harness.report.page",
    "harness.run.session",
    "harness_plugins.meters.warm_up",
    "torch._dynamo",
)
PLAIN = subprocess.Popen  # others put the class below in its place
HAND_OVER = """\
import os, pickle, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
    door.connect({door!r})
    given = pickle.dumps((sys.argv[1:], os.getcwd(), dict(os.environ)))
    socket.send_fds(door, [given], [0, 1, 2])
    sys.exit(int(door.recv(16)))
"""
STREAMS = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


@dataclass(frozen=True)
class Start:
    """What a forked process becomes.

    Attributes:
        words: of the command, behind the interpreter.
        before: called last, as `preexec_fn` of `subprocess` is.
    """

    words: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    new_session: bool
    before: Callable[[], object] | None


class Popen(subprocess.Popen[Any]):
    """As of `subprocess`, but that this interpreter is forked where a command begins with it."""

    def _execute_child(self, *given: Any) -> None:
        start = super()._execute_child  # type: ignore[misc]
        own = inspect.signature(start).bind(*given).arguments
        if own["shell"] or list(own["args"])[:1] != [sys.executable]:
            start(*given)
            return
        wanted = Start(
            tuple(map(os.fspath, own["args"][1:])),
            str(Path(own["cwd"] or "").absolute()),
            dict(os.environ if own["env"] is None else own["env"]),
            own["start_new_session"],
            own["preexec_fn"],
        )
        try:
            request = pickle.dumps(wanted)
        except (AttributeError, pickle.PicklingError):  # a function within another
            start(*given)
            return
        theirs = (own["p2cread"], own["c2pwrite"], own["errwrite"])
        streams = [place if end == -1 else end for place, end in enumerate(theirs)]
        self.pid = _server().fork(request, streams)
        self._child_created = True
        self._close_pipe_fds(*(own[name] for name in STREAMS))  # type: ignore[attr-defined]


def run(
    command: Sequence[object], *, timeout: float | None = None, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """A command to its end, with what it prints as text."""
    words = list(map(str, command))
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Popen(words, **told, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            if process.poll() is None:
                process.kill()
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@contextmanager
def command_of(module: str, folder: Path) -> Iterator[Path]:
    """A program that shell scripts may call and that runs a module, such as `harness`.

    It hands its words and streams to a thread of this process, and ends as what that has forked.
    """
    path, door = folder / module, f"\0{uuid4()}"  # a file's path may be too long for a socket
    path.write_text(f"#!{sys.executable} -IS\n{HAND_OVER.format(door=door)}")
    path.chmod(0o755)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            request, streams, _, _ = socket.recv_fds(self.request, LONGEST, 3)
            words, cwd, env = pickle.loads(request)
            command = [sys.executable, "-m", module, *words]
            given = dict(zip(("stdin", "stdout", "stderr"), streams, strict=True))
            with Popen(command, cwd=cwd, env=env, **given) as process:
                for stream in streams:
                    os.close(stream)
            self.request.send(str(process.returncode).encode())

    class Door(socketserver.ThreadingUnixStreamServer):
        socket_type = socket.SOCK_SEQPACKET

    with Door(door, Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield path
        finally:
            server.shutdown()


class Server:
    """A process that has imported, and is asked over a socket. It ends with who asks."""

    def __init__(self, requests: socket.socket) -> None:
        self.requests = requests
        self.lock = threading.Lock()

    def fork(self, request: bytes, streams: Sequence[int]) -> int:
        """Fork a child of this process.

        Args:
            request: a pickled `Start`.
            streams: descriptors that become its input, output and error output.

        Returns:
            its id.
        """
        with self.lock:
            _adopt_orphans(True)  # what the server forks it from ends at once
            try:
                socket.send_fds(self.requests, [request], streams)
                return int(self.requests.recv(LONGEST))
            finally:
                _adopt_orphans(False)


_servers: dict[int, Server] = {}  # by process: what is forked from one inherits this


def _server() -> Server:
    pid = os.getpid()
    if pid not in _servers:
        ours, theirs = _connection()
        code = f"import sys; sys.path.insert(0, {HERE!r}); import warm_processes"
        process = PLAIN(
            [sys.executable, "-c", f"{code}; warm_processes.main({theirs.fileno()})"],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # a Ctrl-C is for who is tested
        )
        theirs.close()
        _servers[pid] = Server(ours)
        atexit.register(process.wait)
        atexit.register(ours.close)
    return _servers[pid]


def _connection() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _adopt_orphans(wanted: bool) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(wanted))


def _name_process(name: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())


def main(requests: int) -> None:
    """What the server does."""
    sys.path.remove(HERE)
    collect_seldom()
    for name in IMPORTED:
        importlib.import_module(name)
    set_aside()
    serve(socket.socket(fileno=requests))


def serve(requests: socket.socket) -> None:
    """Fork whenever asked, until nobody is left who could ask."""
    _name_process(NAME)
    while True:
        message, streams, _, _ = socket.recv_fds(requests, LONGEST, 3)
        if not message:
            return
        between = os.fork()
        if not between:
            between = os.getpid()
            if os.fork():
                os._exit(0)
            while os.getppid() == between:  # not adopted yet
                time.sleep(0.0002)
            requests.send(str(os.getpid()).encode())
            requests.close()
            become(pickle.loads(message), streams)
        for stream in streams:
            os.close(stream)
        os.waitpid(between, 0)


def become(wanted: Start, streams: Sequence[int]) -> None:
    """Run the program, to the end of the process."""
    _name_process("python")
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if wanted.new_session:
        os.setsid()
    os.chdir(wanted.folder)
    os.environ.clear()
    os.environ.update(wanted.environment)
    if "-m" in wanted.words[:2]:
        _fork_what_it_starts()
    if wanted.before is not None:
        wanted.before()
    code: object = 0
    try:
        run_program(list(wanted.words))
    except SystemExit as end:
        code = end.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    # As an interpreter ends, but that it does not take all modules apart: they would be copied.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 1)


def run_program(words: list[str]) -> None:
    """What `python` does with these words."""
    options = set()
    while words[0] in ("-P", "-u"):
        options.add(words.pop(0))
    how, *sys.argv = words
    first = {"-m": str(Path.cwd()), "-c": ""}.get(how, str(Path(how).parent.absolute()))
    own = [] if "-P" in options else [first]
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*own, *given, *(path for path in sys.path[1:] if path not in given)]
    if how == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif how == "-c":
        code, sys.argv[0] = sys.argv[0], "-c"
        sys.modules["__main__"] = program = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), vars(program))
    else:
        sys.argv.insert(0, how)
        runpy.run_path(how, run_name="__main__")


def _fork_what_it_starts() -> None:
    """Give this process a server too: a child that stays as it is now."""
    ours, theirs = _connection()
    if not os.fork():
        ours.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for place in range(3):
            os.dup2(nothing, place)
        serve(theirs)
        os._exit(0)
    theirs.close()
    _servers[os.getpid()] = Server(ours)
    subprocess.Popen = Popen  # type: ignore[misc]
