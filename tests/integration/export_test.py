"""`export`: copies of certificates for other programs, with a real CA."""

import grp
import os
import stat
import subprocess
import unittest

import support
from support import acme_section, wait_until

NAME = "imap.example.test"


class Export(support.TestCase):
    def config(self, pebble, extra):
        return f"""
[server]
hostname = "{NAME}"
[server.tls]
acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{acme_section(pebble, self.folder, extra=extra)}
"""

    def path(self, *parts):
        return os.path.join(self.folder, "export", *parts)

    def serial(self, path):
        shown = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", path], capture_output=True, text=True)
        return shown.stdout.strip().split("=", 1)[-1].lower().lstrip("0")

    def await_serial(self, serial, *parts):
        wait_until(lambda: self.serial(self.path(*parts)) == serial.lstrip("0"), f"{parts} is the new certificate")

    def read(self, *parts):
        with open(self.path(*parts)) as file:
            return file.read()

    def test_copies_have_their_group_and_mode_and_follow_each_renewal(self):
        group = grp.getgrgid(os.getgroups()[0] if os.getuid() else grp.getgrnam("daemon").gr_gid)
        pebble = self.pebble()
        server = self.server(self.config(
            pebble, f'export = "{self.path()}"\nexport-group = "{group.gr_name}"'))
        first = server.await_certificate(NAME)["serial"]
        self.await_serial(first, NAME, "tls.pem")
        for folder in (self.path(), self.path(NAME)):
            found = os.stat(folder)
            self.assertEqual((stat.S_IMODE(found.st_mode), found.st_gid), (0o750, group.gr_gid), folder)
        self.assertEqual(sorted(os.listdir(self.path(NAME))),
                         ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem", "tls.pem"])
        for file in os.listdir(self.path(NAME)):
            found = os.stat(self.path(NAME, file))
            self.assertEqual((stat.S_IMODE(found.st_mode), found.st_gid), (0o640, group.gr_gid), file)

        server.command("renew", NAME, "--force", "--wait")
        second = server.certificate(NAME)["serial"]
        self.assertNotEqual(second, first)
        for file in ("tls.pem", "fullchain.pem", "cert.pem"):
            self.await_serial(second, NAME, file)
        self.assertEqual(self.read(NAME, "tls.pem"), self.read(NAME, "privkey.pem") + self.read(NAME, "fullchain.pem"))
        # openssl finds key and certificate in the one file, and that they belong together.
        key, certificate = (subprocess.run(["openssl", *what, "-in", self.path(NAME, "tls.pem")], capture_output=True,
                                           check=True).stdout for what in (["pkey", "-pubout"], ["x509", "-noout", "-pubkey"]))
        self.assertEqual(key, certificate)

    def test_what_is_missing_is_written_at_the_start_and_after_a_reload(self):
        pebble = self.pebble()
        server = self.server(self.config(pebble, ""))
        serial = server.await_certificate(NAME)["serial"]
        server.write(self.config(pebble, f'export = "{self.path()}"'))
        server.command("reload")
        self.await_serial(serial, NAME, "tls.pem")
        server.stop()
        os.remove(self.path(NAME, "tls.pem"))
        server.start()
        self.await_serial(serial, NAME, "tls.pem")

    def test_a_folder_that_cannot_be_written_stops_nobody(self):
        pebble = self.pebble()
        with open(self.path(), "w") as file:
            file.write("not a folder")
        server = self.server(self.config(pebble, f'export = "{self.path()}"'))
        certificate = server.await_certificate(NAME)
        wait_until(lambda: "acme.export.failed" in server.log(), "it is in the log")
        wait_until(lambda: server.served("imaps", NAME) == certificate["serial"].lstrip("0"), "it is served")


if __name__ == "__main__":
    unittest.main()
