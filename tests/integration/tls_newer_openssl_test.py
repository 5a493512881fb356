"""TLS under an OpenSSL newer than Debian 12's: the hybrid group X25519MLKEM768, whose ClientHello outgrows a segment.

The server is the binary under test and the client is openssl's, both under the newer OpenSSL. Where that cannot be had,
these tests fail and say why (scripts/lib/openssl_new.py). A Relay between them cuts the ClientHello to pieces.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

import support  # first: it says where the next one is found
import openssl_new
from mail_support import end, run
from support import Process, make_certificate, wait_until

HYBRID, CLASSIC = "X25519MLKEM768", "X25519"
MORE_THAN_A_SEGMENT = 1400


def pair(folder):
    """(the configuration of a static certificate, its CA)"""
    certificate, key, ca = make_certificate(folder, "pair")
    return f"""
[certificate."pair"]
cert = "file://{certificate}"
private-key = "file://{key}"
""", ca


def listener(name, protocol="imap", extra=""):
    return f'[server.listener."{name}"]\nbind = "127.0.0.1:0"\nprotocol = "{protocol}"\n{extra}\n'


class NewerServer(support.Server):
    """`postern run` under the newer OpenSSL."""

    def launch(self):
        self.starts += 1
        self.process = Process([*openssl_new.command(support.POSTERN), "run", "--config", self.config],
                               os.path.join(self.folder, f"postern-{self.starts}.log"))


def group(said):
    """What a client says the keys were agreed on with."""
    found = re.search(r"^(?:Negotiated TLS1\.3 group|(?:Peer|Server) Temp Key): ([\w-]+)", said, re.M)
    return found[1] if found else None


class Client:
    """openssl s_client, the newer one unless `program` is another: verifies the server and speaks until its goodbye."""

    SPEAKS = {"smtp": (["-starttls", "smtp"], "quit\r\n", "221 "),
              "imap": (["-starttls", "imap"], "a LOGOUT\r\n", "* BYE "),
              "imaps": ([], "a LOGOUT\r\n", "* BYE ")}

    def __init__(self, ca, port, protocol="imaps", groups=None, more=(), program=None):
        start, self.say, self.goodbye = self.SPEAKS[protocol]
        self.args = [*(program or openssl_new.tool()), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", ca,
                     "-verify_return_error", "-verify_hostname", "localhost", "-servername", "localhost", "-ign_eof",
                     *start, *(["-groups", groups] if groups else []), *more]

    def served(self):
        """All that it prints, after a whole session."""
        said = run(self.args, 0, 60, input=self.say.encode()).text
        if "Verification: OK" not in said or self.goodbye not in said:
            raise AssertionError(f"{' '.join(self.args)}: no whole session\n{said}")
        return said

    def refused(self):
        """All that it prints, having got no TLS."""
        said = run(self.args, 1, 60, input=self.say.encode()).text
        if self.goodbye in said:
            raise AssertionError(f"{' '.join(self.args)}: was served\n{said}")
        return said


# The ways to cut what the client sends first, header of a balancer included.

def whole(first):
    return [first]


def byte_by_byte(first):
    return [first[at:at + 1] for at in range(len(first))]


def in_segments(first):
    return [first[:500], first[500:1000], first[1000:]]


class Relay:
    """One connection to `port`, of which the ClientHello arrives cut into pieces; all else passes as it is.

    cut      bytes → the pieces that are sent one after the other
    record   the most of the ClientHello in one TLS record (RFC 8446 section 5.1 lets it be spread)
    header   what a balancer sends ahead; with the ClientHello in one where TLS is implicit
    gate     an event that is waited for in the middle of the pieces
    """

    def __init__(self, port, cut=whole, record=None, header=b"", implicit=True, gate=None):
        self.cut, self.record, self.gate, self.hello, self.halfway = cut, record, gate, b"", threading.Event()
        self.header, self.implicit = header, implicit
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(60)
        self.port = self.listening.getsockname()[1]
        self.server = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = None
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        if self.header and not self.implicit:
            self.server.sendall(self.header)
        self.client, _ = self.listening.accept()
        self.client.settimeout(60)
        back = threading.Thread(target=self.pump, args=(self.server, self.client), daemon=True)
        back.start()
        try:
            self.forward_hello()
        except OSError:
            pass  # the server has refused it
        self.pump(self.client, self.server)
        back.join()

    def forward_hello(self):
        first = self.client.recv(65536)
        while first and not first.startswith(b"\x16\x03"):  # the dialogue that leads to TLS
            self.server.sendall(first)
            first = self.client.recv(65536)
        while len(first) < 5 or len(first) < 5 + int.from_bytes(first[3:5], "big"):
            more = self.client.recv(65536)
            if not more:
                return
            first += more
        self.hello = first
        body, most = first[5:], self.record or len(first)
        parts = [body[at:at + most] for at in range(0, len(body), most)]
        records = b"".join(first[:3] + len(part).to_bytes(2, "big") + part for part in parts)
        pieces = self.cut((self.header if self.implicit else b"") + records)
        for at, piece in enumerate(pieces):
            if self.gate and at == len(pieces) // 2:
                self.halfway.set()
                self.gate.wait(60)
            self.server.sendall(piece)
            if len(pieces) < 10:  # each is read by itself
                wait_until(self.is_read, "the server has read a piece", 60)

    def is_read(self):
        """Whether the server has taken all that was sent, as the kernel's table of its sockets has it."""
        (_, server), (_, own) = self.server.getpeername(), self.server.getsockname()
        with open("/proc/net/tcp") as file:
            for _, local, remote, _, queues, *_ in map(str.split, list(file)[1:]):
                if local.endswith(f":{server:04X}") and remote.endswith(f":{own:04X}"):
                    return queues.endswith(":00000000")
        return True  # it has closed the connection

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of the two has gone

    def close(self):
        for one in (self.listening, self.server, self.client):
            if one:
                one.close()


class Case(unittest.TestCase):
    config = ""
    program = NewerServer

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        certificate, cls.ca = pair(cls.folder)
        cls.server = cls.program(os.path.join(cls.folder, "server"), f"""
[server]
hostname = "localhost"
[server.tls]
certificate = "pair"
{cls.config}
{certificate}
""", start=False)
        cls.addClassCleanup(end, cls.server)
        cls.server.start()
        cls.ports = {one["id"]: int(one["bind"][0].rsplit(":", 1)[1]) for one in cls.server.status()["listeners"]}

    def client(self, name, protocol="imaps", groups=f"{HYBRID}:{CLASSIC}", **options):
        return Client(self.ca, self.ports[name], protocol, groups, **options)

    def relay(self, name, **options):
        relay = Relay(self.ports[name], **options)
        self.addCleanup(relay.close)
        return relay


class Groups(Case):
    config = (listener("imaps", extra="tls.implicit = true") + listener("imap") + listener("smtp", "smtp") +
              listener("intermediate", extra='tls.implicit = true\ntls.policy = "intermediate"') +
              listener("modern", extra='tls.implicit = true\ntls.policy = "modern"') +
              listener("classic", extra='tls.implicit = true\ntls.groups = ["X25519", "P-256"]') +
              listener("reversed", extra=f'tls.implicit = true\ntls.groups = ["{CLASSIC}", "{HYBRID}"]'))

    def test_a_client_that_offers_the_hybrid_group_agrees_on_it(self):
        for name, protocol in (("imaps", "imaps"), ("imap", "imap"), ("smtp", "smtp"), ("intermediate", "imaps"),
                               ("modern", "imaps")):
            said = self.client(name, protocol).served()
            self.assertEqual(group(said), HYBRID, (name, said))
            self.assertIn("New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256", said)

    def test_a_client_that_lacks_it_agrees_on_x25519(self):
        for name, protocol in (("imaps", "imaps"), ("smtp", "smtp"), ("modern", "imaps")):
            self.assertEqual(group(self.client(name, protocol, f"{CLASSIC}:P-256", program=["openssl"]).served()),
                             CLASSIC)
        self.assertEqual(group(self.client("imaps", groups=f"{CLASSIC}:P-256").served()), CLASSIC)

    def test_tls_1_2_which_has_no_hybrid_groups_agrees_on_x25519(self):
        for program, groups in ((["openssl"], f"{CLASSIC}:P-256"), (None, f"{HYBRID}:{CLASSIC}:P-256"),
                                (None, f"{CLASSIC}:{HYBRID}:P-256")):
            said = self.client("imaps", groups=groups, more=["-tls1_2"], program=program).served()
            self.assertEqual(group(said), CLASSIC, said)
            self.assertIn("New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256", said)

    def test_a_client_that_has_it_and_sent_the_share_of_another_is_asked_once_more(self):
        for offer in (f"{CLASSIC}:{HYBRID}", f"P-256:{CLASSIC}:{HYBRID}"):
            for name, protocol in (("imaps", "imaps"), ("smtp", "smtp")):
                self.assertEqual(group(self.client(name, protocol, offer).served()), HYBRID)

    def test_the_order_of_the_configuration_is_kept_where_it_puts_another_first(self):
        self.assertEqual(group(self.client("reversed", groups=f"{CLASSIC}:{HYBRID}").served()), CLASSIC)
        self.assertEqual(group(self.client("reversed", groups=HYBRID).served()), HYBRID)

    def test_a_listener_without_it_asks_for_another_share(self):
        self.assertEqual(group(self.client("classic").served()), CLASSIC)
        self.assertIn("alert number 40", self.client("classic", groups=HYBRID).refused())

    def test_a_session_that_began_with_it_is_resumed(self):
        ticket = os.path.join(self.folder, "ticket")
        self.assertIn("New, TLSv1.3", self.client("imaps", more=["-sess_out", ticket]).served())
        said = self.client("imaps", more=["-sess_in", ticket]).served()
        self.assertIn("Reused, TLSv1.3", said)
        self.assertEqual(group(said), HYBRID)

    def test_nothing_of_the_policies_is_left_out(self):
        self.assertIn("server.started", self.server.log())
        self.assertNotIn("tls.policy.reduced", self.server.log())

    def test_a_hello_longer_than_a_segment_arrives_in_any_pieces(self):
        for name in ("imaps", "imap", "smtp"):
            for cut, record in ((in_segments, None), (byte_by_byte, None), (whole, 700), (byte_by_byte, 16)):
                relay = self.relay(name, cut=cut, record=record, implicit=name == "imaps")
                said = Client(self.ca, relay.port, name, f"{HYBRID}:{CLASSIC}").served()
                self.assertEqual(group(said), HYBRID, (name, cut, record))
                self.assertGreater(len(relay.hello), MORE_THAN_A_SEGMENT)

    def test_the_second_hello_of_a_client_that_is_asked_once_more_may_be_long_too(self):
        relay = self.relay("imaps", cut=byte_by_byte)
        self.assertEqual(group(Client(self.ca, relay.port, "imaps", f"P-256:{HYBRID}").served()), HYBRID)
        self.assertLess(len(relay.hello), MORE_THAN_A_SEGMENT)


class AtHand(Case):
    """The same under the OpenSSL that the machine itself has."""

    program = support.Server
    config = listener("imaps", extra="tls.implicit = true") + listener("smtp", "smtp", 'tls.policy = "modern"')

    def test_the_group_is_left_out_with_a_line_where_the_openssl_at_hand_lacks_it(self):
        major, minor = map(int, re.search(r"\(OpenSSL (\d+)\.(\d+)\.", support.postern("version").stdout).groups())
        has = (major, minor) >= (3, 5)
        for name, protocol in (("imaps", "imaps"), ("smtp", "smtp")):
            line = re.search(rf"(?m)tls\.policy\.reduced listener={name} left_out={HYBRID}$", self.server.log())
            self.assertEqual(bool(line), not has, self.server.log())
            self.assertEqual(group(self.client(name, protocol).served()), HYBRID if has else CLASSIC)


class Behind(Case):
    """A balancer ahead, and a rate: a ClientHello in pieces is one handshake of the client that the header names."""

    config = ('[server.proxy]\ntrusted-networks = ["127.0.0.0/8"]\n' + listener("imaps", extra="tls.implicit = true") +
              listener("smtp", "smtp") +
              listener("few", extra='tls.implicit = true\ntls.handshake-rate-per-ip = "2/1h"'))

    @staticmethod
    def header(host):
        return f"PROXY TCP4 192.0.2.{host} 198.51.100.1 40000 993\r\n".encode()

    def test_a_long_hello_may_follow_the_header_in_any_pieces(self):
        for name in ("imaps", "smtp"):
            for cut, record in ((whole, None), (in_segments, None), (byte_by_byte, 300)):
                relay = self.relay(name, cut=cut, record=record, header=self.header(7), implicit=name == "imaps")
                said = Client(self.ca, relay.port, name, f"{HYBRID}:{CLASSIC}").served()
                self.assertEqual(group(said), HYBRID, (name, cut, record))
                self.assertGreater(len(relay.hello), MORE_THAN_A_SEGMENT)

    def test_the_rate_counts_a_hello_in_pieces_once_and_for_the_true_address(self):
        def client(host):
            return Client(self.ca, self.relay("few", cut=byte_by_byte, header=self.header(host)).port, "imaps", HYBRID)
        for _ in range(2):
            self.assertEqual(group(client(8).served()), HYBRID)
        client(8).refused()
        self.assertEqual(group(client(9).served()), HYBRID)


class Places(Case):
    config = ('max-handshakes = 1\n' + listener("imaps", extra="tls.implicit = true") +
              listener("hasty", extra='tls.implicit = true\ntls.timeout = "1s"') +
              '[global.tracing]\nlevel = "debug"\n')

    def setUp(self):
        # The server's looks at its own listeners, which take the place too, are over.
        for name in ("imaps", "hasty"):
            wait_until(lambda: f"tls.probe.ok listener={name} " in self.server.log(), f"the server has looked at {name}")
            wait_until(lambda: self.server.listener(name)["connections"]["open"] == 0, f"its look at {name} is over")

    def test_half_a_hello_holds_a_place_and_the_other_half_still_makes_a_session(self):
        go_on, said = threading.Event(), []
        relay = self.relay("imaps", cut=in_segments, gate=go_on)
        slow = Client(self.ca, relay.port, "imaps", HYBRID)
        thread = threading.Thread(target=lambda: said.append(slow.served()))
        thread.start()
        try:
            self.assertTrue(relay.halfway.wait(60))
            before = self.server.listener("imaps")["connections"]["refused"]

            def is_refused():
                subprocess.run(self.client("imaps").args, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
                return self.server.listener("imaps")["connections"]["refused"] > before
            wait_until(is_refused, "another handshake is refused")
        finally:
            go_on.set()
            thread.join()
        self.assertEqual([group(one) for one in said], [HYBRID])

    def test_half_a_hello_is_closed_after_the_time_for_a_handshake(self):
        relay = self.relay("imaps")
        Client(self.ca, relay.port, "imaps", HYBRID).served()
        with socket.create_connection(("127.0.0.1", self.ports["hasty"]), timeout=60) as half:
            half.sendall(relay.hello[:len(relay.hello) // 2])
            self.assertEqual(half.recv(1000), b"")
        self.assertEqual(self.server.listener("hasty")["connections"]["refused"], 0)


if __name__ == "__main__":
    unittest.main()
