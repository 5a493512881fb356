"""scripts/bench tls: what TLS costs in Postern, beside a minimal server and beside other mail servers and proxies.

The servers stand on one core, the load on another. Cost is the server's processor time as the kernel accounts for it,
per connection from accept to goodbye; every figure is the median of the rounds, every ratio that of one round to the
reference server in the same round. docs/performance.md says more.
"""

import argparse
import atexit
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

import bench_keys
import bench_peers
import bench_postern
from bench_host import LOAD_CORE, cores, raise_open_files, stop_all
from bench_load import Load, LoadFailed, Subject, cost, idle_memory, reference
from bench_page import Page, Tee
from bench_table import Table
from localca import free_port, wait_until

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PAGE = os.path.join(ROOT, "docs", "performance.md")
BUILD = os.path.join(ROOT, "build", "bench")
PROGRAMS = os.path.join(BUILD, "bench")

PARTS = ("memory", "cost", "stall", "reload", "swap", "many", "floor", "pieces")
DIALOGUES = {"smtp": "SMTP STARTTLS", "imap": "IMAP STARTTLS", "imaps": "implicit IMAPS"}
KEYS = {"ecdsa": "P-256", "rsa": "RSA-2048"}
TURNS = 4  # of reference and Postern in one round

# (dialogue, key, version, resumed) -> the most that is allowed, what is aimed at, what the issue knows of peers.
GOALS = {
    ("smtp", "ecdsa", "1.3", False): (1.05, 0.92, "nginx 1.17, HAProxy 1.34, Dovecot 1.54, Postfix 2.9"),
    ("smtp", "ecdsa", "1.3", True): (1.08, 0.95, ""),
    ("imaps", "ecdsa", "1.3", False): (1.05, 0.92, "nginx mail 1.12"),
}


def build():
    """The programs of tests/bench, as the release is built."""
    def run(*args):
        subprocess.run(args, check=True, cwd=ROOT, stdout=sys.stderr)
    if subprocess.run(["dpkg-query", "-W", "libbenchmark-dev"], capture_output=True).returncode != 0:
        run(*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "-q", "install", "-y", "--no-install-recommends",
            "libbenchmark-dev")
    run("cmake", "-S", ".", "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DPOSTERN_BENCH=ON",
        "-DPOSTERN_TESTS=OFF", "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG")
    run("cmake", "--build", BUILD, "--target", "bench_load", "bench_reference", "bench_floor", "bench_pieces", "bench_cache")


class TlsTable(Table):
    WIDTHS = (56, 9, 16, 60)


class Bench:
    def __init__(self, options):
        self.options = options
        self.quick = options.quick
        self.rounds = 3 if self.quick else 5
        self.count = 200 if self.quick else 500
        self.idle = 2000 if self.quick else 10000
        self.swaps = options.swaps or (50 if self.quick else 1000)
        self.certificates = 1000 if self.quick else 10000
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="postern-bench-", dir=shared)
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)  # peers change to users of their own
        self.table = TlsTable()
        self.keys = bench_keys.Keys(os.path.join(self.folder, "keys"))
        self.ecdsa = self.keys.leaf("ecdsa")
        self.rsa = self.keys.leaf("rsa", bench_keys.RSA)
        self.subjects, self.unavailable = {}, {}
        self.main = None

    def wanted(self, part):
        return not self.options.only or part in self.options.only

    # Servers

    def start_servers(self):
        ports = {}
        ecdsa, own = reference(PROGRAMS, self.folder, *self.ecdsa[:2], DIALOGUES)
        ports.update({(dialogue, "ecdsa"): port for dialogue, port in own.items()})
        self.subjects["reference"] = Subject("reference", ecdsa, ports)
        rsa, own = reference(PROGRAMS, self.folder, *self.rsa[:2], DIALOGUES, name="reference-rsa")
        self.reference_rsa = Subject("reference", rsa, {(dialogue, "rsa"): port for dialogue, port in own.items()})
        self.main = postern = self.postern("main", {"ecdsa": self.ecdsa[:2], "rsa": self.rsa[:2]})
        self.subjects["Postern"] = Subject("Postern", postern.server, {
            (dialogue, key): port for dialogue in DIALOGUES for key in KEYS
            for port in [postern.ports()[f"{dialogue}-{key}"]]})

    def postern(self, name, pairs):
        folder = os.path.join(self.folder, name)
        return bench_postern.Postern(self.options.binary, folder, bench_postern.static_config(folder, pairs))

    def start_peers(self):
        backend, ports = reference(PROGRAMS, self.folder, *self.ecdsa[:2], ["plain"], name="backend", core=LOAD_CORE)
        values = {"certificate": self.ecdsa[0], "key": self.ecdsa[1], "pem": self.ecdsa[2], "backend": ports["plain"]}
        for name, start in bench_peers.ALL.items():
            try:
                peer = start(self.folder, values)
            except bench_peers.Unavailable as error:
                self.unavailable[name] = str(error)
                continue
            self.subjects[name] = Subject(name, peer.server,
                                          {(dialogue, "ecdsa"): port for dialogue, port in peer.ports.items()})

    def close(self):
        """A signal that comes now, too, leaves nothing behind."""
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)
        stop_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Cost

    def compare(self, cell, names):
        """name -> (ratio, microseconds); a name that failed -> its reason.

        A round is made of short turns of reference and Postern one after the other, so that what else the machine does
        meets both alike; each peer has one turn in the middle of them.
        """
        dialogue, key, version, resumed = cell
        found, failed = {name: [] for name in names}, {}
        pair, peers = names[:2], names[2:]
        for number in range(self.rounds):
            peers.reverse()
            turns = {name: [] for name in names}
            for turn in range(TURNS):
                pair.reverse()
                for name in pair + (peers if turn == TURNS // 2 - 1 else []):
                    if name in failed:
                        continue
                    subject = self.subjects[name]
                    if name == "reference" and key == "rsa":
                        subject = self.reference_rsa
                    try:
                        turns[name].append(cost(PROGRAMS, subject, dialogue, key, version, resumed, self.count)[0])
                    except LoadFailed as error:
                        failed[name] = str(error)
            reference_cost = statistics.mean(turns["reference"]) if turns["reference"] else None
            for name in names:
                if name not in failed and reference_cost:
                    microseconds = statistics.mean(turns[name])
                    found[name].append((microseconds / reference_cost, microseconds))
        result = {name: tuple(statistics.median(column) for column in zip(*rounds))
                  for name, rounds in found.items() if name not in failed and rounds}
        return result, failed

    def name_of(self, cell):
        dialogue, key, version, resumed = cell
        return f"TLS {version} {'resumed' if resumed else 'full'}, {DIALOGUES[dialogue]}, {KEYS[key]}"

    def costs(self):
        peers_of = {cell: [name for name, subject in self.subjects.items() if name not in ("reference", "Postern") and
                           (cell[0], cell[1]) in subject.ports]
                    for cell in [(dialogue, "ecdsa", "1.3", resumed) for dialogue in DIALOGUES for resumed in (False, True)]}
        cells = list(GOALS) if self.quick or self.options.goals else [
            (dialogue, key, version, resumed) for key in KEYS for version in ("1.3", "1.2") for dialogue in DIALOGUES
            for resumed in (False, True)]
        peers = []
        print("\nprocessor time per connection, ratio to the reference")
        for cell in cells:
            result, failed = self.compare(cell, ["reference", "Postern", *peers_of.get(cell, [])])
            if "Postern" in failed or "reference" in failed:
                raise LoadFailed(str(failed))
            goal, aim, known = GOALS.get(cell, (None, None, ""))
            ratio, microseconds = result["Postern"]
            here = sorted((value[0], name) for name, value in result.items() if name not in ("reference", "Postern"))
            best = f"{here[0][1]} {here[0][0]:.2f} here" if here else ""
            note = "; ".join(part for part in (f"{microseconds:.0f} us, reference {result['reference'][1]:.0f}", best,
                                               f"issue: {known}" if known else "") if part)
            self.table.line(self.name_of(cell) + (f" (aim {aim})" if aim else ""), goal, ratio, "", note)
            peers += [(cell, name, f"{value[0]:.2f}  {value[1]:.0f}") for name, value in result.items()
                      if name not in ("reference", "Postern")]
            peers += [(cell, name, "-  " + why) for name, why in failed.items()]
        if peers:
            print("\npeers in the same rounds: ratio to the reference, microseconds")
            for cell, name, text in peers:
                print(f"  {self.name_of(cell):<46} {name:<14} {text}")

    def cannot_be_measured(self, name, what, why):
        """A peer may fail on a machine that it does not know, or at its own limits; Postern may not."""
        if name == "Postern":
            self.table.broke(f"{what}: {why}")
        else:
            print(f"  {name:<14} cannot be measured: {why}")

    # Memory

    def memory(self):
        print("\nmemory per idle TLS 1.3 connection (implicit IMAPS, before login), proportional set size of all processes")
        open_files = raise_open_files()
        relays = ("nginx stream", "HAProxy", "stunnel")  # two descriptors a connection
        for name, subject in self.subjects.items():
            dialogue = "imaps" if ("imaps", "ecdsa") in subject.ports else "smtp"
            number = min(self.idle, (open_files - 1000) // (2 if name in relays else 1))
            if name in ("Postfix", "stunnel"):
                number = min(number, 500)  # a process, or a thread, for each
            try:
                kib = idle_memory(PROGRAMS, subject, dialogue, number)
            except LoadFailed as error:
                self.cannot_be_measured(name, f"{number} idle connections", error)
                continue
            if name == "Postern":
                self.table.line(f"KiB per connection at {number} (aim 14.5)", 16 if number >= 2000 else None, kib, "KiB",
                                "issue: nginx 13.9 to 18.8, HAProxy 16.8, Dovecot 56, Postfix 1,615")
            else:
                print(f"  {name:<14} {kib:.1f} KiB at {number}")

    # Stall

    def stall(self):
        print("\nfirst reply after the handshake, one client: median (slowest of 50), milliseconds")
        for name in ("reference", "Postern", "nginx mail"):
            for dialogue in ("smtp", "imaps"):
                subject = self.subjects.get(name)
                if not subject:
                    continue
                try:
                    _, result = cost(PROGRAMS, subject, dialogue, "ecdsa", "1.3", False, 50, clients=1)
                except LoadFailed as error:
                    self.cannot_be_measured(name, DIALOGUES[dialogue], error)
                    continue
                text = f"{DIALOGUES[dialogue]}: {result['first_reply_ms']:.2f} ({result['first_reply_max_ms']:.2f})"
                if name == "Postern":
                    self.table.line(f"Postern, {DIALOGUES[dialogue]}", 10, result["first_reply_ms"], "ms",
                                    f"slowest {result['first_reply_max_ms']:.2f}; issue: nginx mail 40")
                else:
                    print(f"  {name:<14} {text}")

    # Swaps

    def swap(self):
        print(f"\n{self.swaps} swaps by `reload`, 64 clients shaking hands, 1000 idle sessions open")
        leaves = [self.keys.leaf(f"swap-{i}") for i in range(4)]
        postern = self.postern("swap", {"ecdsa": self.ecdsa[:2]})
        ports = postern.ports()
        memory = {}

        def look(line):
            memory[int(line.split()[1])] = postern.server.memory()
        load = Load(PROGRAMS, "swap", "--smtp-port", ports["smtp-ecdsa"], "--imaps-port", ports["imaps-ecdsa"],
                    "--swaps", self.swaps, "--control", postern.socket,
                    "--certificate", os.path.join(postern.folder, "ecdsa.pem"),
                    "--key", os.path.join(postern.folder, "ecdsa.key"), "--ca", self.keys.root,
                    *(part for chain, key, _ in leaves for part in ("--pair", f"{chain},{key}")))
        try:
            load.ready().go()
            result = load.result(look)
        finally:
            load.stop()
            postern.stop()
        if result["error"]:
            print("  first error:", result["error"])
        line, promise = self.table.line, self.table.promise
        line("first handshake with it, median (aim 10)", 30, result["latency_ms"], "ms", "issue: hitch 35")
        line("... 99 of 100 within", None, result["latency_p99_ms"], "ms")
        line("... slowest", None, result["latency_max_ms"], "ms")
        line("the reload call itself, median", None, result["call_ms"], "ms")
        promise("swaps that failed", 0, result["failed_swaps"])
        promise("handshakes after the call with the old one", 0, result["stale"])
        promise(f"failed connections of {result['visits']}", 0, result["failed"])
        promise(f"idle sessions lost of {result['idle']}", 0, result["idle_lost"])
        promise(f"tickets of before not resumed, of {result['across']}", 0, result["across"] - result["across_resumed"],
                "", "issue: every peer that reloads: none resumes")
        promise("sessions of before the first swap not resumed", 0, 2 - result["first_resumed"])
        if result["across"] == 0:
            self.table.broke("nobody who had a ticket came back after a swap: nothing was shown about tickets")
        marks = sorted(memory)
        line(f"memory grown from swap {marks[0]} to {marks[-1]}", 1024, (memory[marks[-1]] - memory[marks[0]]) / 1024, "KiB")

    # Reloads of the others

    @staticmethod
    def resumable(port, dialogue, context, session=None):
        """A session from its beginning to its end in good order: (its ticket, whether it was resumed itself)."""
        def said(stream, end):
            text = b""
            while end not in text:
                more = stream.recv(4096)
                if not more:
                    raise LoadFailed(f"the server left after {text!r}")
                text += more
        with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
            if dialogue == "smtp":
                said(raw, b"220 ")
                raw.sendall(b"EHLO client.example.test\r\n")
                said(raw, b"250 ")
                raw.sendall(b"STARTTLS\r\n")
                said(raw, b"220 ")
            with context.wrap_socket(raw, server_hostname="mail.example.test", session=session) as client:
                resumed = client.session_reused
                if dialogue == "smtp":
                    client.sendall(b"EHLO client.example.test\r\n")
                    said(client, b"250 ")
                    client.sendall(b"QUIT\r\n")
                    said(client, b"221 ")
                else:
                    said(client, b"* OK")
                    client.sendall(b"a LOGOUT\r\n")
                    said(client, b"a OK")
                return client.session, resumed

    def reloads(self):
        """Postern by `reload`, the peers by SIGHUP; HAProxy reloads by a new process and is left out."""
        count = 20
        print(f"\nof {count} TLS 1.3 sessions from before a reload that changes nothing, so many resume after it")
        for name, subject in self.subjects.items():
            if name in ("reference", "HAProxy"):
                continue
            dialogue = "imaps" if ("imaps", "ecdsa") in subject.ports else "smtp"
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            port = subject.ports[dialogue, "ecdsa"]

            def visit(ticket=None):
                return self.resumable(port, dialogue, context, ticket)
            try:
                ticket = visit()[0]
                if not visit(ticket)[1]:
                    self.cannot_be_measured(name, "sessions", "no tickets to resume from, or not for every client")
                    continue
                tickets = [visit()[0] for _ in range(count)]
                if name == "Postern":
                    self.main.command("reload")
                else:
                    workers = set(subject.server.processes()) - {subject.server.popen.pid}
                    subject.server.popen.send_signal(signal.SIGHUP)
                    try:
                        wait_until(lambda: not workers & set(subject.server.processes()), "its workers are others", 5)
                    except TimeoutError:
                        pass  # it has none, or keeps them over a reload

                    def answers():
                        try:
                            return visit()
                        except (OSError, LoadFailed):
                            return None
                    wait_until(answers, "it answers again", 20)
                resumed = sum(visit(ticket)[1] for ticket in tickets)
            except (OSError, LoadFailed) as error:  # TimeoutError is an OSError
                self.cannot_be_measured(name, "sessions across a reload", error)
                continue
            if name == "Postern":
                self.table.promise(f"Postern: sessions of {count} that do not resume", 0, count - resumed, "",
                                   "issue: every peer that reloads: none resumes")
            else:
                print(f"  {name:<14} {resumed}")

    # Many certificates

    def start_time(self, count):
        """Seconds from the start until a handshake for the last name has been made; memory; processor time until then."""
        folder = os.path.join(self.folder, f"cache-{count}")
        directory = "https://127.0.0.1:9/directory"
        cache = os.path.join(folder, "cache")
        os.makedirs(folder)
        subprocess.run([os.path.join(PROGRAMS, "bench_cache"), cache, directory, str(count)], check=True)
        port = free_port()
        config = bench_postern.cached_config(cache, directory, count, port)
        # Waiting for it by `status` would keep it busy with answers of megabytes.
        postern = bench_postern.Postern(self.options.binary, folder, config, core=None, port=port)
        try:
            name = f"host-{count - 1}.bench.example.test"
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with socket.create_connection(("127.0.0.1", port)) as raw:
                with context.wrap_socket(raw, server_hostname=name) as client:
                    shown = client.getpeercert(binary_form=True)
            seconds, spent = time.monotonic() - postern.begun, postern.server.seconds()
            if name.encode() not in shown:
                raise LoadFailed(f"no certificate for {name} is served")
            postern.ports()  # what an answer about all of them leaves behind counts as well
            return seconds, postern.server.memory(), spent
        finally:
            postern.stop()
            shutil.rmtree(folder)

    def many(self):
        print("\ncertificates loaded from the cache at the start")
        few_seconds, few_memory, _ = self.start_time(1)
        seconds, memory, spent = self.start_time(self.certificates)
        self.table.line(f"{self.certificates} certificates: until the last one is served", 5, seconds, "s",
                        f"{spent:.1f} s of processor time; with one certificate {few_seconds:.2f} s")
        self.table.line("memory of each", 16, (memory - few_memory) / (self.certificates - 1) / 1024, "KiB")

    # Floor and pieces

    def floor(self):
        print("\nthe floor: the server's side of a handshake between two memory BIOs, microseconds"
              " (library's defaults; Postern's ServerContext)")
        for key, (chain, private, _) in (("ecdsa", self.ecdsa), ("rsa", self.rsa)):
            done = subprocess.run(["taskset", "-c", str(cores()[0]), os.path.join(PROGRAMS, "bench_floor"), chain, private,
                                   "500" if self.quick else "5000"], check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            for kind, microseconds in found["defaults"].items():
                print(f"  TLS {kind:<12} {KEYS[key]:<9} {microseconds:7.1f} {found['postern'][kind]:7.1f}"
                      f"   {found['postern'][kind] / microseconds:.2f}")

    def pieces(self):
        print("\ninner pieces (Google Benchmark)")
        done = subprocess.run([os.path.join(PROGRAMS, "bench_pieces"), "--benchmark_format=json",
                               "--benchmark_min_time=" + ("0.05" if self.quick else "0.2")],
                              check=True, capture_output=True, text=True)
        for one in json.loads(done.stdout)["benchmarks"]:
            print(f"  {one['name']:<40} {one['real_time']:10.2f} {one['time_unit']}")

    def run(self, measured=lambda part: None):
        """`measured` is called after each part; `None` stands for what is said before the first one."""
        if any(self.wanted(part) for part in ("cost", "stall", "memory", "reload")):
            self.start_servers()
            if not self.options.no_peers:
                self.start_peers()
            for name, why in self.unavailable.items():
                print(f"{name}: left out: {why}")
        measured(None)
        # Memory first: the servers are fresh then. Reloads last of what these servers do: some are others after it.
        measures = {"memory": self.memory, "cost": self.costs, "stall": self.stall, "reload": self.reloads,
                    "swap": self.swap, "many": self.many, "floor": self.floor, "pieces": self.pieces}
        for part in PARTS:
            if self.wanted(part):
                measures[part]()
                measured(part)
        if self.main:
            self.main.stop()
        return self.table.end(self.options.strict)


INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupted(number, _):
    sys.exit(128 + number)


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "?")
    release = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.strip()
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"{model}, {len(cores())} cores, Linux {platform.release()}, {release}; Postern {commit}; "
          f"load average {os.getloadavg()[0]:.1f} at the start, {time.strftime('%Y-%m-%d')}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench tls", description="What TLS costs in Postern.")
    parser.add_argument("--quick", action="store_true", help="under two minutes: fewer cells, rounds, connections and swaps")
    parser.add_argument("--goals", action="store_true", help="cost of the handshakes that have a goal, not of all kinds")
    parser.add_argument("--swaps", type=int, metavar="N", help="so many swaps")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a goal is missed")
    parser.add_argument("--no-peers", action="store_true", help="Postern and the reference alone")
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "release", "postern"), help="another postern")
    parser.add_argument("--no-build", action="store_true", help="the bench's programs are there")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--write", action="store_true", help="put what was measured into docs/performance.md as well")
    options = parser.parse_args()
    if options.write and options.quick:
        parser.error("--write takes the figures of a whole run, not of --quick")
    page = Page(PAGE, [f"bench tls {part}" for part in options.only or PARTS]) if options.write else None
    for number in INTERRUPTS:
        signal.signal(number, interrupted)
    if not options.no_build:
        build()
    os.sched_setaffinity(0, set(cores()))
    tee = sys.stdout = Tee(sys.stdout)
    machine()
    begun = time.monotonic()
    texts = {}
    bench = Bench(options)
    try:
        status = bench.run(lambda part: texts.update({part: tee.take()}))
    except (LoadFailed, bench_postern.EndedBadly) as error:
        print(f"scripts/bench tls: {error}", file=sys.stderr)
        return 1
    finally:
        bench.close()
    if page:
        command = "scripts/bench tls " + shlex.join(sys.argv[1:]).replace(ROOT + os.sep, "")
        for part in options.only or PARTS:
            page.put(f"bench tls {part}", f"$ {command}\n{texts[None]}", texts[part])
    print(f"\n{time.monotonic() - begun:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
