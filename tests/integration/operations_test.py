"""The command line, signals, rights, the control socket, logs and metrics, as an administrator meets them."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
import unittest
import urllib.error
import urllib.request

import support
from support import acme_section, postern, wait_until

PLAIN = """
[server]
hostname = "mail.example.test"
[server.listener."smtp"]
bind = "127.0.0.1:0"
protocol = "smtp"
[server.listener."imap"]
bind = "127.0.0.1:0"
protocol = "imap"
allow-plain-text = true
[server.listener."http"]
bind = "127.0.0.1:0"
protocol = "http"
"""


def read(path):
    """The text of a file; "" while it does not exist, or no longer: that of a thread that has ended."""
    try:
        with open(path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class CommandLine(support.TestCase):
    def test_wrong_usage_exits_2_and_help_exits_0(self):
        for arguments in ([], ["nonsense"], ["run"], ["renew", "--socket", "/nowhere"], ["check", "--nonsense"]):
            self.assertEqual(postern(*arguments, check=False).returncode, 2, arguments)
        for arguments in (["--help"], ["run", "--help"], ["check", "--help"], ["reload", "--help"], ["status", "--help"],
                          ["renew", "--help"], ["passwd", "--help"], ["version", "--help"]):
            done = postern(*arguments)
            self.assertIn("--help", done.stdout)

    def test_version_says_its_own_and_the_librarys(self):
        self.assertRegex(postern("version").stdout, r"^postern \d+\.\d+\.\d+ \(OpenSSL 3")

    def test_passwd_prints_a_hash_that_lets_the_account_in(self):
        done = subprocess.run([support.POSTERN, "passwd"], input="correct horse\n", capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith("$"), done.stdout)
        server = self.server(PLAIN + f'[storage]\nmaildir = "{self.folder}/mail"\n[[directory.memory.principals]]\n'
                             f'name = "jane"\nsecret = "{done.stdout.strip()}"\nemail = "jane@example.test"\n')
        with socket.create_connection(("127.0.0.1", server.port("imap")), timeout=20) as client:
            client.recv(1000)
            client.sendall(b'a LOGIN jane "wrong horse"\r\n')
            self.assertIn(b"a NO", client.recv(1000))
            client.sendall(b'b LOGIN jane "correct horse"\r\n')
            self.assertIn(b"b OK", client.recv(1000))
        for nothing in ("\n", ""):
            empty = subprocess.run([support.POSTERN, "passwd"], input=nothing, capture_output=True, text=True)
            self.assertEqual((empty.returncode, empty.stdout), (1, ""))
            self.assertIn("empty password", empty.stderr)

    def test_the_control_commands_say_when_nobody_answers(self):
        for command in (["status"], ["reload"], ["renew", "--all"]):
            done = postern(*command, "--socket", os.path.join(self.folder, "none"), check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("cannot reach the server", done.stderr)

    def test_a_command_finds_the_socket_through_the_configuration(self):
        server = self.server(PLAIN)
        self.assertIn("LISTENER", postern("status", "--config", server.config).stdout)


class Check(support.TestCase):
    def check(self, text, *options):
        path = os.path.join(self.folder, "checked.toml")
        with open(path, "w") as file:
            file.write(text)
        return postern("check", "--config", path, *options, check=False)

    ACME = """
[server]
hostname = "mail.example.org"
tls.acme = "letsencrypt"
[server.listener."smtp"]
bind = "[::]:25"
protocol = "smtp"
[server.listener."imaps"]
bind = "[::]:993"
protocol = "imap"
tls.implicit = true
hostname = "imap.example.org"
[acme."letsencrypt"]
cache = "/nonexistent/acme"
"""

    def test_check_binds_nothing_contacts_nobody_and_says_what_decided_and_what_the_ca_will_connect_to(self):
        done = self.check(self.ACME)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists("/nonexistent"))
        self.assertIn("listener imaps (imap): [::]:993", done.stdout)
        self.assertIn("acme:letsencrypt, decided by server.tls.acme", done.stdout)
        self.assertRegex(done.stdout, r"port 443 of imap\.example\.org; it must reach (\[::\]|0\.0\.0\.0):443")
        report = json.loads(self.check(self.ACME, "--json").stdout)
        self.assertTrue(report["ok"])
        self.assertEqual({one["id"]: one["tls"]["mode"] for one in report["listeners"]},
                         {"smtp": "starttls", "imaps": "implicit"})

    def test_every_problem_comes_in_one_run_with_file_line_key_and_remedy(self):
        done = self.check('[server]\nhostname = "mail.example.org"\n[server.tls]\ntimeout = "30"\nacme = "nowhere"\n'
                          '[server.listener."x"]\nbind = "1.2.3.4"\nprotocol = "smtpp"\n')
        self.assertEqual(done.returncode, 1)
        for place in (r":4: error: server\.tls\.timeout", r":5: error: server\.tls\.acme",
                      r":7: error: server\.listener\.x\.bind", r":8: error: server\.listener\.x\.protocol"):
            self.assertRegex(done.stderr, r"checked\.toml" + place)

    def test_strict_makes_warnings_errors(self):
        text = self.ACME.replace("[server]", "[server]\nhostnam = \"x\"")
        self.assertEqual(self.check(text).returncode, 0)
        self.assertEqual(self.check(text, "--strict").returncode, 1)
        self.assertIn("hostname", self.check(text).stderr)  # the nearest known key

    def test_secrets_are_hidden(self):
        os.environ["POSTERN_TEST_VALUE"] = "from-the-environment"
        self.addCleanup(os.environ.pop, "POSTERN_TEST_VALUE")
        done = self.check('[server]\nhostname = "%{env:POSTERN_TEST_VALUE}% x"\n'
                          '[[directory.memory.principals]]\nname = "a/b"\nsecret = "never-shown"\nemail = 3\n')
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("never-shown", done.stdout + done.stderr)
        self.assertNotIn("from-the-environment", done.stdout + done.stderr)
        self.assertIn("(hidden)", done.stderr)

    def test_a_listener_on_the_challenge_port_that_cannot_answer_is_an_error(self):
        done = self.check(self.ACME.replace('"[::]:25"', '"[::]:443"'))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"checked\.toml:\d+: error: .*443")

    def test_the_configuration_of_the_readme_is_valid(self):
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        with open(os.path.join(root, "README.md")) as file:
            sample = re.search(r"```toml\n(.*?)```", file.read(), re.S).group(1)
        done = self.check(sample, "--strict")
        self.assertEqual(done.returncode, 0, done.stderr)
        packaged = postern("check", "--config", os.path.join(root, "packaging", "postern.toml"), "--strict", check=False)
        self.assertEqual(packaged.returncode, 0, packaged.stderr)


class Signals(support.TestCase):
    def test_sigterm_says_good_bye_and_exits_0(self):
        server = self.server(PLAIN)
        with socket.create_connection(("127.0.0.1", server.port("smtp")), timeout=20) as smtp, \
                socket.create_connection(("127.0.0.1", server.port("imap")), timeout=20) as imap:
            self.assertTrue(smtp.recv(1000).startswith(b"220 mail.example.test"))
            self.assertTrue(imap.recv(1000).startswith(b"* OK"))
            server.process.popen.terminate()
            self.assertTrue(smtp.recv(1000).startswith(b"421 "))
            self.assertTrue(imap.recv(1000).startswith(b"* BYE"))
        self.assertEqual(server.process.popen.wait(60), 0)
        self.assertFalse(os.path.exists(server.socket))

    def test_a_session_that_does_not_leave_is_cut_after_the_shutdown_timeout(self):
        # The client never closes and the listener would wait a minute for that: only shutdown-timeout ends it, in one
        # second instead of its default of ten.
        server = self.server(PLAIN.replace("[server]", '[server]\nshutdown-timeout = "1s"\nsocket.linger = "1m"'))
        with socket.create_connection(("127.0.0.1", server.port("smtp")), timeout=20) as client:
            client.recv(1000)
            began = time.monotonic()
            server.process.popen.terminate()
            self.assertEqual(server.process.popen.wait(30), 0)
            took = time.monotonic() - began
        self.assertGreater(took, 0.9)
        self.assertLess(took, 10)

    def test_sigusr1_opens_the_log_file_again(self):
        log = os.path.join(self.folder, "logs", "postern.log")
        server = self.server(PLAIN + f'[global.tracing]\npath = "{log}"\nformat = "json"\n')
        wait_until(lambda: "server.started" in read(log), "the log is written")
        for line in read(log).rpartition("\n")[0].splitlines():  # without what is being written at this moment
            entry = json.loads(line)
            self.assertTrue({"time", "level", "event"} <= set(entry))
        os.rename(log, log + ".1")
        os.kill(server.process.pid, signal.SIGUSR1)
        wait_until(lambda: os.path.exists(log), "the new file is there")
        server.command("reload")
        wait_until(lambda: "config.reload.applied" in read(log), "the reload is in the new file")
        self.assertNotIn("config.reload.applied", read(log + ".1"))


class ControlSocket(support.TestCase):
    def test_it_is_for_the_owner_and_group_alone_and_a_second_server_does_not_take_it(self):
        server = self.server(PLAIN)
        self.assertEqual(stat.S_IMODE(os.stat(server.socket).st_mode), 0o660)
        second = postern("run", "--config", server.config, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another server", second.stderr)
        self.assertEqual(server.status()["pid"], server.process.pid)

    def test_a_stale_socket_is_replaced(self):
        server = self.server(PLAIN)
        server.kill()
        self.assertTrue(os.path.exists(server.socket))
        server.start()
        self.assertEqual(server.status()["pid"], server.process.pid)

    def test_the_status_has_every_member_of_the_contract(self):
        pebble = self.pebble()
        server = self.server('[server]\nhostname = "mail.example.test"\ntls.acme = "pebble"\n[server.listener."smtp"]\n'
                             'bind = "127.0.0.1:0"\nprotocol = "smtp"\n' + acme_section(pebble, self.folder))
        server.await_certificate("mail.example.test")
        status = server.status()
        self.assertEqual(set(status), {"version", "pid", "uptime_seconds", "config", "listeners", "certificates",
                                       "providers"})
        self.assertEqual(set(status["config"]), {"path", "loaded_at", "last_reload"})
        listener = status["listeners"][0]
        self.assertEqual(set(listener), {"id", "protocol", "bind", "tls", "connections", "handshakes"})
        self.assertEqual(set(listener["tls"]), {"mode", "decided_by", "wanted", "source", "hostnames", "serial",
                                                "not_after", "served"})
        self.assertEqual(set(listener["tls"]["served"][0]), {"key_type", "serial", "not_after", "source"})
        self.assertEqual(set(listener["connections"]), {"open", "accepted", "refused"})
        self.assertEqual(set(listener["handshakes"]), {"completed", "resumed", "failed"})
        certificate = status["certificates"][0]
        self.assertEqual(set(certificate), {"names", "provider", "key_type", "state", "serial", "issuer", "not_before",
                                            "not_after", "renew_at", "renew_reason", "next_attempt", "attempts",
                                            "last_error"})
        self.assertEqual((certificate["key_type"], certificate["renew_reason"]), ("ecdsa-p256", "lifetime"))
        provider = status["providers"][0]
        self.assertEqual(set(provider), {"name", "directory", "account", "state", "last_error", "ledger"})
        self.assertEqual(provider["state"], "ok")
        self.assertTrue(provider["account"].startswith("https://"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root to be somebody else")
    def test_the_group_may_look_and_reload_but_not_force_and_others_nothing(self):
        os.chmod(self.folder, 0o755)
        server = self.server(PLAIN + f'[server.run-as]\nuser = "nobody"\n')
        gid = os.stat(server.socket).st_gid

        def as_somebody(group, *command):
            def become():
                os.setgroups([])
                os.setgid(group)
                os.setuid(12345)
            return subprocess.run([support.POSTERN, *command, "--socket", server.socket], capture_output=True, text=True,
                                  preexec_fn=become)
        self.assertEqual(as_somebody(gid, "status").returncode, 0)
        self.assertEqual(as_somebody(gid, "reload").returncode, 0)
        forced = as_somebody(gid, "renew", "--all", "--force")
        self.assertEqual(forced.returncode, 1)
        self.assertIn("--force", forced.stderr)
        for command in (["revoke", "mail.example.test", "--yes"], ["account", "show", "pebble"],
                        ["account", "deactivate", "pebble", "--yes"]):
            refused = as_somebody(gid, *command)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("needs root or the server's user", refused.stderr)
        self.assertEqual(as_somebody(12345, "status").returncode, 1)


@unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
class RunAs(support.TestCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)

    def test_it_binds_a_low_port_becomes_the_user_and_can_still_bind_low_ports_at_a_reload(self):
        pebble = self.pebble()
        os.makedirs(os.path.join(self.folder, "server"))
        shutil.copy(pebble.ca_file, os.path.join(self.folder, "ca.pem"))
        os.chmod(os.path.join(self.folder, "ca.pem"), 0o644)
        pebble.ca_file = os.path.join(self.folder, "ca.pem")
        low, other = (support.free_port(range(700, 1000)) for _ in range(2))
        config = ('[server]\nhostname = "mail.example.test"\ntls.acme = "pebble"\n[server.run-as]\nuser = "nobody"\n'
                  '[server.listener."smtp"]\nbind = "127.0.0.1:%d"\nprotocol = "smtp"\n' % low +
                  f'[storage]\nmaildir = "{self.folder}/fresh/mail"\n' + support.ACCOUNTS +
                  acme_section(pebble, self.folder + "/fresh"))
        server = self.server(config)
        uid = pwd.getpwnam("nobody").pw_uid
        status = read(f"/proc/{server.process.pid}/status")
        self.assertEqual(re.search(r"^Uid:\s+(\d+)\s+(\d+)\s+(\d+)", status, re.M).groups(), (str(uid),) * 3)
        self.assertEqual(int(re.search(r"^CapEff:\s+(\w+)", status, re.M).group(1), 16), 1 << 10)  # NET_BIND_SERVICE
        tasks = [read(f"/proc/{server.process.pid}/task/{task}/status")
                 for task in os.listdir(f"/proc/{server.process.pid}/task")]
        users = [re.search(r"^Uid:\s+(\d+)", task, re.M).group(1) for task in tasks if task]
        self.assertGreater(len(users), 1)
        self.assertEqual(set(users), {str(uid)})
        server.await_certificate("mail.example.test")
        for path in ("fresh/acme", "fresh/mail"):
            self.assertEqual(os.stat(os.path.join(self.folder, path)).st_uid, uid)
        self.assertEqual(os.stat(server.socket).st_uid, uid)
        server.deliver("smtp", "Subject: x\r\n\r\nhello\r\n")
        server.write(config + '[server.listener."more"]\nbind = "127.0.0.1:%d"\nprotocol = "smtp"\n' % other)
        self.assertIn("listener more added", server.command("reload").stdout)
        self.assertTrue(support.reachable(other))

    def test_a_file_that_the_user_cannot_read_is_a_start_error_with_path_owner_mode_and_remedy(self):
        certificate, key, _ = support.make_certificate(self.folder, "pair", dns=("mail.example.test",))
        os.chmod(key, 0o600)
        server = self.server(f"""
[server]
hostname = "mail.example.test"
tls.certificate = "pair"
[server.run-as]
user = "nobody"
[server.listener."smtp"]
bind = "127.0.0.1:0"
protocol = "smtp"
[certificate."pair"]
cert = "file://{certificate}"
private-key = "file://{key}"
""", start=False)
        done = postern("run", "--config", server.config, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(key, done.stderr)
        self.assertIn("owned by root:root, mode 0600", done.stderr)
        self.assertIn("0640", done.stderr)

    def test_a_user_that_does_not_exist_is_a_start_error(self):
        server = self.server(PLAIN + '[server.run-as]\nuser = "no-such-user"\n', start=False)
        done = postern("run", "--config", server.config, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-user", done.stderr)


class Http(support.TestCase):
    def get(self, server, path, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{server.port('http')}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()

    def test_healthz_metrics_and_the_challenge_route(self):
        pebble = self.pebble()
        server = self.server('[server]\nhostname = "mail.example.test"\ntls.acme = "pebble"\n[server.listener."imaps"]\n'
                             'bind = "127.0.0.1:0"\nprotocol = "imap"\ntls.implicit = true\n[server.listener."http"]\n'
                             'bind = "127.0.0.1:0"\nprotocol = "http"\n' + acme_section(pebble, self.folder))
        certificate = server.await_certificate("mail.example.test")
        server.served("imaps", "mail.example.test")
        self.assertEqual(self.get(server, "/healthz"), "ok\n")
        metrics = self.get(server, "/metrics")
        served = re.search(r'postern_served_certificate_not_after_seconds\{listener="imaps",source="acme:pebble",'
                           r'key_type="ecdsa-p256",serial="(\w+)"\} (\d+)', metrics)
        self.assertEqual(served.group(1), certificate["serial"])
        self.assertGreater(int(served.group(2)), time.time())
        self.assertGreaterEqual(int(re.search(r'postern_handshakes_completed_total\{listener="imaps"\} (\d+)',
                                              metrics).group(1)), 1)
        self.assertRegex(metrics, r'postern_connections_accepted_total\{listener="http"\} [1-9]')
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.get(server, "/.well-known/acme-challenge/unknown-token")
        self.assertEqual(refused.exception.code, 404)
        refused.exception.close()

    def test_metrics_are_off_where_the_listener_says_so(self):
        server = self.server(PLAIN.replace('protocol = "http"', 'protocol = "http"\nmetrics = false'))
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.get(server, "/metrics")
        self.assertEqual(refused.exception.code, 404)
        refused.exception.close()


class Probe(support.TestCase):
    def test_after_a_swap_the_own_listeners_are_asked_what_they_serve_through_proxy_where_it_is_required(self):
        pebble = self.pebble()
        server = self.server("""
[global.tracing]
level = "debug"
[server]
hostname = "mail.example.test"
proxy.trusted-networks = ["127.0.0.0/8"]
tls.acme = "pebble"
[server.listener."smtp"]
bind = "127.0.0.1:0"
protocol = "smtp"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
""" + acme_section(pebble, self.folder).replace("[acme", '[acme'))
        serial = server.await_certificate("mail.example.test")["serial"]
        for name in ("smtp", "imaps"):
            wait_until(lambda: re.search(rf"tls\.probe\.ok listener={name} serial={serial}", server.log()),
                       f"the probe of {name} saw the new certificate")
        self.assertNotIn("tls.probe.failed", server.log())


class Logs(support.TestCase):
    def test_lines_about_challenge_ports_are_in_the_form_of_the_others(self):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()
            section = ('[acme."{}"]\ndirectory = "https://127.0.0.1:1/dir"\ncache = "' + self.folder + '/acme"\n'
                       'challenge-bind = "127.0.0.1"\nport = {}\ndomains = "{}.example.test"\n')
            server = self.server(PLAIN + section.format("open", support.free_port(), "open")
                                 + section.format("shut", held.getsockname()[1], "shut")
                                 + '[global.tracing]\nformat = "json"\n')
            server.stop()
        lines = [json.loads(line) for line in server.log().splitlines()]
        for event, provider in (("acme.challenge_port.open", "open"), ("acme.challenge_port.failed", "shut")):
            self.assertEqual({one["providers"] for one in lines if one["event"] == event}, {provider})

    def test_no_key_token_or_password_appears_at_any_level(self):
        proxy = support.HoldingProxy(self.folder, self.pebble())
        self.addCleanup(proxy.stop)
        server = self.server('[global.tracing]\nlevel = "trace"\n' + PLAIN.replace(
            'hostname = "mail.example.test"', 'hostname = "mail.example.test"\ntls.acme = "pebble"') +
            f'[storage]\nmaildir = "{self.folder}/mail"\n' + support.ACCOUNTS + acme_section(proxy, self.folder))
        server.await_certificate("mail.example.test")
        with socket.create_connection(("127.0.0.1", server.port("imap")), timeout=20) as client:
            client.recv(1000)
            client.sendall(b'a LOGIN jane "a wrong guess"\r\n')
            self.assertIn(b"a NO", client.recv(1000))
            client.sendall(b'b LOGIN jane "correct horse"\r\n')
            self.assertIn(b"b OK", client.recv(1000))
        # Said behind all that is written to the disk, when the certificate is in service already.
        wait_until(lambda: "acme.order.valid" in server.log(), "the order is in the log")
        log = server.log()
        for secret in ("correct horse", "a wrong guess", "PRIVATE KEY"):
            self.assertNotIn(secret, log)
        tokens = re.findall(r'"token": "([\w-]+)"', "".join(proxy.answers))
        self.assertTrue(tokens)
        for token in tokens:
            self.assertNotIn(token, log)


if __name__ == "__main__":
    unittest.main()
