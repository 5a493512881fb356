"""`postern doctor` with a real CA and its DNS: each finding with its remedy, and none where nothing is wrong."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
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

    def look(self, server, status, within=(), seconds=60):
        """`within`: a command that runs the one behind it."""
        began = time.monotonic()
        done = subprocess.run([*within, support.POSTERN, "doctor", "--config", server.config, "--json", "--resolver",
                               f"127.0.0.1:{self.ca.dns_port}"], capture_output=True, text=True, check=False,
                              timeout=130)
        self.assertLess(time.monotonic() - began, seconds)
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
        self.assertNotRegex(text.stdout, r"\berror\b")

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

    def hung(self, folder):
        """The command that hangs a file system there for the one behind it; only root may."""
        os.makedirs(folder)
        within = ["unshare", "--mount", sys.executable,
                  os.path.join(os.path.dirname(os.path.abspath(__file__)), "hung_filesystem.py"), folder]
        done = subprocess.run([*within, "true"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest("mounting a file system needs root and FUSE: " + done.stderr)
        return within

    def test_ends_and_tells_everything_else_where_the_caches_file_system_hangs(self):
        cache = os.path.join(self.folder, "acme")
        within = self.hung(cache)
        self.ca.break_name(NAME)
        findings = self.look(self.server(self.config(), start=False), 1, within, seconds=90)
        self.assertEqual(self.errors(findings), [("disk", cache), ("caa", NAME), ("address", NAME)])
        self.assertIn(f"{cache} is mounted from hung, fuse", findings[0]["problem"])
        self.assertIn(f"umount -l {cache}", findings[0]["remedy"])

    def test_ends_where_the_file_system_of_what_the_configuration_names_hangs(self):
        keys = os.path.join(self.folder, "keys")
        within = self.hung(keys)
        pair = f'[certificate."own"]\ncert = "file://{keys}/own.pem"\nprivate-key = "file://{keys}/own.key"'
        findings = self.look(self.server(self.config(extra=pair), start=False), 1, within, seconds=90)
        self.assertEqual([(one["check"], one["subject"]) for one in findings], [("disk", os.path.join(keys, "own.pem"))])

    def test_does_not_wait_for_the_writer_of_a_fifo(self):
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        pair = f'[certificate."own"]\ncert = "file://{fifo}"\nprivate-key = "file://{fifo}"'
        problems = [one["problem"] for one in self.examine(self.config(extra=pair), 1)]
        self.assertEqual(len([one for one in problems if one.endswith("it is a FIFO, and no file")]), 2, problems)

    def test_finds_a_cache_that_is_mounted_read_only(self):
        cache = os.path.join(self.folder, "acme")
        os.mkdir(cache, 0o700)
        within = ["unshare", "--mount", "sh", "-c",
                  'mount -t tmpfs -o mode=700,size=200m tmpfs "$1" && mount -o remount,ro "$1" || exit 77; shift; '
                  'exec "$@"', "sh"]
        if subprocess.run([*within, cache, "true"], capture_output=True).returncode != 0:
            self.skipTest("mounting a file system needs root")
        server = self.server(self.config(), start=False)
        finding = self.the(self.look(server, 1, [*within, cache]), "cache")
        self.assertIn("mounted read-only", finding["problem"])
        # Followed to the letter, its remedy mends it.
        remedy = re.search("`(mount [^`]*)`", finding["remedy"]).group(1)
        mended = self.look(server, 0, [*within, cache, "sh", "-c", remedy + ' && exec "$@"', "sh"])
        self.assertNotIn("cache", [one["check"] for one in mended])

    @unittest.skipUnless(os.geteuid() == 0, "becoming another user needs root")
    def test_finds_a_cache_that_the_servers_user_cannot_use_and_its_remedy_mends_it(self):
        os.chmod(self.folder, 0o755)
        cache = os.path.join(self.folder, "acme")
        os.mkdir(cache, 0o700)
        run_as = '[server.run-as]\nuser = "nobody"'
        config = self.config(extra=run_as)
        finding = self.the(self.examine(config, 1), "cache")
        self.assertIn("nobody cannot write there", finding["problem"])
        shutil.chown(cache, "nobody")
        self.assertEqual(self.errors(self.examine(config, 0, "mended")), [])
        # A file that root left behind keeps the server's user from replacing it.
        os.makedirs(os.path.join(cache, "left", "behind"))
        finding = self.the(self.examine(config, 1, "left"), "cache")
        self.assertRegex(finding["remedy"], "^chown -R nobody ")
        subprocess.run(finding["remedy"], shell=True, check=True)
        self.assertEqual(self.errors(self.examine(config, 0, "given")), [])

    @unittest.skipUnless(os.geteuid() == 0, "becoming another user needs root")
    def test_is_no_judge_of_rights_for_somebody_who_may_not_look(self):
        os.chmod(self.folder, 0o755)
        hidden = os.path.join(self.folder, "hidden")
        os.makedirs(hidden, 0o700)
        section = acme_section(self.ca, self.folder, cache="hidden/acme")
        within = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        if subprocess.run([*within, support.POSTERN, "version"], capture_output=True).returncode != 0:
            self.skipTest("nobody may not run " + support.POSTERN)
        for name, extra in (("plain", ""), ("run-as", '[server.run-as]\nuser = "daemon"')):
            server = self.server(self.config(section, extra=extra), name=name, start=False)
            finding = self.the(self.look(server, 0, within), "cache")
            self.assertEqual(finding["severity"], "warning", finding)
            self.assertIn("nobody, who looks, may not go there", finding["problem"])

    def test_finds_a_server_that_does_not_answer(self):
        server = self.server(self.config())
        server.await_certificate(NAME)
        os.kill(server.process.popen.pid, signal.SIGSTOP)
        try:
            findings = self.look(server, 1, seconds=90)
        finally:
            os.kill(server.process.popen.pid, signal.SIGCONT)
        self.assertIn("does not answer", self.the(findings, "server")["problem"])
        self.assertIn(f"pid {server.process.popen.pid}", self.the(findings, "cache")["problem"])

    def test_asks_nothing_of_the_ca_but_its_directory_and_changes_nothing(self):
        server = self.server(self.config())
        server.await_certificate(NAME)
        server.stop()
        cache = os.path.join(self.folder, "acme")

        def everything():
            about = {}
            for folder, _, files in os.walk(cache):
                for path in (folder, *(os.path.join(folder, file) for file in files)):
                    facts = os.lstat(path)
                    about[path] = (facts.st_mode, facts.st_uid, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            return about

        def asked():
            return re.findall(r"(?:GET|HEAD|POST) /[^ ]+ -> calling handler", self.ca.process.text())

        before, said = everything(), len(asked())
        self.assertEqual(self.errors(self.look(server, 0)), [])
        self.assertEqual(everything(), before)
        self.assertEqual([one.split()[1] for one in asked()[said:]], ["/dir"])
        self.assertGreater(said, 0)

    def test_takes_no_resolver_that_is_none(self):
        server = self.server(self.config(), start=False)
        done = support.postern("doctor", "--config", server.config, "--resolver", "nobody", check=False)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("expected an IP address", done.stderr)

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
        findings = self.look(server, 1)
        self.assertEqual(self.errors(findings), [("account", "pebble")])
        # Followed to the letter, its remedy mends it.
        shutil.rmtree(re.match("remove (.*) to have", self.the(findings, "account")["remedy"]).group(1))
        server.command("renew", NAME, "--force", "--wait")
        self.assertEqual(self.errors(self.look(server, 0)), [])


if __name__ == "__main__":
    unittest.main()
