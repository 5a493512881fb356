"""Postern as the benches of TLS run it: static pairs, all listeners on loopback, one event loop where it is pinned."""

import json
import os
import shutil
import signal
import subprocess
import time

from bench_host import Server
from localca import free_port, reachable, wait_until


class EndedBadly(Exception):
    """A server that is gone before it was told to, or whose exit status says that something was wrong."""


class Postern:
    """`postern run` in a folder of its own. pairs: name -> (chain, key); the first is the default."""

    def __init__(self, binary, folder, config, core=0, port=None):
        """Returns when it answers: on `port`, or where there is none on its control socket."""
        self.binary, self.folder = binary, folder
        os.makedirs(folder, exist_ok=True)
        self.socket = os.path.join(folder, "control.sock")
        path = os.path.join(folder, "postern.toml")
        with open(path, "w") as file:
            file.write(config + f'\n[control]\nsocket = "{self.socket}"\n')
        self.begun = time.monotonic()
        self.server = Server("postern-" + os.path.basename(folder), [binary, "run", "--config", path],
                             os.path.join(folder, "log"), core=core)
        wait_until(lambda: self._ready(port), "postern answers", 120)

    def _ready(self, port):
        if not self.server.running():
            raise RuntimeError("postern did not start:\n" + self.server.text()[-2000:])
        if port:
            return reachable(port)
        return self.command("status", "--json", check=False).returncode == 0

    def command(self, *args, check=True):
        return subprocess.run([self.binary, *args, "--socket", self.socket], capture_output=True, text=True, timeout=300,
                              check=check)

    def ports(self):
        status = json.loads(self.command("status", "--json").stdout)
        return {one["id"]: int(one["bind"][0].rsplit(":", 1)[1]) for one in status["listeners"] if one["bind"]}

    def stop(self):
        """Raises EndedBadly. One that takes its time over the end is killed, which is no fault of it."""
        gone = not self.server.running()
        self.server.stop()
        status = self.server.popen.returncode
        if gone or status not in (0, -signal.SIGKILL):
            raise EndedBadly(f"{self.server.name} ended {'by itself ' if gone else ''}with status {status}:\n"
                             + self.server.text()[-2000:])


LISTENER = """
[server.listener."{id}"]
bind = "127.0.0.1:0"
protocol = "{protocol}"
max-connections = 60000
tls.certificate = "{certificate}"
tls.implicit = {implicit}
idle-timeout = "1h"
"""


def static_config(folder, pairs):
    """Listeners smtp, imap and imaps for each pair, under the ids "<dialogue>-<pair>"; copies of the files in `folder`."""
    os.makedirs(folder, exist_ok=True)
    text = '[server]\nhostname = "mail.example.test"\nmax-connections = 60000\n[global]\nthread-pool = 1\n'
    for name, (chain, key) in pairs.items():
        copies = [os.path.join(folder, f"{name}.{part}") for part in ("pem", "key")]
        shutil.copy(chain, copies[0])
        shutil.copy(key, copies[1])
        text += f'[certificate."{name}"]\ncert = "file://{copies[0]}"\nprivate-key = "file://{copies[1]}"\n'
        for dialogue in ("smtp", "imap", "imaps"):
            text += LISTENER.format(id=f"{dialogue}-{name}", protocol="smtp" if dialogue == "smtp" else "imap",
                                    certificate=name, implicit="true" if dialogue == "imaps" else "false")
    return text


def cached_config(cache, directory, count, port):
    """One listener, on `port`, whose provider has `count` certificates in `cache`, of bench_cache's names."""
    names = ",\n".join(f'"host-{i}.bench.example.test"' for i in range(1, count))
    return f"""
[server]
hostname = "host-0.bench.example.test"
[server.listener."imaps"]
bind = "127.0.0.1:{port}"
protocol = "imap"
tls.implicit = true
tls.acme = "big"
[acme."big"]
directory = "{directory}"
cache = "{cache}"
port = {free_port()}
challenge-bind = "127.0.0.1"
domains = [{names}]
"""
