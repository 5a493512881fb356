"""Limits of handshakes, strict-sni and what `check` says of them, seen from outside."""

import resource
import smtplib
import socket
import ssl
import unittest
import urllib.request

import support
from support import wait_until


class Limits(support.TestCase):
    def start(self, tls="", smtp="", imap=""):
        certificate, key, _ = support.make_certificate(self.folder, "pair")
        server = self.server(f"""
[global.tracing]
level = "debug"
[server]
hostname = "localhost"
[server.tls]
certificate = "pair"
timeout = "10m"
{tls}
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{imap}
[server.listener."imap"]
bind = "127.0.0.1:0"
protocol = "imap"
[server.listener."smtp"]
bind = "127.0.0.1:0"
protocol = "smtp"
{smtp}
[server.listener."http"]
bind = "127.0.0.1:0"
protocol = "http"
[certificate."pair"]
cert = "file://{certificate}"
private-key = "file://{key}"
""")
        # Its own look at what it serves is refused by no limit, but while it is there it counts.
        for name in ("imaps", "imap", "smtp"):
            wait_until(lambda: f"tls.probe.ok listener={name} " in server.log(), f"the server has looked at {name}")
            wait_until(lambda: server.listener(name)["connections"]["open"] == 0, f"its look at {name} is over")
        return server

    def metric(self, server, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port('http')}/metrics", timeout=60) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"there is no metric {name}")

    def test_the_soft_limit_of_open_files_is_no_limit_of_connections(self):
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        hard = before[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            server = self.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        with open(f"/proc/{server.process.pid}/limits") as file:
            soft = next(line for line in file if line.startswith("Max open files")).split()[3]
        self.assertEqual(int(soft), 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536))
        port = server.port("imap")
        for number in range(300):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            self.addCleanup(client.close)
            self.assertEqual(client.recv(4), b"* OK", number)

    def hold_a_handshake(self, server):
        """A client that has begun one and does not go on."""
        client = socket.create_connection(("127.0.0.1", server.port("imaps")), timeout=60)
        self.addCleanup(client.close)
        client.sendall(b"\x16\x03\x01\x02\x00")

    def test_beyond_the_number_implicit_tls_is_closed_and_starttls_refused_in_the_clear(self):
        server = self.start("max-handshakes = 1")
        self.hold_a_handshake(server)

        def alone():
            there = server.listener("imaps")["connections"]["open"]
            if there == 0:
                self.hold_a_handshake(server)  # again: one of ours had the place when its first byte came
            return there == 1

        def refused():
            if not alone():
                return False  # it has not come yet, or another of ours has the place
            with socket.create_connection(("127.0.0.1", server.port("imaps")), timeout=60) as client:
                try:
                    support.client_context().wrap_socket(client, server_hostname="localhost").close()
                except (ssl.SSLError, ConnectionError):
                    return True
                return False
        wait_until(refused, "a second handshake is refused")
        with smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=60) as client:
            client.ehlo()
            self.assertEqual(client.docmd("STARTTLS"), (454, b"4.7.0 TLS not available due to temporary reason"))
            self.assertEqual(client.noop()[0], 250)
        with socket.create_connection(("127.0.0.1", server.port("imap")), timeout=60) as client:
            client.recv(1000)
            client.sendall(b"a STARTTLS\r\n")
            self.assertTrue(client.recv(1000).startswith(b"a NO [UNAVAILABLE] "))
        self.assertIn("tls.handshake.refused listener=smtp", server.log())
        self.assertEqual(server.listener("smtp")["connections"]["refused"], 1)
        self.assertEqual(self.metric(server, 'postern_handshakes_refused_total{listener="smtp"}'), 1)
        self.assertEqual(self.metric(server, 'postern_connections_refused_total{listener="imap"}'), 1)

    def test_one_address_holds_at_most_half_of_the_handshakes(self):
        server = self.start("max-handshakes = 4")
        for _ in range(4):
            self.hold_a_handshake(server)
        wait_until(lambda: server.listener("imaps")["connections"]["refused"] == 2, "two are refused")
        wait_until(lambda: "half of max-handshakes, for one address" in server.log(), "the log says why")
        with socket.create_connection(("127.0.0.1", server.port("imaps")), 20, ("127.0.0.2", 0)) as raw, \
                support.client_context().wrap_socket(raw, server_hostname="localhost") as client:
            self.assertTrue(client.recv(1000).startswith(b"* OK"))

    def test_a_server_at_its_limits_still_sees_what_it_serves(self):
        server = self.start('max-handshakes = 1\nhandshake-rate-per-ip = "1/1h"',
                            imap='max-connections = 1\nmax-connections-per-ip = 1')
        with self.assertRaises((ssl.SSLError, ConnectionError)):  # the rate of this address is used up
            for _ in range(2):
                server.tls("imaps", "localhost").close()
        self.hold_a_handshake(server)
        with socket.create_connection(("127.0.0.1", server.port("imap")), timeout=60) as only:
            self.assertTrue(only.recv(1000).startswith(b"* OK"))
            looked = {name: server.log().count(f"tls.probe.ok listener={name} ") for name in ("imaps", "imap", "smtp")}
            server.command("reload")
            for name, before in looked.items():
                wait_until(lambda: server.log().count(f"tls.probe.ok listener={name} ") > before, f"{name} is seen")
        self.assertNotIn("tls.probe.failed", server.log())

    def test_the_rate_of_one_address_is_bounded_and_a_reload_sets_it_free(self):
        server = self.start(imap='tls.handshake-rate-per-ip = "5/1h"')

        def connect():
            try:
                with server.tls("imaps", "localhost"):
                    return True
            except (ssl.SSLError, ConnectionError):
                return False
        # The server's own look at its certificate uses nothing up.
        self.assertEqual([connect() for _ in range(7)], [True] * 5 + [False] * 2)
        self.assertIn("handshake-rate-per-ip", server.log())
        self.assertTrue(server.served("smtp", "localhost"))  # is no part of it
        with open(server.config) as file:
            config = file.read()
        with open(server.config, "w") as file:
            file.write(config.replace('"5/1h"', '""'))
        server.command("reload")
        self.assertTrue(connect())

    def test_strict_sni_refuses_unknown_and_missing_names_with_alert_112(self):
        server = self.start("strict-sni = true", smtp='role = "submission"')
        server.served("imaps", "localhost")
        for name in ("other.example.test", None):
            with self.assertRaises(ssl.SSLError) as refused:
                server.tls("imaps", name)
            self.assertIn("UNRECOGNIZED_NAME", str(refused.exception))

    def test_check_warns_of_what_loses_mail_on_an_mx(self):
        server = self.start('strict-sni = true\npolicy = "modern"\nrequired = true')
        said = support.postern("check", "--config", server.config).stderr
        for key in ("strict-sni", "policy", "required"):
            self.assertRegex(said, rf"postern\.toml:\d+: warning: server\.tls\.{key} = .*listener smtp: loses mail")
        self.assertEqual(support.postern("check", "--strict", "--config", server.config, check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
