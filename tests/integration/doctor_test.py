"""`postern doctor` with a real CA and its DNS: each finding with its remedy, and none where nothing is wrong."""

import json
import os
import socket
import subprocess
import time
import unittest

import support
from support import acme_section

NAME = "imap.example.test"


class Doctor(support.TestCase):
    def setUp(self):
        super().setUp()
        self.ca = self.pebble()

    def config(self, section=None, name=NAME, extra=""):
        return f"""
[server]
hostname = "{name}"
[server.tls]
acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{section or acme_section(self.ca, self.folder)}
{extra}
"""

    def examine(self, config, status, name="idle"):
        """Writes the configuration, starts nothing, and returns the findings; `status` is the exit status to come."""
        server = self.server(config, name=name, start=False)
        return self.look(server, status)

    def look(self, server, status, within=()):
        """`within`: a command that runs the one behind it."""
        began = time.monotonic()
        done = subprocess.run([*within, support.POSTERN, "doctor", "--config", server.config, "--json", "--resolver",
                               f"127.0.0.1:{self.ca.dns_port}"], capture_output=True, text=True, check=False,
                              timeout=60)
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(report["ok"], status == 0)
        for one in report["findings"]:
            self.assertTrue(one["remedy"], one)
        return report["findings"]

    def errors(self, findings):
        return [(one["check"], one["subject"]) for one in findings if one["severity"] == "error"]

    def the(self, findings, check):
        found = [one for one in findings if one["check"] == check and one["severity"] != "note"]
        self.assertEqual(len(found), 1, findings)
        return found[0]

    def test_finds_nothing_wrong_before_the_first_start_nor_while_the_server_runs(self):
        server = self.server(self.config(), start=False)
        self.assertEqual([one for one in self.look(server, 0) if one["severity"] != "note"], [])
        server.start()
        server.await_certificate(NAME)
        self.assertEqual([one for one in self.look(server, 0) if one["severity"] != "note"], [])
        text = support.postern("doctor", "--config", server.config, "--resolver", f"127.0.0.1:{self.ca.dns_port}")
        self.assertNotIn("error", text.stdout)

    def test_finds_a_configuration_that_does_not_load(self):
        findings = self.examine(self.config(extra='[acme."broken"]\ndirectory = 7\n'), 1)
        self.assertTrue(all(one["check"] == "configuration" for one in findings), findings)
        self.assertTrue(any("postern.toml:" in one["subject"] for one in findings))

    def test_finds_a_directory_that_is_down_or_not_trusted_or_none(self):
        untrusted = acme_section(self.ca, self.folder).replace("ca-file", "# ca-file")
        finding = self.the(self.examine(self.config(untrusted), 1, "untrusted"), "directory")
        self.assertIn("ca-file", finding["remedy"])
        none = acme_section(self.ca, self.folder).replace("/dir\"", "/nowhere\"")
        self.assertIn("status 404", self.the(self.examine(self.config(none), 1, "none"), "directory")["problem"])
        self.ca.process.kill()
        self.assertEqual(self.errors(self.examine(self.config(), 1, "down")), [("directory", "pebble")])

    def test_finds_what_is_wrong_with_a_name(self):
        self.ca.break_name("lost.example.test")
        self.ca._dns("add-a", {"host": "elsewhere.example.test", "addresses": ["192.0.2.7"]})
        self.ca._dns("add-caa", {"host": "other.example.test", "policies": [{"tag": "issue", "value": ";"}]})
        findings = self.examine(self.config(acme_section(
            self.ca, self.folder, extra='domains = ["lost.example.test", "elsewhere.example.test", '
                                        '"www.other.example.test"]')), 1)
        self.assertIn(("address", "lost.example.test"), self.errors(findings))
        self.assertIn(("caa", "lost.example.test"), self.errors(findings))
        self.assertIn(("caa", "www.other.example.test"), self.errors(findings))
        self.assertNotIn(NAME, [one["subject"] for one in findings])
        elsewhere = [one for one in findings if one["subject"] == "elsewhere.example.test"]
        self.assertEqual([(one["check"], one["severity"]) for one in elsewhere], [("address", "warning")])

    def test_finds_who_holds_the_challenge_port(self):
        with socket.create_server(("127.0.0.1", self.ca.tls_port)):
            finding = self.the(self.examine(self.config(), 1), "port")
        self.assertIn(f"(pid {os.getpid()})", finding["problem"])

    def test_finds_a_cache_that_is_no_folder(self):
        with open(os.path.join(self.folder, "acme"), "w") as file:
            file.write("not a folder")
        findings = self.examine(self.config(), 1)
        self.assertEqual(self.errors(findings), [("cache", os.path.join(self.folder, "acme"))])

    def test_finds_that_the_caches_file_system_is_nearly_full(self):
        cache = os.path.join(self.folder, "acme")
        os.mkdir(cache, 0o700)
        within = ["unshare", "--mount", "sh", "-c",
                  'mount -t tmpfs -o mode=700,size="$1",nr_inodes="$2" tmpfs "$3" || exit 77; shift 3; exec "$@"', "sh"]
        if subprocess.run([*within, "4m", "50", cache, "true"], capture_output=True).returncode != 0:
            self.skipTest("mounting a file system needs root")
        server = self.server(self.config(), start=False)
        problems = [one["problem"] for one in self.look(server, 1, [*within, "4m", "50", cache])
                    if one["check"] == "cache" and one["severity"] == "error"]
        self.assertEqual(len(problems), 2, problems)
        self.assertRegex(problems[0], "^[34] MiB are left on its file system$")
        self.assertRegex(problems[1], "^4[0-9] inodes are left on its file system$")
        problems = [one["problem"] for one in self.look(server, 0, [*within, "60m", "0", cache])
                    if one["check"] == "cache" and one["severity"] == "warning"]
        self.assertEqual(len(problems), 1, problems)
        self.assertRegex(problems[0], "^(59|60) MiB are left")

    def test_finds_a_cache_that_another_server_uses(self):
        server = self.server(self.config())
        server.await_certificate(NAME)
        findings = self.examine(self.config(), 1, "second")
        self.assertIn(("cache", os.path.join(self.folder, "acme")), self.errors(findings))
        self.assertTrue(any(f"pid {server.process.pid}" in one["problem"] for one in findings
                            if one["check"] == "cache"))

    def test_repeats_what_the_running_server_could_not_do_and_that_its_account_was_deactivated(self):
        self.ca.break_name(NAME)
        server = self.server(self.config())
        support.wait_until(lambda: server.certificate(NAME)["attempts"] > 0, "it has failed")
        findings = self.look(server, 1)
        self.assertIn(("certificate", NAME), self.errors(findings))
        self.ca.mend_name(NAME)
        server.command("renew", NAME, "--wait")
        self.assertEqual(self.errors(self.look(server, 0)), [])
        server.command("account", "deactivate", "pebble", "--yes")
        self.assertEqual(self.errors(self.look(server, 1)), [("account", "pebble")])


if __name__ == "__main__":
    unittest.main()
