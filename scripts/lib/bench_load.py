"""The bench's own programs (tests/bench), run and measured: the load generator, the reference server, the floor."""

import json
import os
import subprocess

from bench_host import LOAD_CORE, Server, cores, die_with_parent, raise_open_files, started
from localca import free_port, reachable, wait_until


class LoadFailed(Exception):
    pass


class Load:
    """A run of bench_load on the load's core. ready(), then finish()."""

    def __init__(self, programs, *args):
        def prepare():
            die_with_parent()
            os.sched_setaffinity(0, {cores()[min(LOAD_CORE, len(cores()) - 1)]})
            raise_open_files()
        self.args = args
        self.popen = subprocess.Popen([os.path.join(programs, "bench_load"), *map(str, args)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=prepare)
        started(self)

    def line(self):
        text = self.popen.stdout.readline()
        if not text:
            raise LoadFailed(self.popen.stderr.read().strip() or f"bench_load {' '.join(map(str, self.args))} ended")
        return text.strip()

    def ready(self):
        while self.line() != "ready":
            pass
        return self

    def go(self):
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def result(self, on_line=None):
        while True:
            text = self.line()
            if text.startswith("{"):
                break
            if on_line:
                on_line(text)
        self.popen.communicate()
        return json.loads(text)

    def stop(self):
        if self.popen.poll() is None:
            self.popen.kill()
        if not self.popen.stdout.closed:
            self.popen.communicate()


class Subject:
    """A server under measurement. `ports`: (dialogue, key type) -> port."""

    def __init__(self, name, server, ports):
        self.name, self.server, self.ports = name, server, ports


def reference(programs, folder, certificate, key, dialogues, name="reference", core=0):
    """The minimal server; returns it and the port of each dialogue."""
    ports = {dialogue: free_port() for dialogue in dialogues}
    server = Server(name, [os.path.join(programs, "bench_reference"), certificate, key,
                           *(f"{dialogue}:{port}" for dialogue, port in ports.items())],
                    os.path.join(folder, name + ".log"), core=core)
    wait_until(lambda: all(reachable(port) for port in ports.values()), f"{name} answers", 20)
    return server, ports


def cost(programs, subject, dialogue, key, version, resume, count, clients=64):
    """Microseconds of the server's processor time for one connection, and what the load generator says."""
    load = Load(programs, "handshakes", "--port", subject.ports[dialogue, key], "--dialogue", dialogue, "--tls", version,
                "--clients", clients, "--count", count, *(["--resume"] if resume else []))
    try:
        load.ready()
        before = subject.server.seconds()
        load.go()
        result = load.result()
        spent = subject.server.seconds() - before
    finally:
        load.stop()
    if result["failed"]:
        raise LoadFailed(f"{result['failed']} of {result['operations']} failed: {result['error']}")
    if resume and result["resumed"] != result["operations"]:
        raise LoadFailed(f"only {result['resumed']} of {result['operations']} sessions were resumed")
    return spent / result["operations"] * 1e6, result


def idle_memory(programs, subject, dialogue, connections):
    """KiB of the server's memory for each of so many idle TLS connections."""
    cost(programs, subject, dialogue, "ecdsa", "1.3", False, 256)  # what is made once is made
    before = subject.server.memory()
    load = Load(programs, "hold", "--port", subject.ports[dialogue, "ecdsa"], "--dialogue", dialogue, "--connections",
                connections)
    try:
        load.ready()
        after = subject.server.memory()
        load.go()
        result = load.result()
    finally:
        load.stop()
    if result["failed"] or result["left"] != connections:
        raise LoadFailed(f"{result['failed']} of {connections} failed, {result['left']} stayed: {result['error']}")
    return (after - before) / connections / 1024
