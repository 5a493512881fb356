"""What the tests with real mail clients share: one server per class, an account per test, and the clients themselves.

The CA does not matter to most of them, so the certificate is a static one whose CA the clients are told: they verify it
for "localhost" and for the names below. Each test takes an account of its own with self.user(), and disturbs no other.
"""

import imaplib
import itertools
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
import unittest

import support
from support import make_certificate

NAME = "mail.example.test"
ACCOUNTS = 60

LISTENERS = """
[server.listener."mx"]
bind = "127.0.0.1:0"
protocol = "smtp"
[server.listener."submission"]
bind = "127.0.0.1:0"
protocol = "smtp"
role = "submission"
[server.listener."submissions"]
bind = "127.0.0.1:0"
protocol = "smtp"
tls.implicit = true
[server.listener."imap"]
bind = "127.0.0.1:0"
protocol = "imap"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
"""


class User:
    def __init__(self, number):
        self.name, self.password = f"user{number}", f"correct horse {number}"
        self.address = self.name + "@example.test"


USERS = [User(number) for number in range(ACCOUNTS)]
PRINCIPALS = "".join(f'[[directory.memory.principals]]\nname = "{user.name}"\nsecret = "{user.password}"\n'
                     f'email = ["{user.address}"]\n' for user in USERS)


class Done:
    """What a client that has ended said."""

    def __init__(self, finished):
        self.code = finished.returncode
        self.out = finished.stdout
        self.text = (finished.stdout + finished.stderr).decode("utf-8", "replace")


def run(args, code=0, timeout=120, **options):
    """Runs a client, which must end with `code`."""
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    done = Done(subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, **options))
    if done.code != code:
        raise AssertionError(f"{' '.join(args)} ended with {done.code}, not {code}:\n{done.text}")
    return done


def message(subject, body=b"Hello.\r\n", sender="out@elsewhere.test", recipient="somebody@example.test"):
    return (f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\n"
            f"Message-ID: <{subject.replace(' ', '-')}@elsewhere.test>\r\n"
            "Date: Mon, 03 Jun 2024 10:00:00 +0000\r\n\r\n").encode() + body


def end(server):
    """An orderly stop: what a sanitizer finds on the way out fails the class."""
    if server.process and (status := server.stop()):
        raise AssertionError(f"postern ended with {status}:\n{server.log()}")


class MailCase(unittest.TestCase):
    """One server for the tests of a class."""

    extra = ""  # configuration

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        certificate, key, cls.ca = make_certificate(cls.folder, "mail", dns=("localhost", NAME))
        cls.server = support.Server(os.path.join(cls.folder, "server"), f"""
[server]
hostname = "{NAME}"
[server.tls]
certificate = "static"
{LISTENERS}
[certificate."static"]
cert = "file://{certificate}"
private-key = "file://{key}"
[storage]
maildir = "{os.path.join(cls.folder, 'mail')}"
{PRINCIPALS}
{cls.extra}
""", start=False)
        cls.addClassCleanup(end, cls.server)
        cls.users = itertools.chain(USERS)
        cls.server.start()
        cls.look_up_ports()

    @classmethod
    def look_up_ports(cls):
        cls.ports = {one["id"]: int(one["bind"][0].rsplit(":", 1)[1]) for one in cls.server.status()["listeners"]}

    def user(self):
        return next(self.users)

    def scratch(self, name):
        """A path of this test's own."""
        folder = os.path.join(self.folder, "clients", self.id().rsplit(".", 1)[1])
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)

    def write(self, name, content):
        path = self.scratch(name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    # What is on disk

    def stored(self, user):
        """The bytes of the account's messages as they lie in its INBOX."""
        found = []
        for part in ("new", "cur"):
            folder = os.path.join(self.folder, "mail", user.name, part)
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                with open(os.path.join(folder, name), "rb") as file:
                    found.append(file.read())
        return found

    # Clients

    def deliver(self, user, content, **options):
        with smtplib.SMTP("127.0.0.1", self.ports["mx"], timeout=60) as client:
            client.sendmail("out@elsewhere.test", [user.address], content, **options)

    def imap(self, user):
        """A session that has logged in and verified the certificate."""
        client = imaplib.IMAP4_SSL("localhost", self.ports["imaps"], ssl_context=support.client_context(self.ca),
                                   timeout=60)
        self.addCleanup(client.sock.close)
        client.login(user.name, user.password)
        return client

    def fetched(self, user):
        """The messages of the INBOX as IMAP hands them out, oldest first, left unread."""
        client = self.imap(user)
        client.select(readonly=True)
        _, answer = client.fetch("1:*", "(BODY.PEEK[])")
        client.logout()
        return [part[1] for part in answer if isinstance(part, tuple)]

    def curl(self, *args, code=0):
        return run(["curl", "-sS", "--max-time", "60", "--cacert", self.ca, *args], code)

    def imap_url(self, path=""):
        return f"imaps://localhost:{self.ports['imaps']}/{path}"

    def raw(self, listener):
        """A connection in the clear; it ends with the test."""
        connection = socket.create_connection(("127.0.0.1", self.ports[listener]), timeout=30)
        self.addCleanup(connection.close)
        return connection


def reply(stream):
    """A whole SMTP reply, as text."""
    lines = []
    while True:
        line = stream.readline()
        if not line:
            raise EOFError(b"".join(lines))
        lines.append(line)
        if line[3:4] != b"-":
            return b"".join(lines).decode()
