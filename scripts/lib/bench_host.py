"""Servers under measurement: pinned to a core, their processor time and memory as the kernel accounts for them.

A server is a tree of processes. Where this process may make control groups, each server gets one of its own, which
knows all of its processes, also those that have ended. Elsewhere the tree is walked by parents, and times come from
/proc with the resolution of a clock tick.
"""

import ctypes
import os
import resource
import signal
import subprocess
import time

SERVER_CORE, LOAD_CORE = 0, 1

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_started = []  # whatever has a stop(); stop_all() ends what a bench that was interrupted has left


def started(process):
    _started.append(process)


def stop_all():
    """Ends all that this process has started through this module and bench_load, the latest first."""
    while _started:
        _started.pop().stop()


def die_with_parent():
    """For a child before its exec: it ends where this process is killed without a chance to clean up."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def cores():
    return sorted(os.sched_getaffinity(0))


def raise_open_files():
    """As far as this process may; returns the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class _Group:
    """A control group: version 2, or the cpuacct controller of version 1."""

    def __init__(self, name):
        self.path = None
        for root, usage in (("/sys/fs/cgroup", "cpu.stat"), ("/sys/fs/cgroup/cpuacct", "cpuacct.usage")):
            path = os.path.join(root, f"postern-bench-{os.getpid()}-{name}")
            try:
                os.mkdir(path)
            except OSError:
                continue
            if os.path.exists(os.path.join(path, usage)):
                self.path, self.usage_file = path, os.path.join(path, usage)
                return
            os.rmdir(path)

    def enter(self):
        """The calling process goes in; for a child before its exec."""
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w") as file:
                file.write(str(os.getpid()))

    def processes(self):
        with open(os.path.join(self.path, "cgroup.procs")) as file:
            return [int(line) for line in file]

    def seconds(self):
        with open(self.usage_file) as file:
            text = file.read()
        if text.startswith("usage_usec"):
            return int(text.split()[1]) / 1e6
        return int(text) / 1e9

    def remove(self):
        """Processes that end at this moment may hold it for a moment more."""
        deadline = time.monotonic() + 2
        while self.path:
            try:
                os.rmdir(self.path)
                return
            except OSError:
                if time.monotonic() > deadline:
                    return  # it is empty and costs nothing
                time.sleep(0.02)


def _parents():
    """pid -> (parent, seconds of itself and of the children it has waited for)."""
    found = {}
    tick = os.sysconf("SC_CLK_TCK")
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        found[int(name)] = (int(fields[1]), sum(map(int, fields[11:15])) / tick)
    return found


class Server:
    """A program and all processes that it starts, on the server's core."""

    def __init__(self, name, args, log, env=None, core=SERVER_CORE, stop_signal=signal.SIGTERM):
        self.name, self.log, self.stop_signal = name, log, stop_signal
        self.group = _Group(name)
        self.stopped = False

        def prepare():
            die_with_parent()
            if core is not None:
                os.sched_setaffinity(0, {cores()[min(core, len(cores()) - 1)]})
            raise_open_files()
            self.group.enter()
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                          env={**os.environ, **(env or {})}, preexec_fn=prepare, start_new_session=True)
        started(self)

    def running(self):
        return self.popen.poll() is None

    def text(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def processes(self):
        if self.group.path:
            return self.group.processes()
        parents = _parents()
        tree, grown = {self.popen.pid}, True
        while grown:
            more = {pid for pid, (parent, _) in parents.items() if parent in tree}
            grown = not more <= tree
            tree |= more
        return sorted(tree & parents.keys())

    def seconds(self):
        """Processor time of all its processes, user and system, since it began."""
        if self.group.path:
            return self.group.seconds()
        parents = _parents()
        return sum(parents[pid][1] for pid in self.processes() if pid in parents)

    def memory(self):
        """Bytes of all its processes: proportional set size, so that what processes share counts once."""
        total = 0
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
            except OSError:
                continue  # it has ended meanwhile
        return total

    def stop(self):
        """Ends every process of the tree, by its id. A second time it does nothing."""
        if self.stopped:
            return
        self.stopped = True
        if self.running():
            self.popen.send_signal(self.stop_signal)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                pass
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            left = [pid for pid in self.processes() if pid != os.getpid()]
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.popen.poll()
            time.sleep(0.02)
        self.popen.wait()
        self.group.remove()
