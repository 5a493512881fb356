"""openssl s_client against certificates of a real CA: verification, versions, ALPN, over STARTTLS and without it."""

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

import support
from mail_support import end, run
from support import Pebble, acme_section

MAIL, IMAP = "mail.example.test", "imap.example.test"


class OpenSsl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.pebble = Pebble(os.path.join(cls.folder, "pebble"))
        cls.addClassCleanup(cls.pebble.stop)
        cls.server = support.Server(os.path.join(cls.folder, "server"), f"""
[server]
hostname = "{MAIL}"
[server.tls]
acme = "pebble"
[server.listener."smtp"]
bind = "127.0.0.1:0"
protocol = "smtp"
[server.listener."submissions"]
bind = "127.0.0.1:0"
protocol = "smtp"
tls.implicit = true
[server.listener."imap"]
bind = "127.0.0.1:0"
protocol = "imap"
hostname = "{IMAP}"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
hostname = "{IMAP}"
tls.implicit = true
{acme_section(cls.pebble, cls.folder)}
""", start=False)
        cls.addClassCleanup(end, cls.server)
        cls.server.start()
        for name in (MAIL, IMAP):
            cls.server.await_certificate(name)
        cls.root = cls.pebble.roots()

    # listener → (name, how s_client gets to TLS, the ALPN name of its protocol)
    LISTENERS = {"smtp": (MAIL, ["-starttls", "smtp"], "smtp"), "submissions": (MAIL, [], "submission"),
                 "imap": (IMAP, ["-starttls", "imap"], "imap"), "imaps": (IMAP, [], "imap")}

    def s_client(self, listener, *args, name=None, code=0, say=b""):
        own, start, _ = self.LISTENERS[listener]
        return run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.port(listener)}", "-servername", own,
                    "-CAfile", self.root, "-verify_return_error", "-verify_hostname", name or own, *start, *args],
                   code, input=say).text

    def test_each_listener_is_verified_against_the_root_in_tls_1_2_and_1_3(self):
        for listener in self.LISTENERS:
            for option, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
                said = self.s_client(listener, option)
                self.assertIn("Verification: OK", said, (listener, version))
                self.assertIn("Verified peername: " + self.LISTENERS[listener][0], said)
                self.assertIn(f"New, {version}, Cipher is ", said)

    def test_a_certificate_is_not_good_for_the_name_of_another_listener(self):
        self.assertIn("hostname mismatch", self.s_client("smtp", name=IMAP, code=1).lower())
        self.assertIn("hostname mismatch", self.s_client("imaps", name=MAIL, code=1).lower())

    def test_versions_before_1_2_are_refused(self):
        for listener in ("smtp", "imaps"):
            # The client would offer it: its own security level is lowered.
            said = self.s_client(listener, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", code=1)
            self.assertIn("alert number 70", said)  # protocol_version

    def test_the_alpn_name_of_the_protocol_is_agreed_and_a_foreign_one_refused(self):
        for listener, (_, _, protocol) in self.LISTENERS.items():
            self.assertIn(f"ALPN protocol: {protocol}", self.s_client(listener, "-alpn", "h2," + protocol))
            self.assertIn("alert number 120", self.s_client(listener, "-alpn", "h2,http/1.1", code=1))
            self.assertIn("No ALPN negotiated", self.s_client(listener))

    def test_nothing_is_stapled_to_a_certificate_of_a_ca_without_ocsp(self):
        for version in ("-tls1_2", "-tls1_3"):
            self.assertIn("OCSP response: no response sent", self.s_client("imaps", "-status", version))

    def test_tickets_allow_no_early_data(self):
        ticket = os.path.join(self.folder, "ticket")
        self.s_client("imaps", "-tls1_3", "-sess_out", ticket, "-ign_eof", say=b"a LOGOUT\r\n")
        shown = run(["openssl", "sess_id", "-in", ticket, "-noout", "-text"], 0).text
        self.assertIn("TLS session ticket:", shown)
        self.assertIn("Max Early Data: 0", shown)

    def test_the_protocols_of_challenges_are_not_spoken_to_a_stranger(self):
        self.assertIn("alert number", self.s_client("imaps", "-alpn", "acme-tls/1", code=1))

    def test_renegotiation_is_refused(self):
        own = self.LISTENERS["imaps"][0]
        client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.port('imaps')}",
                                   "-servername", own, "-CAfile", self.root, "-tls1_2"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        # The greeting first: s_client would stumble over it in the middle of its renegotiation.
        while not (line := client.stdout.readline()).startswith(b"* OK "):
            self.assertTrue(line)
        said, _ = client.communicate(b"R\n", timeout=120)
        self.assertIn(b"RENEGOTIATING", said)
        self.assertIn(b"no renegotiation", said)
        self.assertEqual(client.returncode, 1)


class Restart(support.TestCase):
    def test_from_its_first_handshake_on_a_server_shows_the_certificate_of_its_cache(self):
        pebble, port = self.pebble(), support.free_port()
        server = self.server(f"""
[server]
hostname = "{MAIL}"
tls.acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:{port}"
protocol = "imap"
tls.implicit = true
{acme_section(pebble, self.folder)}
""")
        server.await_certificate(MAIL)
        context = support.client_context(pebble.roots())
        stop, shown, unverified = threading.Event(), [], []

        def knock():
            while not stop.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw, \
                            context.wrap_socket(raw, server_hostname=MAIL) as client:
                        shown.append(client.getpeercert()["serialNumber"])
                except ssl.SSLCertVerificationError as error:
                    unverified.append(str(error))
                except OSError:
                    pass  # nobody is there at this moment
        threads = [threading.Thread(target=knock) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for kill in (False, True, False):
                server.kill() if kill else server.stop()
                before = len(shown)
                server.start()
                support.wait_until(lambda: len(shown) > before + 8, "clients are served again")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(unverified, [])
        self.assertEqual(len(set(shown)), 1)


if __name__ == "__main__":
    unittest.main()
