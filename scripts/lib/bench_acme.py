"""scripts/bench acme: issuance against a local Pebble of at least 2.10 without sleeps, Retry-After 0.

Every run has a Pebble, a cache and a server of its own. A name counts as served when a client that trusts Pebble's root
alone has made a handshake for it.
"""

import argparse
import os
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import pebble_new
from bench_table import Table
from localca import Pebble, free_port, make_certificate, wait_until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Run:
    """One server on a Pebble of its own, from its start on."""

    def __init__(self, binary, names, start=True, directory=None, ca_file=None, **options):
        self.binary, self.names = binary, names
        self.folder = tempfile.mkdtemp(prefix="postern-bench-")
        self.pebble = Pebble(os.path.join(self.folder, "pebble"), binaries=pebble_new.binaries(), retry_after=(0, 0),
                             profiles={"default": 7776000}, **options)
        self.port = free_port()
        self.root = self.pebble.roots()
        self.log = os.path.join(self.folder, "postern.log")
        self.config = os.path.join(self.folder, "postern.toml")
        others = ", ".join(f'"{name}"' for name in names[1:])
        with open(self.config, "w") as file:
            file.write(f"""
[server]
hostname = "{names[0]}"
tls.acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:{self.port}"
protocol = "imap"
tls.implicit = true
[acme."pebble"]
directory = "{directory or self.pebble.directory}"
cache = "{self.folder}/cache"
ca-file = "{ca_file or self.pebble.ca_file}"
port = {self.pebble.tls_port}
challenge-bind = "127.0.0.1"
domains = [{others}]
[control]
socket = "{self.folder}/control.sock"
""")
        self.process = self.usage = None
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            self.pebble.stop()
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        output = open(self.log, "wb")
        self.began = time.monotonic()
        self.process = subprocess.Popen([self.binary, "run", "--config", self.config], stdin=subprocess.DEVNULL,
                                        stdout=output, stderr=subprocess.STDOUT)
        output.close()

    def stop(self):
        """Ends the server and keeps what it used. Raises RuntimeError where it does not end in good order."""
        if self.process is None:
            return
        process, self.process = self.process, None
        gone = process.poll() is not None
        if not gone:
            process.send_signal(signal.SIGTERM)
            _, status, self.usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if gone or process.returncode != 0:
            raise RuntimeError(f"the server ended {'by itself ' if gone else ''}with status {process.returncode}:\n"
                               + self.said()[-4000:])

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def is_served(self, name):
        context = ssl.create_default_context(cafile=self.root)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as raw:
                with context.wrap_socket(raw, server_hostname=name):
                    return True
        except (OSError, ssl.SSLError):
            return False

    def all_served(self, seconds=300):
        """Seconds from the start until every name is served."""
        for name in self.names:
            while not self.is_served(name):
                if self.process.poll() is not None:
                    raise RuntimeError("the server has ended:\n" + self.said())
                if time.monotonic() - self.began > seconds:
                    raise RuntimeError(f"{name} is not served after {seconds} s:\n{self.said()[-4000:]}")
                time.sleep(0.01)
        return time.monotonic() - self.began

    def requests(self):
        """Once each certificate's renewal information was asked for."""
        wait_until(lambda: self.pebble.log().count("GET /draft-ietf-acme-ari") >= len(self.names),
                   "renewal information is asked for", 60)
        return self.pebble.requests()

    def command(self, *args):
        return subprocess.run([self.binary, *args, "--config", self.config], capture_output=True, text=True, timeout=60)

    def memory(self, which):
        """VmRSS (now) or VmHWM (the most), in MiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(which + ":")) / 1024


def names(count):
    return [f"n{number:03}.example.test" for number in range(count)]


def issuance(binary, table, wanted):
    goals = {1: (0.7, 3, "Caddy 0.7 s"), 10: (2.5, 3, "Caddy 2.7 s"), 100: (15, 1, "mod_md 20 s")}
    for count, (goal, runs, peer) in goals.items():
        label = f"{count} name{'s' if count > 1 else ''}"
        if not wanted(label):
            continue
        times, requests, cpu = [], [], []
        for _ in range(runs):
            with Run(binary, names(count)) as run:
                times.append(run.all_served())
                requests.append(run.requests())
                run.stop()
                cpu.append(run.usage.ru_utime + run.usage.ru_stime)
        table.line(f"{label}: start to every name served", goal, statistics.median(times), "s", peer)
        table.line(f"{label}: requests, with renewal information", 8 * count + 4, max(requests), "",
                   f"Caddy {9 * count}, without")
        if count == 100:
            table.line(f"{label}: CPU of the whole run", 2.0, cpu[0], "s", "Caddy 2.0 s")


def bad_nonces(binary, table, wanted):
    if not wanted("10 names at 50 % bad nonces"):
        return
    with Run(binary, names(10), bad_nonces=50) as run:
        table.line("10 names at 50 % bad nonces", 8.0, run.all_served(), "s")
        table.promise("10 names at 50 % bad nonces: orders failed", 0, run.said().count(" acme.order.failed "))


def slow_validation(binary, table, wanted):
    """Polling while the CA takes seconds and says Retry-After: 0."""
    if not wanted("polls of a slow validation"):
        return
    with Run(binary, names(1), validation_sleep=15) as run:
        took = run.all_served()
        looks = run.pebble.log().count("POST /authZ/")
        table.line(f"polls of a validation that took {took:.0f} s", 1 + 3 + took, looks, "", "Caddy 5877 in a minute")


def failing(binary, table, wanted):
    """A name that cannot be validated, while somebody presses for it every other second."""
    if not wanted("requests in a minute after a failure"):
        return
    with Run(binary, names(1), start=False) as run:
        run.pebble.break_name(run.names[0])
        run.start()
        wait_until(lambda: " acme.order.failed " in run.said(), "the attempt fails")
        before, times = run.pebble.requests(), []
        end = time.monotonic() + 75
        while time.monotonic() < end:
            now = run.pebble.requests()
            times += [time.monotonic()] * (now - before)
            before = now
            run.command("renew", run.names[0])
            time.sleep(2)
        most = max((sum(1 for other in times if at <= other < at + 60) for at in times), default=0)
        table.promise("requests in a minute after a failed attempt", 10, most)


class Endless:
    """An HTTPS server whose answers never end."""

    def __init__(self, folder):
        self.sent = 0
        certificate, key, self.ca_file = make_certificate(folder, "endless")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.directory = f"https://localhost:{self.listening.getsockname()[1]}/directory"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                raw, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw):
        try:
            with self.context.wrap_socket(raw, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"newNonce\": \"")
                while True:
                    connection.sendall(b"x" * 65536)
                    self.sent += 65536
        except OSError:
            pass  # the client has had enough

    def stop(self):
        self.listening.close()


def endless(binary, table, wanted):
    if not wanted("an endless answer"):
        return
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
        server = Endless(folder)
        with Run(binary, names(1), start=False, directory=server.directory, ca_file=server.ca_file) as run:
            run.start()
            wait_until(lambda: os.path.exists(f"{run.folder}/control.sock"), "the server is up")
            before = run.memory("VmRSS")
            wait_until(lambda: " acme.order.failed " in run.said(), "the answer is refused", 120)
            table.line("an endless answer: memory grows by", 8.0, max(run.memory("VmHWM") - before, 0.0), "MiB",
                       "lego 4.9 GiB")
        server.stop()


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench acme")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a goal is missed")
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "release", "postern"))
    parser.add_argument("--only", action="append", help="only lines whose names hold this word")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    print(f"{binary}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Pebble from {pebble_new.binaries()}\n")
    table = Table()

    def wanted(label):
        return not arguments.only or any(word in label for word in arguments.only)
    try:
        for bench in (issuance, bad_nonces, slow_validation, failing, endless):
            bench(binary, table, wanted)
    except (RuntimeError, TimeoutError) as error:
        print(f"scripts/bench acme: {error}", file=sys.stderr)
        return 1
    return table.end(arguments.strict)


if __name__ == "__main__":
    sys.exit(main())
