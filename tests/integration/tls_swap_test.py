"""Certificates swapped and the configuration reloaded under load: no failed handshake, no closed session, no lost ticket."""

import itertools
import os
import resource
import shutil
import signal
import socket
import ssl
import threading
import unittest

import support
from support import wait_until

CLIENTS, IDLE, RELOADS = 64, 1000, 100
if os.environ.get("POSTERN_SANITIZED"):
    CLIENTS, IDLE, RELOADS = 8, 50, 10


class Swap(support.TestCase):
    def setUp(self):
        super().setUp()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.pairs = [support.make_certificate(self.folder, f"pair{number}") for number in range(2)]
        self.certificate, self.key = (os.path.join(self.folder, name) for name in ("cert.pem", "key.pem"))
        self.turn = 0
        self.replace()
        self.server_ = self.server(self.config(31))
        self.ports = {name: self.server_.port(name) for name in ("imaps", "more", "imap")}
        self.failures, self.serials = [], set()

    def config(self, minutes):
        return f"""
[server]
hostname = "localhost"
[server.tls]
certificate = "pair"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
idle-timeout = "{minutes}m"
[server.listener."more"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
[server.listener."imap"]
bind = "127.0.0.1:0"
protocol = "imap"
idle-timeout = "{minutes}m"
allow-plain-text = true
[certificate."pair"]
cert = "file://{self.certificate}"
private-key = "file://{self.key}"
[storage]
maildir = "{os.path.join(self.folder, 'mail')}"
{support.ACCOUNTS}"""

    def replace(self):
        """The other pair, each file whole; between the two, they do not belong together."""
        self.turn += 1
        for source, target in zip(self.pairs[self.turn % 2], (self.certificate, self.key)):
            shutil.copyfile(source, target + ".new")
            os.rename(target + ".new", target)

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for pair in self.pairs:
            context.load_verify_locations(pair[2])
        return context

    def session(self, name, context, ticket=None):
        """A session past its greeting; the certificate is verified."""
        raw = socket.create_connection(("127.0.0.1", self.ports[name]), timeout=60)
        if name == "imap":
            self.expect(raw, b"* OK")
            raw.sendall(b"s STARTTLS\r\n")
            self.expect(raw, b"s OK")
        client = context.wrap_socket(raw, server_hostname="localhost", session=ticket)
        if name == "imap":
            client.sendall(b"n NOOP\r\n")
            self.expect(client, b"n OK")
        else:
            self.expect(client, b"* OK")
        return client

    def expect(self, client, beginning):
        said = client.recv(1000)
        if not said.startswith(beginning):
            raise AssertionError(f"{said} for {beginning}")

    def leave(self, client):
        """In good order: a session of a connection that just vanishes may not be resumed."""
        client.sendall(b"q LOGOUT\r\n")
        while client.recv(1000):
            pass
        client.unwrap()

    def load(self, number, stop, counts):
        context, tickets = self.context(), {}
        if number % 4 == 3:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        for turn in itertools.count(number):
            if stop.is_set():
                return
            name = ("imaps", "imap")[turn % 2]
            ticket = tickets.pop(name, None) if turn % 3 else None
            try:
                with self.session(name, context, ticket) as client:
                    if ticket and not client.session_reused:
                        raise AssertionError("a ticket was not taken")
                    tickets[name] = client.session
                    self.serials.add(client.getpeercert()["serialNumber"])
                    self.leave(client)
                counts[number] += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def test_tickets_end_with_the_process_that_alone_knows_their_keys(self):
        context = self.context()
        for restart in (False, True):
            with self.session("imaps", context) as client:
                ticket = client.session
                self.leave(client)
            if restart:
                self.server_.stop()
                self.server_.start()
                self.ports["imaps"] = self.server_.port("imaps")
            with self.session("imaps", context, ticket) as client:
                self.assertEqual(client.session_reused, not restart)

    def test_a_ticket_is_taken_by_its_listener_and_for_its_name_alone(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = support.client_context()
            context.minimum_version = context.maximum_version = version

            def reused(listener, name, ticket=None):
                with self.server_.tls(listener, name, context=context, session=ticket, port=self.ports[listener]) as client:
                    self.expect(client, b"* OK")
                    tickets.append(client.session)
                    resumed = client.session_reused
                    self.leave(client)
                    return resumed
            for listener, name, resumed in (("imaps", "localhost", True), ("imaps", "other.example.test", False),
                                            ("more", "localhost", False)):
                tickets = []
                self.assertIs(reused("imaps", "localhost"), False)
                self.assertIs(reused(listener, name, tickets[0]), resumed, (version, listener, name))
        handshakes = {name: self.server_.listener(name)["handshakes"] for name in ("imaps", "more")}
        self.assertEqual([handshakes[name]["resumed"] for name in ("imaps", "more")], [2, 0])
        self.assertEqual([handshakes[name]["failed"] for name in ("imaps", "more")], [0, 0])

    def test_nobody_notices_swaps_and_reloads(self):
        context = self.context()
        idle = []
        for number in range(IDLE):
            idle.append(self.session(("imaps", "imap")[number % 2], context))
            self.addCleanup(idle[-1].close)
            idle[-1].sendall(f'l LOGIN {support.ACCOUNT} "{support.PASSWORD}"\r\n'.encode())
            self.expect(idle[-1], b"l OK")
        tickets = {}
        for name in ("imaps", "imap"):
            with self.session(name, context) as client:
                tickets[name] = client.session
                self.leave(client)

        stop, counts = threading.Event(), [0] * CLIENTS
        threads = [threading.Thread(target=self.load, args=(number, stop, counts)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        loads = self.server_.log().count("config.reload.applied")
        for number in range(RELOADS):
            self.replace()
            if number % 10 == 0:  # a change that is none of TLS's
                self.server_.write(self.config(31 + number % 20))
            self.server_.process.popen.send_signal(signal.SIGHUP)
            before = sum(counts)
            wait_until(lambda: self.server_.log().count("config.reload.") > loads + number or self.failures,
                       "the reload is done", 60)
            wait_until(lambda: sum(counts) > before or self.failures, "clients go on", 60)
        stop.set()
        for thread in threads:
            thread.join()

        self.assertEqual(self.failures, [])
        self.assertNotIn("config.reload.refused", self.server_.log())
        self.assertEqual(len(self.serials), 2)  # both were seen
        for client in idle:
            client.sendall(b"i NOOP\r\n")
            self.expect(client, b"i OK")
        for name, ticket in tickets.items():
            with self.session(name, context, ticket) as client:
                self.assertTrue(client.session_reused, name)
        handshakes = self.server_.listener("imaps")["handshakes"]
        self.assertEqual(handshakes["failed"], 0)
        self.assertGreater(handshakes["completed"], IDLE // 2)


if __name__ == "__main__":
    unittest.main()
