"""Two key types: two certificates of a real CA for the same names, served side by side by what each client can use."""

import subprocess
import unittest

import support
from support import acme_section, client_context, wait_until

RSA, ECDSA = "RSA-PSS+SHA256:RSA+SHA256", "ECDSA+SHA256:ECDSA+SHA384"


def config(pebble, folder, key_types):
    return f"""
[server]
hostname = "mail.example.test"
[server.tls]
acme = "pebble"
[server.listener."smtp"]
bind = "127.0.0.1:0"
protocol = "smtp"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{acme_section(pebble, folder, extra=f'key-type = {key_types}' + chr(10) + 'domains = "www.example.test"')}
"""


class TwoKeyTypes(support.TestCase):
    def by_type(self, server, name):
        """key type → serial of the valid certificates for `name`."""
        return {one["key_type"]: one["serial"] for one in server.status()["certificates"]
                if one["names"] == [name] and one["state"] == "valid"}

    def await_both(self, server, name="mail.example.test"):
        def there():
            found = self.by_type(server, name)
            return found if len(found) == 2 else None
        try:
            return wait_until(there, f"two certificates for {name}")
        except TimeoutError:
            raise AssertionError(f"{server.status()['certificates']}\n{server.log()}")

    def served(self, server, listener, algorithms, version, name="mail.example.test"):
        """The serial that openssl's client gets when it takes these signature algorithms."""
        bound = server.listener(listener)
        args = ["openssl", "s_client", "-connect", bound["bind"][0], "-servername", name, f"-{version}", "-sigalgs",
                algorithms]
        if bound["tls"]["mode"] == "starttls":
            args += ["-starttls", bound["protocol"]]
        done = subprocess.run(args, input="", capture_output=True, text=True, timeout=120)
        shown = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=done.stdout, capture_output=True,
                               text=True)
        self.assertEqual(shown.returncode, 0, done.stdout + done.stderr)
        return shown.stdout.strip().split("=", 1)[1].lower().lstrip("0")

    def expect_each(self, server, serials, preferred, listener="imaps", name="mail.example.test"):
        serial = {kind: value.lstrip("0") for kind, value in serials.items()}
        for version in ("tls1_2", "tls1_3"):
            self.assertEqual(self.served(server, listener, RSA, version, name), serial["rsa-2048"])
            self.assertEqual(self.served(server, listener, ECDSA, version, name), serial["ecdsa-p256"])
            for both in (f"{RSA}:{ECDSA}", f"{ECDSA}:{RSA}"):
                self.assertEqual(self.served(server, listener, both, version, name), serial[preferred])

    def test_each_client_gets_the_type_it_can_use_and_others_the_one_named_first(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder, '["ecdsa-p256", "rsa-2048"]'))
        serials = self.await_both(server)
        self.await_both(server, "www.example.test")
        for listener in ("imaps", "smtp"):
            self.expect_each(server, serials, "ecdsa-p256", listener)
        self.expect_each(server, self.by_type(server, "www.example.test"), "ecdsa-p256", name="www.example.test")
        with server.tls("imaps", "mail.example.test", ca=pebble.roots()) as connection:
            self.assertTrue(connection.getpeercert())  # verified with its own chain
        served = server.listener("imaps")["tls"]["served"]
        self.assertEqual([(one["key_type"], one["serial"], one["source"]) for one in served],
                         [(kind, serials[kind], "acme:pebble") for kind in ("ecdsa-p256", "rsa-2048")])
        self.assertEqual(server.listener("imaps")["tls"]["serial"], serials["ecdsa-p256"])

        # A reload that names RSA first changes whom the choice falls on, and orders nothing.
        server.write(config(pebble, self.folder, '["rsa-2048", "ecdsa-p256"]'))
        server.command("reload")
        self.expect_each(server, serials, "rsa-2048")
        self.assertEqual(server.listener("imaps")["tls"]["serial"], serials["rsa-2048"])

    def test_a_second_type_is_added_and_taken_away_by_a_reload_while_sessions_go_on(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder, '"ecdsa-p256"'))
        first = server.await_certificate("mail.example.test")["serial"]
        with server.tls("imaps", "mail.example.test", context=client_context()) as session:
            self.assertTrue(session.recv(4096).startswith(b"* OK"))
            server.write(config(pebble, self.folder, '["ecdsa-p256", "rsa-2048"]'))
            server.command("reload")
            serials = self.await_both(server)
            self.assertEqual(serials["ecdsa-p256"], first)
            wait_until(lambda: len(server.listener("imaps")["tls"]["served"]) == 2, "both are served")
            self.expect_each(server, serials, "ecdsa-p256")
            server.write(config(pebble, self.folder, '"ecdsa-p256"'))
            server.command("reload")
            self.assertEqual([one["serial"] for one in server.listener("imaps")["tls"]["served"]], [first])
            session.sendall(b"a NOOP\r\n")
            self.assertTrue(session.recv(4096).startswith(b"a OK"))
        self.assertNotIn("tls.probe.failed", server.log())


if __name__ == "__main__":
    unittest.main()
