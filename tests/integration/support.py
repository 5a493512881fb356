"""What the integration tests share: Postern as its users run it, beside a real CA.

Every test has a folder of its own; servers listen on port 0 and `postern status` tells the port. Nothing waits for a time:
wait_until() waits for a condition.
"""

import http.client
import http.server
import imaplib
import json
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "lib"))

import pebble_new  # noqa: E402,F401
from localca import Pebble, Process, Watch, free_port, make_certificate, reachable, wait_until  # noqa: E402,F401

POSTERN = os.environ.get("POSTERN_BINARY") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release", "postern")

ACCOUNT, ADDRESS, PASSWORD = "jane", "jane@example.test", "correct horse"
ACCOUNTS = f'[[directory.memory.principals]]\nname = "{ACCOUNT}"\nsecret = "{PASSWORD}"\nemail = ["{ADDRESS}"]\n'


def postern(*args, check=True, **options):
    """Runs a command of the binary; returns the finished process with text output."""
    done = subprocess.run([POSTERN, *args], capture_output=True, text=True, timeout=300, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"postern {' '.join(args)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


class Server:
    """`postern run` with a configuration in `folder`."""

    def __init__(self, folder, config, start=True, environment=None):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.config = os.path.join(folder, "postern.toml")
        self.socket = os.path.join(folder, "control.sock")
        self.environment = environment
        self.process = None
        self.starts = 0
        self.write(config)
        if start:
            self.start()

    def write(self, config):
        with open(self.config, "w") as file:
            file.write(config + f'\n[control]\nsocket = "{self.socket}"\n')

    def start(self):
        self.launch()
        self.await_ready()

    def launch(self):
        self.starts += 1
        self.process = Process([POSTERN, "run", "--config", self.config],
                               os.path.join(self.folder, f"postern-{self.starts}.log"), self.environment)

    def await_ready(self):
        def ready():
            if not self.process.running():
                raise AssertionError("postern did not start:\n" + self.process.text())
            return self.command("status", "--json", check=False).returncode == 0
        wait_until(ready, "postern answers")

    def command(self, name, *args, check=True):
        return postern(name, *args, "--socket", self.socket, check=check)

    def status(self):
        return json.loads(self.command("status", "--json").stdout)

    def listener(self, name):
        return next(one for one in self.status()["listeners"] if one["id"] == name)

    def port(self, name):
        return int(self.listener(name)["bind"][0].rsplit(":", 1)[1])

    def certificate(self, *names):
        return next((one for one in self.status()["certificates"] if sorted(one["names"]) == sorted(names)), None)

    def await_certificate(self, *names, state="valid", seconds=120):
        def there():
            certificate = self.certificate(*names)
            return certificate if certificate and certificate["state"] == state else None
        try:
            return wait_until(there, f"{names} is {state}", seconds)
        except TimeoutError:
            raise AssertionError(f"{names} is not {state}: {self.certificate(*names)}\n{self.log()}")

    def log(self):
        return self.process.text()

    def kill(self):
        self.process.kill()

    def stop(self):
        if self.process and self.process.popen.poll() is None:
            return self.process.stop()
        return None

    # Clients

    def tls(self, name, server_name, ca=None, session=None, context=None, port=None):
        """A TLS connection to an implicit-TLS listener."""
        context = context or client_context(ca)
        raw = socket.create_connection(("127.0.0.1", port or self.port(name)), timeout=60)
        return context.wrap_socket(raw, server_hostname=server_name, session=session)

    def _served(self, name, server_name, what):
        listener = self.listener(name)
        port = int(listener["bind"][0].rsplit(":", 1)[1])
        args = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", server_name]
        if listener["tls"]["mode"] == "starttls":
            args += ["-starttls", listener["protocol"]]
        done = subprocess.run(args, input="", capture_output=True, text=True, timeout=120)
        shown = subprocess.run(["openssl", "x509", "-noout", what], input=done.stdout, capture_output=True, text=True)
        if shown.returncode != 0:
            raise AssertionError(f"{name} served no certificate:\n{done.stdout}{done.stderr}")
        return shown.stdout.strip()

    def served(self, name, server_name):
        """The serial a listener serves to a client that asks for `server_name`, over STARTTLS where that is its mode."""
        return self._served(name, server_name, "-serial").split("=", 1)[1].lower().lstrip("0")

    def public_key(self, name, server_name):
        """The public key of the same, as PEM."""
        return self._served(name, server_name, "-pubkey")

    def imap(self, name, server_name="imap.example.test", ca=None):
        """A logged-in IMAP session on an implicit-TLS listener."""
        class Client(imaplib.IMAP4_SSL):
            def _create_socket(self, timeout):
                raw = socket.create_connection((self.host, self.port), timeout or 60)
                return self.ssl_context.wrap_socket(raw, server_hostname=server_name)
        client = Client("127.0.0.1", self.port(name), ssl_context=client_context(ca))
        client.login(ACCOUNT, PASSWORD)
        return client

    def deliver(self, name, body, recipient=ADDRESS, sender="out@elsewhere.test"):
        """A message in by SMTP in the clear (role mx)."""
        with smtplib.SMTP("127.0.0.1", self.port(name), timeout=60) as client:
            client.sendmail(sender, [recipient], body)


def client_context(ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def acme_section(pebble, folder, name="pebble", port=None, cache="acme", extra=""):
    return (f'[acme."{name}"]\ndirectory = "{pebble.directory}"\ncontact = ["postmaster@example.test"]\n'
            f'cache = "{os.path.join(folder, cache)}"\nport = {port or pebble.tls_port}\nca-file = "{pebble.ca_file}"\n'
            f'challenge-bind = "127.0.0.1"\n{extra}\n')


class HoldingProxy:
    """HTTPS in front of Pebble that sees what goes through and can hold requests back: a crash then has its place in an
    order, not a time.

    Pebble makes its URLs from the Host header, so every request of a client comes through here.
    """

    def __init__(self, folder, pebble):
        self.held = threading.Event()  # a request is being held
        self.hold = None               # the beginning of the paths to hold
        self.answers = []              # the bodies that went through
        certificate, key, self.ca_file = make_certificate(folder, "proxy")
        proxy = self
        context = ssl.create_default_context(cafile=pebble.ca_file)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if proxy.hold and self.path.startswith(proxy.hold):
                    proxy.held.set()
                    self.rfile.read(1)  # until the client is gone
                    self.close_connection = True
                    return
                upstream = http.client.HTTPSConnection("localhost", pebble.port, context=context)
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
                proxy.answers.append(content.decode(errors="replace"))
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                upstream.close()

            do_GET = do_HEAD = do_POST = forward

            def log_message(self, *_):
                pass

        class Https(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # clients here are killed in the middle

        self.server = Https(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.directory = f"https://localhost:{self.server.server_address[1]}/dir"
        self.tls_port = pebble.tls_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class TestCase(unittest.TestCase):
    """A folder per test, and an end for everything it started."""

    binaries = None  # of the Pebble that the tests use; Debian's own when None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="postern-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def pebble(self, **options):
        pebble = Pebble(os.path.join(self.folder, "pebble"), binaries=self.binaries, **options)
        self.addCleanup(pebble.stop)
        return pebble

    def server(self, config, name="server", **options):
        server = Server(os.path.join(self.folder, name), config, **options)
        self.addCleanup(lambda: server.process and server.process.kill())
        return server
