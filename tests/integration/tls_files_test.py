"""Static certificates whose files are replaced while the server runs: served without a reload, as one verified pair."""

import os
import re
import shutil
import unittest

import support
from support import wait_until


class Files(support.TestCase):
    def setUp(self):
        super().setUp()
        self.pairs = [support.make_certificate(self.folder, f"pair{number}")[:2] for number in range(3)]
        self.certificate = os.path.join(self.folder, "tls", "cert.pem")
        self.key = os.path.join(self.folder, "tls", "key.pem")
        os.mkdir(os.path.dirname(self.certificate))

    def start(self, extra=""):
        server = self.server(f"""
[server]
hostname = "localhost"
[server.tls]
certificate = "pair"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
[server.listener."smtp"]
bind = "127.0.0.1:0"
protocol = "smtp"
[certificate."pair"]
cert = "file://{self.certificate}"
private-key = "file://{self.key}"
{extra}
""")
        self.serials = [self.serial(certificate) for certificate, _ in self.pairs]
        self.assertEqual(server.served("imaps", "localhost"), self.serials[0])
        return server

    def serial(self, certificate):
        done = support.subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", certificate], check=True,
                                      capture_output=True, text=True)
        return done.stdout.strip().split("=", 1)[1].lower().lstrip("0")

    def copy(self, number):
        shutil.copyfile(self.pairs[number][0], self.certificate)
        shutil.copyfile(self.pairs[number][1], self.key)

    def await_served(self, server, number):
        wait_until(lambda: server.served("imaps", "localhost") == self.serials[number], f"pair {number} is served")
        self.assertEqual(server.served("smtp", "localhost"), self.serials[number])
        self.assertEqual(server.listener("imaps")["tls"]["serial"].lstrip("0"), self.serials[number])
        self.assertEqual(server.status()["config"]["last_reload"], None)

    def test_files_written_in_place_are_served_and_sessions_stay(self):
        self.copy(0)
        server = self.start()
        with server.tls("imaps", "localhost") as session:
            self.assertTrue(session.recv(1000).startswith(b"* OK"))
            for number in (1, 2):
                self.copy(number)
                self.await_served(server, number)
            session.sendall(b"a NOOP\r\n")
            self.assertTrue(session.recv(1000).startswith(b"a OK"))
        self.assertIn("tls.certificate.loaded certificate=pair", server.log())
        self.assertIn("tls.certificate.swapped listener=imaps", server.log())

    def test_files_moved_over_the_old_ones_are_served(self):
        self.copy(0)
        server = self.start()
        for source, target in zip(self.pairs[1], (self.certificate, self.key)):
            os.rename(source, target)
        self.await_served(server, 1)

    def test_links_that_flip_as_those_of_certbot_are_followed(self):
        archive = os.path.join(self.folder, "archive")
        os.mkdir(archive)
        for number, pair in enumerate(self.pairs):
            for kind, source in zip(("cert", "key"), pair):
                shutil.copyfile(source, os.path.join(archive, f"{kind}{number}.pem"))

        def flip(number):
            for kind, link in (("key", self.key), ("cert", self.certificate)):
                if os.path.lexists(link):
                    os.unlink(link)
                os.symlink(f"../archive/{kind}{number}.pem", link)
        flip(0)
        server = self.start()
        for number in (1, 2):
            flip(number)
            self.await_served(server, number)

    def test_a_folder_that_flips_as_that_of_a_kubernetes_secret_is_followed(self):
        folder = os.path.dirname(self.certificate)
        for number, pair in enumerate(self.pairs):
            version = os.path.join(folder, f"..{number}")
            os.mkdir(version)
            for source, target in zip(pair, (self.certificate, self.key)):
                shutil.copyfile(source, os.path.join(version, os.path.basename(target)))
        for target in (self.certificate, self.key):
            os.symlink(os.path.join("..data", os.path.basename(target)), target)

        def flip(number):
            os.symlink(f"..{number}", os.path.join(folder, "..tmp"))
            os.rename(os.path.join(folder, "..tmp"), os.path.join(folder, "..data"))
        flip(0)
        server = self.start()
        for number in (1, 2):
            flip(number)
            self.await_served(server, number)

    def test_a_pair_of_a_further_name_is_swapped_and_looked_at_as_well(self):
        further = [os.path.join(self.folder, f"further.{part}") for part in ("pem", "key")]

        def put(number):
            for source, target in zip(self.pairs[number], further):
                shutil.copyfile(source, target)
        self.copy(0)
        put(1)
        server = self.start(f"""
[certificate."further"]
cert = "file://{further[0]}"
private-key = "file://{further[1]}"
[[server.tls.sni]]
subject = "further.example.test"
certificate = "further"
[global.tracing]
level = "debug"
""")
        for number in (1, 2):
            put(number)
            wait_until(lambda: server.served("imaps", "further.example.test") == self.serials[number], "it is served")
            looked = rf"tls\.probe\.ok listener=imaps serial=\S*{self.serials[number]} handshakes=2"
            wait_until(lambda: re.search(looked, server.log()), "both names are looked at")
        self.assertEqual(server.served("imaps", "localhost"), self.serials[0])
        self.assertNotIn("tls.probe.failed", server.log())

    def test_a_key_before_its_chain_keeps_the_last_good_pair_and_says_why_once(self):
        self.copy(0)
        server = self.start()
        # Moved there, for a file that is being written is one more pair that does not belong together.
        os.rename(self.pairs[1][1], self.key)
        wait_until(lambda: "tls.certificate.kept" in server.log(), "the log says so")
        self.assertIn("the private key does not belong to the certificate", server.log())
        self.assertEqual(server.served("imaps", "localhost"), self.serials[0])
        os.rename(self.pairs[1][0], self.certificate)
        self.await_served(server, 1)
        self.assertEqual(server.log().count("tls.certificate.kept"), 1)


if __name__ == "__main__":
    unittest.main()
