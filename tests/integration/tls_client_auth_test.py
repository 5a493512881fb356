"""Client certificates with openssl s_client and the log: asked for, verified, required."""

import os
import shutil
import ssl
import subprocess
import unittest

import support


class ClientAuth(support.TestCase):
    def setUp(self):
        super().setUp()
        self.known = self.client("known")
        self.stranger = self.client("stranger")

    def client(self, name):
        """A CA and a certificate for a client, signed by it: (certificate, key, CA)."""
        path = lambda suffix: os.path.join(self.folder, name + suffix)
        run = lambda *args: subprocess.run(["openssl", *args], check=True, capture_output=True)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run("req", "-x509", *key, "-keyout", path("-ca.key"), "-out", path("-ca.pem"), "-days", "30", "-subj",
            f"/CN={name} CA")
        run("req", "-new", *key, "-keyout", path(".key"), "-out", path(".csr"), "-subj", f"/CN={name}")
        run("x509", "-req", "-in", path(".csr"), "-CA", path("-ca.pem"), "-CAkey", path("-ca.key"), "-CAcreateserial",
            "-days", "30", "-out", path(".pem"))
        return path(".pem"), path(".key"), path("-ca.pem")

    def start(self, how):
        certificate, key, _ = support.make_certificate(self.folder, "pair")
        return self.server(f"""
[server]
hostname = "localhost"
[server.tls]
certificate = "pair"
client-auth = "{how}"
client-ca = "{self.known[2]}"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
[server.listener."submission"]
bind = "127.0.0.1:0"
protocol = "smtp"
role = "submission"
[certificate."pair"]
cert = "file://{certificate}"
private-key = "file://{key}"
[storage]
maildir = "{os.path.join(self.folder, 'mail')}"
[global.tracing]
level = "debug"
{support.ACCOUNTS}
""")

    def s_client(self, server, listener="imaps", client=None, version="-tls1_3", say="a LOGOUT\r\n"):
        args = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port(listener)}", version, "-quiet"]
        if listener == "submission":
            args += ["-starttls", "smtp"]
        if client:
            args += ["-cert", client[0], "-key", client[1]]
        done = subprocess.run(args, input=say, capture_output=True, text=True, timeout=120)
        return done.stdout, done.stderr

    def test_require_lets_in_only_whom_the_ca_vouches_for(self):
        server = self.start("require")
        for version, missing in (("-tls1_3", 116), ("-tls1_2", 40)):
            said, _ = self.s_client(server, client=self.known, version=version)
            self.assertIn("a OK", said)
            self.assertIn(f"alert number {missing}", self.s_client(server, version=version)[1])
            self.assertIn("alert number 48", self.s_client(server, client=self.stranger, version=version)[1])
        self.assertIn("tls.client_certificate listener=imaps", server.log())
        self.assertRegex(server.log(), r"subject=\"?CN=known\"? issuer=\"?CN=known CA\"? fingerprint=[0-9a-f]{64} "
                                       r"verified=true")

    def test_request_lets_everybody_in_and_sessions_know_who_is_verified(self):
        server = self.start("request")
        login = f'a LOGIN {support.ACCOUNT} "{support.PASSWORD}"\r\nb LOGOUT\r\n'
        for client in (None, self.stranger, self.known):
            self.assertIn("a OK", self.s_client(server, client=client, say=login)[0])
        logins = [line for line in server.log().splitlines() if "imap.login.ok" in line]
        self.assertEqual(len(logins), 3)
        self.assertNotIn("client=", logins[0])
        self.assertNotIn("client=", logins[1])
        self.assertIn("client=CN=known", logins[2].replace('"', ""))
        self.assertRegex(server.log(), r"tls\.client_certificate .*CN=stranger.* verified=false reason=")

    def test_a_changed_client_ca_counts_from_the_reload_on_and_no_ticket_gets_around_it(self):
        server = self.start("require")
        context = support.client_context()
        context.load_cert_chain(self.known[0], self.known[1])
        tickets = []
        for _ in range(2):
            with server.tls("imaps", "localhost", context=context) as client:
                client.recv(1000)
                tickets.append(client.session)
                client.unwrap()
        shutil.copyfile(self.stranger[2], self.known[2])
        with server.tls("imaps", "localhost", context=context, session=tickets[0]) as client:
            self.assertTrue(client.recv(1000).startswith(b"* OK"))
            self.assertTrue(client.session_reused)
        server.command("reload")
        with self.assertRaises(ssl.SSLError) as refused:
            with server.tls("imaps", "localhost", context=context, session=tickets[1]) as client:
                client.recv(1000)
        self.assertIn("UNKNOWN_CA", str(refused.exception))
        self.assertIn("a OK", self.s_client(server, client=self.stranger)[0])
        # A file that is no authority refuses the reload, and the one of before stays.
        with open(self.known[2], "w") as file:
            file.write("-----BEGIN CERTIFICATE-----\nhalf\n")
        self.assertNotEqual(server.command("reload", check=False).returncode, 0)
        self.assertIn("a OK", self.s_client(server, client=self.stranger)[0])

    def test_starttls_asks_as_well(self):
        server = self.start("require")
        said, error = self.s_client(server, "submission", self.known, say="EHLO me\r\nQUIT\r\n")
        self.assertIn("221 ", said + error)
        self.assertIn("alert number 116", self.s_client(server, "submission", say="EHLO me\r\nQUIT\r\n")[1])


if __name__ == "__main__":
    unittest.main()
