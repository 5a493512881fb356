"""The PROXY header of a load balancer in a trusted network: the client's true address, and nothing without it."""

import smtplib
import socket
import struct
import unittest

import support
from mail_support import NAME, MailCase, message

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def version2(family, source, destination, command=1):
    kind = 0x21 if family == socket.AF_INET6 else 0x11
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination) + struct.pack("!HH", 40000, 25)
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack("!H", len(addresses)) + addresses


class Proxy(MailCase):
    extra = """
[server.proxy]
trusted-networks = ["127.0.0.0/8"]
[server.listener."direct"]
bind = "127.0.0.1:0"
protocol = "smtp"
proxy.trusted-networks = ""
"""

    def deliver_behind(self, header, user, listener="mx"):
        class Client(smtplib.SMTP):
            def _get_socket(self, host, port, timeout):
                connection = socket.create_connection((host, port), timeout)
                connection.sendall(header)
                return connection
        with Client("127.0.0.1", self.ports[listener], local_hostname="client.test", timeout=60) as client:
            client.sendmail("out@elsewhere.test", [user.address], message("proxied"))
        return self.stored(user)[-1].decode()

    def test_the_received_line_names_the_client_of_a_version_2_header(self):
        user = self.user()
        stored = self.deliver_behind(version2(socket.AF_INET, "192.0.2.7", "198.51.100.1"), user)
        self.assertIn("Received: from client.test ([192.0.2.7])\n", stored)
        user = self.user()
        stored = self.deliver_behind(version2(socket.AF_INET6, "2001:db8::7", "2001:db8::1"), user)
        self.assertIn("Received: from client.test ([IPv6:2001:db8::7])\n", stored)

    def test_the_received_line_names_the_client_of_a_version_1_header(self):
        stored = self.deliver_behind(b"PROXY TCP4 192.0.2.8 198.51.100.1 40000 25\r\n", self.user())
        self.assertIn("Received: from client.test ([192.0.2.8])\n", stored)

    def test_a_balancer_that_speaks_for_itself_is_the_client(self):
        stored = self.deliver_behind(SIGNATURE + b"\x20\x00\x00\x00", self.user())
        self.assertIn("Received: from client.test ([127.0.0.1])\n", stored)

    def test_the_header_goes_before_the_handshake(self):
        raw = self.raw("imaps")
        raw.sendall(version2(socket.AF_INET, "192.0.2.9", "198.51.100.1"))
        with support.client_context(self.ca).wrap_socket(raw, server_hostname=NAME) as connection:
            self.assertTrue(connection.recv(1000).startswith(b"* OK "))

    def test_a_connection_without_a_header_is_dropped_without_a_word(self):
        for listener, first in (("mx", b"EHLO client.test\r\n"), ("imap", b"a CAPABILITY\r\n"),
                                ("imaps", b"\x16\x03\x01\x00\x05hello")):
            connection = self.raw(listener)
            connection.sendall(first)
            try:
                said = connection.recv(1000)
            except ConnectionResetError:
                said = b""
            self.assertEqual(said, b"", listener)
        self.assertIn("proxy.header.refused", self.server.log())

    def test_a_header_from_where_it_is_not_trusted_is_no_command(self):
        connection = self.raw("direct")
        stream = connection.makefile("rb")
        self.assertTrue(stream.readline().startswith(b"220 "))
        connection.sendall(b"PROXY TCP4 192.0.2.8 198.51.100.1 40000 25\r\n")
        self.assertTrue(stream.readline().startswith(b"500 "))


if __name__ == "__main__":
    unittest.main()
