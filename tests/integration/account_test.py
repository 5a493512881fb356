"""The rest of the ACME life cycle with a real CA: accounts shown, given a new key, deactivated; certificates revoked."""

import glob
import json
import os
import pty
import select
import shutil
import socket
import subprocess
import threading
import unittest

import support
from support import acme_section, wait_until

NAME = "imap.example.test"


def config(pebble, folder, extra=""):
    return f"""
[server]
hostname = "{NAME}"
[server.tls]
acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{acme_section(pebble, folder, extra=extra)}
"""


class Life(support.TestCase):
    def begin(self, extra=""):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder, extra))
        server.await_certificate(NAME)
        return pebble, server

    def account(self, server):
        return json.loads(server.command("account", "show", "pebble", "--json").stdout)

    def accounts_on_disk(self):
        return glob.glob(os.path.join(self.folder, "acme", "*", "accounts", "*"))

    def await_another(self, server, serial):
        def another():
            certificate = server.certificate(NAME)
            return certificate if certificate["serial"] not in (None, serial) else None
        return wait_until(another, "there is another certificate")


class Accounts(Life):
    def test_an_account_is_shown_as_the_ca_knows_it(self):
        pebble, server = self.begin()
        account = self.account(server)
        self.assertEqual(account["status"], "valid")
        self.assertEqual(account["contact"], ["mailto:postmaster@example.test"])
        self.assertEqual(account["directory"], pebble.directory)
        self.assertEqual(account["url"], server.status()["providers"][0]["account"])
        self.assertEqual([os.path.basename(path) for path in self.accounts_on_disk()], [account["thumbprint"]])
        self.assertIn(account["url"], server.command("account", "show", "pebble").stdout)

    def test_an_account_gets_a_new_key_and_goes_on_ordering_also_after_a_restart(self):
        pebble, server = self.begin()
        before = self.account(server)
        server.command("account", "rollover", "pebble")
        after = self.account(server)
        self.assertEqual(after["url"], before["url"])
        self.assertNotEqual(after["thumbprint"], before["thumbprint"])
        self.assertEqual([os.path.basename(path) for path in self.accounts_on_disk()], [after["thumbprint"]])
        server.command("renew", NAME, "--force", "--wait")
        server.stop()
        server.start()
        server.command("renew", NAME, "--force", "--wait")
        self.assertEqual(pebble.log().count("POST /sign-me-up"), 1)

    def test_a_server_killed_in_the_middle_of_a_rollover_finds_the_key_that_the_ca_knows(self):
        pebble = self.pebble()
        proxy = support.HoldingProxy(self.folder, pebble)
        self.addCleanup(proxy.stop)
        server = self.server(config(proxy, self.folder))
        server.await_certificate(NAME)
        before = self.account(server)
        proxy.hold = "/rollover-account-key"
        asking = threading.Thread(target=server.command, args=("account", "rollover", "pebble"),
                                  kwargs={"check": False})
        asking.start()
        self.assertTrue(proxy.held.wait(120))
        self.assertEqual(len(self.accounts_on_disk()), 2)
        server.kill()
        asking.join()
        proxy.hold = None
        server.start()
        server.command("renew", NAME, "--force", "--wait")
        self.assertEqual(self.account(server), before)  # the same key, and the same account
        server.command("account", "rollover", "pebble")
        after = self.account(server)
        self.assertEqual(after["url"], before["url"])
        self.assertNotEqual(after["thumbprint"], before["thumbprint"])
        self.assertEqual(len(self.accounts_on_disk()), 1)

    def test_a_deactivated_account_orders_nothing_more_until_its_folder_is_removed(self):
        pebble, server = self.begin()
        done = server.command("account", "deactivate", "pebble")  # as a script does it: nobody is asked
        self.assertIn("take it out of the configuration", done.stdout)
        self.assertEqual(self.account(server)["status"], "deactivated")
        for _ in range(2):
            failed = server.command("renew", NAME, "--force", "--wait", check=False)
            self.assertEqual(failed.returncode, 1)
            self.assertIn("remove the folder", failed.stderr)
            server.stop()
            server.start()
        self.assertEqual(pebble.log().count("POST /sign-me-up"), 1)
        self.assertEqual(server.certificate(NAME)["state"], "valid")  # it is served on

        for path in self.accounts_on_disk():
            shutil.rmtree(path)
        server.command("renew", NAME, "--force", "--wait")
        self.assertEqual(self.account(server)["status"], "valid")

    def deactivate_at_a_terminal(self, server, answer, *options):
        """Runs the command on a terminal where `answer` (None: nothing) is typed; returns (exit status, what it wrote)."""
        master, slave = pty.openpty()
        shown = bytearray()
        child = subprocess.Popen([support.POSTERN, "account", "deactivate", "pebble", *options, "--socket", server.socket],
                                 stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        try:
            while select.select([master], [], [], 120)[0] and (piece := os.read(master, 65536)):
                shown.extend(piece)
                if answer is not None and b"[y/N] " in shown:
                    os.write(master, answer)
                    answer = None
        except OSError:
            pass  # the other end is closed
        finally:
            os.close(master)  # what still waits there ends of it
        return child.wait(120), shown.decode()

    def test_at_a_terminal_a_deactivation_is_asked_for_once_more_and_only_yes_does_it(self):
        _, server = self.begin()
        url = self.account(server)["url"]
        for no in (b"\n", b"n\n", b"yesterday\n", b"\x04"):
            status, shown = self.deactivate_at_a_terminal(server, no)
            self.assertEqual(status, 1, no)
            self.assertIn(f"for good, the account {url} of provider pebble", shown)
            self.assertIn("nothing was done", shown)
        self.assertEqual(self.account(server)["status"], "valid")
        status, shown = self.deactivate_at_a_terminal(server, b"y\n")
        self.assertEqual(status, 0, shown)
        self.assertIn("take it out of the configuration", shown)
        self.assertEqual(self.account(server)["status"], "deactivated")

    def test_at_a_terminal_nobody_is_asked_who_said_yes_beforehand(self):
        _, server = self.begin()
        status, shown = self.deactivate_at_a_terminal(server, None, "--yes")
        self.assertEqual(status, 0, shown)
        self.assertNotIn("[y/N]", shown)
        self.assertEqual(self.account(server)["status"], "deactivated")

    def test_what_cannot_be_is_refused_with_the_reason(self):
        _, server = self.begin()
        unknown = server.command("account", "show", "nobody", check=False)
        self.assertEqual((unknown.returncode, unknown.stdout), (1, ""))
        self.assertIn("no provider nobody; there are pebble", unknown.stderr)
        self.assertEqual(support.postern("account", check=False).returncode, 2)
        self.assertEqual(support.postern("account", "show", check=False).returncode, 2)
        self.assertEqual(support.postern("revoke", "--yes", check=False).returncode, 2)
        self.assertEqual(support.postern("revoke", NAME, "--reason", "boredom", check=False).returncode, 2)


class Revocation(Life):
    def status_at(self, pebble, serial):
        return pebble.certificate_status(serial)["Status"]

    def test_without_yes_it_says_what_it_would_do_and_does_nothing(self):
        pebble, server = self.begin()
        serial = server.certificate(NAME)["serial"]
        refused = server.command("revoke", NAME, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(serial, refused.stderr)
        self.assertIn("add --yes", refused.stderr)
        self.assertEqual(self.status_at(pebble, serial), "Valid")
        self.assertEqual(server.certificate(NAME)["serial"], serial)

    def test_a_certificate_is_revoked_by_the_account_and_a_new_one_has_a_new_key(self):
        pebble, server = self.begin("reuse-key = true")
        serial, key = server.certificate(NAME)["serial"], server.public_key("imaps", NAME)
        server.command("renew", NAME, "--force", "--wait")
        self.assertEqual(server.public_key("imaps", NAME), key)
        serial = self.await_another(server, serial)["serial"]
        done = server.command("revoke", NAME, "--reason", "keyCompromise", "--yes")
        self.assertIn(f"revoked {serial}", done.stdout)
        self.assertEqual(self.status_at(pebble, serial), "Revoked")
        new = self.await_another(server, serial)
        wait_until(lambda: server.served("imaps", NAME) == new["serial"].lstrip("0"), "the new one is served")
        self.assertNotEqual(server.public_key("imaps", NAME), key)

    def test_a_certificate_is_revoked_by_its_own_key_where_the_account_is_gone(self):
        pebble, server = self.begin()
        serial = server.certificate(NAME)["serial"]
        server.command("account", "deactivate", "pebble")
        server.command("revoke", NAME, "--reason", "cessationOfOperation", "--yes")
        self.assertEqual(self.status_at(pebble, serial), "Revoked")

    def test_a_reason_that_the_ca_refuses_comes_back_with_its_words(self):
        pebble, server = self.begin()
        serial = server.certificate(NAME)["serial"]
        with socket.socket(socket.AF_UNIX) as client:  # the command line knows that there is no reason 7
            client.connect(server.socket)
            client.sendall(b'{"command":"revoke","name":"%s","reason":7,"yes":true}\n' % NAME.encode())
            answer = json.loads(client.makefile().readline())
        self.assertFalse(answer["ok"])
        self.assertIn("badRevocationReason", answer["error"])
        self.assertEqual(self.status_at(pebble, serial), "Valid")
        self.assertEqual(server.certificate(NAME)["serial"], serial)

    def test_a_name_without_a_certificate_is_refused(self):
        _, server = self.begin()
        refused = server.command("revoke", "elsewhere.example.test", "--yes", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("no certificate in service has the name", refused.stderr)


# The same with a Pebble of at least 2.10.

class AccountsAtTheNewer(Accounts):
    binaries = property(lambda self: support.pebble_new.binaries())


class RevocationAtTheNewer(Revocation):
    binaries = property(lambda self: support.pebble_new.binaries())


if __name__ == "__main__":
    unittest.main()
