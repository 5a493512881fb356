"""A local ACME CA on loopback: Pebble with its challenge-test DNS, in a folder of its own.

Used by scripts/quickstart and by the integration tests. Every name resolves to 127.0.0.1. Ports that must be known ahead
(Pebble's, and the tlsPort it dials) come from free_port(), which holds a lock per port outside the ephemeral range.
"""

import collections
import fcntl
import functools
import json
import os
import random
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

_held = {}  # port -> descriptor of its lock file, for the life of this process


@functools.lru_cache(None)
def _ports():
    """Where free_port() chooses: where the kernel takes no port for somebody's connection in the next moment."""
    wanted = range(15000, 32000)
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
            low, high = map(int, file.read().split())
    except (OSError, ValueError):
        return wanted
    for ports in (wanted, range(1100, 65500)):
        outside = [port for port in ports if not low <= port <= high]
        if len(outside) >= 2000:
            return outside
    return wanted  # there is hardly anything outside


def free_port(among=None):
    """A port of 127.0.0.1 and ::1 that nothing listens on and no other test will be given while this process lives."""
    folder = os.path.join(tempfile.gettempdir(), f"postern-test-ports-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    while True:
        port = random.choice(among or _ports())
        if port in _held:
            continue
        lock = os.open(os.path.join(folder, str(port)), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                try:
                    probe = socket.socket(family)
                except OSError:
                    continue  # no IPv6 here
                with probe:
                    try:
                        probe.bind((host, port))
                    except OSError as error:
                        if family == socket.AF_INET:
                            raise
                        if error.errno not in (97, 99):  # no such address family or address
                            raise
        except OSError:
            os.close(lock)
            continue
        _held[port] = lock
        return port


def wait_until(condition, what, seconds=120):
    """Calls `condition` until it returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain until {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def reachable(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def make_certificate(folder, name, dns=("localhost",), ips=("127.0.0.1",), days=30):
    """A CA and a certificate signed by it, as files `<name>.pem`, `<name>.key` and `<name>-ca.pem` in `folder`."""
    path = lambda suffix: os.path.join(folder, name + suffix)
    names = ",".join([f"DNS:{d}" for d in dns] + [f"IP:{i}" for i in ips])
    run = lambda *args: subprocess.run(["openssl", *args], check=True, capture_output=True)
    with open(path(".cnf"), "w") as config:
        config.write(
            "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=" + dns[0] + "\n"
            "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
            "[leaf]\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=" + names + "\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", "-x509", *key, "-keyout", path("-ca.key"), "-out", path("-ca.pem"), "-days", "30", "-subj",
        "/CN=test CA " + name, "-config", path(".cnf"), "-extensions", "ca")
    run("req", "-new", *key, "-keyout", path(".key"), "-out", path(".csr"), "-config", path(".cnf"))
    run("x509", "-req", "-in", path(".csr"), "-CA", path("-ca.pem"), "-CAkey", path("-ca.key"), "-CAcreateserial",
        "-days", str(days), "-out", path(".pem"), "-extfile", path(".cnf"), "-extensions", "leaf")
    return path(".pem"), path(".key"), path("-ca.pem")


class Process:
    """A child whose output goes to a file, ended by its id."""

    def __init__(self, args, log, env=None):
        self.log = log
        self.output = open(log, "ab")
        self.popen = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT,
                                      env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.popen.pid

    def text(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def running(self):
        return self.popen.poll() is None

    def kill(self):
        if self.running():
            self.popen.kill()
        self.popen.wait()
        self.output.close()

    def stop(self, seconds=60):
        """SIGTERM; returns the exit status. One that does not end is killed, and that is an error."""
        if self.running():
            self.popen.terminate()
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise
        finally:
            self.output.close()


class Pebble:
    """Pebble and its DNS.

    tls_port, http_port   where it dials TLS-ALPN-01 and HTTP-01 challenges
    bad_nonces            per cent of good nonces that it refuses
    validity              seconds that its certificates are valid (Pebble's own default is five years)
    validation_sleep      seconds that a validation may take (True: its own default, 15); 0: none
    binaries              the folder of another Pebble, as pebble_new.binaries() gives one; Debian's when None
    profiles              {name: seconds of validity}; of Pebble 2.10
    external_accounts     {key id: MAC key in base64url}: accounts must be bound to one of them
    retry_after           (authorization, order): seconds that its answers tell a client to wait between polls
    alternate_roots       how many more roots its certificates chain to; chain_length: intermediates of each
    reuse_authorizations  per cent of valid authorizations that the next order is given again
    """

    def __init__(self, folder, tls_port=None, http_port=None, bad_nonces=0, environment=None, validity=None,
                 validation_sleep=0, binaries=None, profiles=None, external_accounts=None, retry_after=None,
                 alternate_roots=0, chain_length=1, reuse_authorizations=None):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.tls_port = tls_port or free_port()
        self.http_port = http_port or free_port()
        self.port, self.management_port = free_port(), free_port()
        self.dns_port, self.dns_management_port = free_port(), free_port()
        self.environment = {
            "PEBBLE_WFE_NONCEREJECT": str(bad_nonces),
            "PEBBLE_VA_NOSLEEP": "" if validation_sleep else "1",
            "PEBBLE_CHAIN_LENGTH": str(chain_length),
        }
        if validation_sleep and validation_sleep is not True:
            self.environment["PEBBLE_VA_SLEEPTIME"] = str(validation_sleep)
        if alternate_roots:
            self.environment["PEBBLE_ALTERNATE_ROOTS"] = str(alternate_roots)
        if reuse_authorizations is not None:
            self.environment["PEBBLE_AUTHZREUSE"] = str(reuse_authorizations)
        self.environment.update(environment or {})
        self.binaries = binaries
        certificate, key, self.ca_file = make_certificate(folder, "pebble")
        self.config = os.path.join(folder, "pebble.json")
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management_port}",
            "certificate": certificate, "privateKey": key, "httpPort": self.http_port, "tlsPort": self.tls_port,
            "ocspResponderURL": "", "externalAccountBindingRequired": bool(external_accounts),
        }
        if external_accounts:
            settings["externalAccountMACKeys"] = external_accounts
        if profiles:
            settings["profiles"] = {name: {"description": name, "validityPeriod": seconds}
                                    for name, seconds in profiles.items()}
        if retry_after:
            settings["retryAfter"] = {"authz": retry_after[0], "order": retry_after[1]}
        if validity:
            settings["certificateValidityPeriod"] = validity
        with open(self.config, "w") as file:
            json.dump({"pebble": settings}, file)
        self.process = self.dns = None
        self.start()

    @property
    def directory(self):
        return f"https://localhost:{self.port}/dir"

    def start(self):
        if self.dns is None:
            # 2.4 names its DNS option otherwise, and does not know -doh; both listen everywhere unless told not to.
            own = ["-dnsserver", f"127.0.0.1:{self.dns_port}", "-doh", ""] if self.binaries else [
                "-dns01", f"127.0.0.1:{self.dns_port}"]
            self.dns = Process(
                [self._program("pebble-challtestsrv"), *own, "-management", f"127.0.0.1:{self.dns_management_port}",
                 "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""],
                os.path.join(self.folder, "dns.log"))
            wait_until(lambda: reachable(self.dns_management_port), "the test DNS answers")
        self.process = Process(
            [self._program("pebble"), "-config", self.config, "-dnsserver", f"127.0.0.1:{self.dns_port}"],
            os.path.join(self.folder, "pebble.log"), self.environment)
        wait_until(lambda: reachable(self.port) and reachable(self.management_port), "Pebble answers")

    def _program(self, name):
        return os.path.join(self.binaries, name) if self.binaries else name

    def restart_ca(self, bad_nonces=None):
        """A new Pebble on the same ports: it has forgotten every account, order and root."""
        self.process.kill()
        if bad_nonces is not None:
            self.environment["PEBBLE_WFE_NONCEREJECT"] = str(bad_nonces)
        self.start()

    def stop(self):
        for process in (self.process, self.dns):
            if process:
                process.kill()
        self.process = self.dns = None

    def log(self):
        return self.process.text()

    def manage(self, path, body=None):
        """The answer of the management interface: GET, or POST where there is a body."""
        context = ssl.create_default_context(cafile=self.ca_file)
        request = urllib.request.Request(f"https://localhost:{self.management_port}/{path}",
                                         data=None if body is None else body.encode())
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.read().decode()

    def roots(self, number=0):
        """The file of a root that Pebble issues under, 0 by default; new at each of its starts."""
        pem = self.manage(f"roots/{number}")
        path = os.path.join(self.folder, f"root{number or ''}.pem")
        with open(path, "w") as file:
            file.write(pem)
        return path

    def intermediate(self, number=0):
        """The PEM of the intermediate that is signed by that root."""
        return self.manage(f"intermediates/{number}")

    def certificate_status(self, serial):
        """{"Status": "Valid" or "Revoked", "Reason": ...} of a certificate."""
        return json.loads(self.manage(f"cert-status-by-serial/{serial}"))

    def set_renewal_info(self, certificate, start, end, explanation=None):
        """What the CA now answers to the question when to renew (2.10). `certificate` in PEM; seconds since 1970."""
        times = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (start, end)]
        window = {"suggestedWindow": {"start": times[0], "end": times[1]}}
        if explanation:
            window["explanationURL"] = explanation
        self.manage("set-renewal-info/", json.dumps({"certificate": certificate, "ariResponse": json.dumps(window)}))

    def orders(self):
        """How many orders were asked for, those with a refused nonce among them."""
        return self.log().count("POST /order-plz")

    def orders_made(self):
        return self.log().count("Added order ")

    def requests(self, to=""):
        """How many ACME requests were made, the directory among them; or of those, the ones to this path."""
        return sum(number for path, number in self.requests_by_path().items() if path.startswith(to))

    def requests_by_path(self):
        """How many ACME requests were made to each path; names of one object each are left out, but for their kind."""
        return collections.Counter(re.findall(r"(?:GET|HEAD|POST) (/[^/ ]*/?)\S* -> calling handler\(\)", self.log()))

    def _dns(self, path, value):
        request = urllib.request.Request(f"http://127.0.0.1:{self.dns_management_port}/{path}",
                                         data=json.dumps(value).encode(), method="POST")
        urllib.request.urlopen(request, timeout=60).read()

    def break_name(self, name):
        """From now on the name cannot be resolved."""
        self._dns("set-servfail", {"host": name})

    def mend_name(self, name):
        self._dns("clear-servfail", {"host": name})


class Watch(threading.Thread):
    """Calls `look` over and over until stop(); what it raised comes out of stop()."""

    def __init__(self, look):
        super().__init__(daemon=True)
        self.look, self.ending, self.error, self.rounds = look, threading.Event(), None, 0
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                self.look()
                self.rounds += 1
        except Exception as error:  # noqa: handed to whoever stops
            self.error = error

    def stop(self):
        self.ending.set()
        self.join()
        if self.error:
            raise self.error
        return self.rounds
