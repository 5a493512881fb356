"""Reloads: all or nothing, with connections open throughout."""

import os
import signal
import socket
import unittest

import support
from support import acme_section, wait_until


def listener(name, protocol="imap", hostname=None, bind="127.0.0.1:0", extra=""):
    host = f'hostname = "{hostname}"\n' if hostname else ""
    return f'[server.listener."{name}"]\nbind = "{bind}"\nprotocol = "{protocol}"\n{host}{extra}\n'


class Reload(support.TestCase):
    def config(self, *listeners, tls='acme = "pebble"', extra=""):
        return (f'[server]\nhostname = "mail.example.test"\n[server.tls]\n{tls}\n' + "".join(listeners) +
                acme_section(self.ca, self.folder) + extra)

    def setUp(self):
        super().setUp()
        self.ca = self.pebble()

    def test_a_listener_that_is_added_gets_its_certificate_and_the_others_keep_their_sessions(self):
        imaps = listener("imaps", extra="tls.implicit = true")
        server = self.server(self.config(imaps))
        server.await_certificate("mail.example.test")
        with server.tls("imaps", "mail.example.test") as session:
            self.assertTrue(session.recv(1000).startswith(b"* OK"))
            server.write(self.config(imaps, listener("second", hostname="second.example.test")))
            self.assertIn("listener second added", server.command("reload").stdout)
            second = server.await_certificate("second.example.test")
            self.assertEqual(server.served("second", "second.example.test"), second["serial"].lstrip("0"))
            session.sendall(b"a NOOP\r\n")
            self.assertTrue(session.recv(1000).startswith(b"a OK"))
        self.assertEqual(self.ca.orders(), 2)

    def test_a_changed_name_is_served_the_old_certificate_until_the_new_one_arrives(self):
        server = self.server(self.config(listener("imaps", hostname="old.example.test", extra="tls.implicit = true")))
        old = server.await_certificate("old.example.test")["serial"]
        self.ca.process.kill()  # the new certificate has to wait
        server.write(self.config(listener("imaps", hostname="new.example.test", extra="tls.implicit = true")))
        self.assertIn("hostname", server.command("reload").stdout)
        self.assertEqual(server.served("imaps", "new.example.test"), old.lstrip("0"))
        self.ca.start()
        server.command("renew", "new.example.test", "--wait", check=False)
        new = server.await_certificate("new.example.test")["serial"]
        wait_until(lambda: server.served("imaps", "new.example.test") == new.lstrip("0"), "the new one is served")

    def test_a_refused_reload_changes_nothing_and_says_why(self):
        good = self.config(listener("imaps", extra="tls.implicit = true"))
        server = self.server(good)
        server.await_certificate("mail.example.test")
        before = server.status()["listeners"]
        server.write(good.replace('protocol = "imap"', 'protocol = "imap"\nidle-timeout = "30"') +
                     listener("other", hostname="other.example.test"))
        refused = server.command("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(server.config, refused.stderr)
        self.assertIn("idle-timeout", refused.stderr)
        after = server.status()
        self.assertEqual([one["bind"] for one in after["listeners"]], [one["bind"] for one in before])
        self.assertFalse(after["config"]["last_reload"]["ok"])
        self.assertIn("idle-timeout", after["config"]["last_reload"]["error"])
        self.assertIn("config.reload.refused", server.log())

    def test_an_address_that_is_taken_refuses_the_whole_reload(self):
        server = self.server(self.config(listener("imaps", extra="tls.implicit = true")))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            bind = "127.0.0.1:%d" % taken.getsockname()[1]
            server.write(self.config(listener("first", bind="127.0.0.1:0"), listener("second", bind=bind)))
            refused = server.command("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(bind, refused.stderr)
        self.assertEqual([one["id"] for one in server.status()["listeners"]], ["imaps"])
        server.served("imaps", "mail.example.test")

    def test_an_address_moves_between_listeners_with_nobody_turned_away(self):
        port = support.free_port()
        bind = f"127.0.0.1:{port}"
        server = self.server(self.config(listener("one", "smtp", bind=bind)))
        def connect():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                if not client.recv(1000).startswith((b"220", b"* OK")):
                    raise AssertionError("no greeting")
        watch = support.Watch(connect)
        self.addCleanup(watch.ending.set)
        for protocol, name in (("imap", "two"), ("smtp", "three"), ("imap", "four")):
            server.write(self.config(listener(name, protocol, bind=bind)))
            server.command("reload")
            self.assertEqual([one["id"] for one in server.status()["listeners"]], [name])
        self.assertGreater(watch.stop(), 0)

    def test_a_removed_listener_lets_its_session_end_by_itself(self):
        imaps, other = listener("imaps", extra="tls.implicit = true"), listener("other", "smtp")
        server = self.server(self.config(imaps, other))
        port = server.port("imaps")
        with server.tls("imaps", "mail.example.test") as session:
            session.recv(1000)
            server.write(self.config(other))
            self.assertIn("listener imaps removed", server.command("reload").stdout)
            def refused():
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    return False
                except ConnectionRefusedError:
                    return True
            wait_until(refused, "the address is closed")
            session.sendall(b"a NOOP\r\n")
            self.assertTrue(session.recv(1000).startswith(b"a OK"))

    def test_sighup_reloads_and_signals_that_come_meanwhile_cause_exactly_one_more(self):
        server = self.server(self.config(listener("imaps")))
        os.kill(server.process.pid, signal.SIGHUP)
        wait_until(lambda: server.log().count("config.reload.applied") == 1, "the reload is logged")
        os.kill(server.process.pid, signal.SIGSTOP)  # busy, as it is in the middle of a reload

        def stopped():
            with open(f"/proc/{server.process.pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "T"
        wait_until(stopped, "it stands still")
        for _ in range(20):
            os.kill(server.process.pid, signal.SIGHUP)
        os.kill(server.process.pid, signal.SIGCONT)
        wait_until(lambda: server.log().count("config.reload.applied") == 2, "one more reload is logged")
        server.command("reload")  # behind whatever signals are left
        self.assertEqual(server.log().count("config.reload.applied"), 3)
        self.assertEqual(server.log().count("config.reload.refused"), 0)

    def test_settings_that_need_a_restart_are_reported_and_the_rest_is_applied(self):
        imaps = listener("imaps", extra="tls.implicit = true")
        server = self.server(self.config(imaps))
        server.write(self.config(imaps, listener("more", "smtp"), extra='[global]\nthread-pool = 7\n'))
        said = server.command("reload").stdout
        self.assertIn("global.thread-pool needs a restart", said)
        self.assertIn("listener more added", said)

    def test_a_used_cache_path_needs_a_restart(self):
        imaps = listener("imaps", extra="tls.implicit = true")
        server = self.server(self.config(imaps))
        server.await_certificate("mail.example.test")
        server.write(self.config(imaps).replace("/acme\"", "/acme-elsewhere\""))
        self.assertIn("cache needs a restart", server.command("reload").stdout)
        self.assertEqual(server.certificate("mail.example.test")["state"], "valid")
        self.assertEqual(self.ca.orders(), 1)

    def test_an_order_under_way_for_a_name_still_wanted_goes_on_over_a_reload(self):
        self.ca.stop()
        self.ca = support.Pebble(os.path.join(self.folder, "slow"), environment={
            "PEBBLE_VA_NOSLEEP": "", "PEBBLE_VA_SLEEPTIME": "4", "PEBBLE_AUTHZREUSE": "0"})
        self.addCleanup(self.ca.stop)
        imaps = listener("imaps", extra="tls.implicit = true")
        server = self.server(self.config(imaps))
        wait_until(lambda: "POST /chalZ/" in self.ca.log(), "the order is under way")
        server.write(self.config(imaps, listener("more", "smtp")))
        server.command("reload")
        server.await_certificate("mail.example.test")
        self.assertEqual(self.ca.orders(), 1)

    def test_a_policy_change_serves_the_next_handshake_and_ends_that_listeners_tickets_only(self):
        changed = listener("changed", extra="tls.implicit = true")
        kept = listener("kept", extra="tls.implicit = true")
        server = self.server(self.config(changed, kept))
        server.await_certificate("mail.example.test")
        sessions = {}
        for name in ("changed", "kept"):
            context = support.client_context()
            with server.tls(name, "mail.example.test", context=context) as connection:
                connection.recv(1000)
                self.assertEqual(connection.version(), "TLSv1.3")
                sessions[name] = (context, connection.session)
                connection.unwrap()
        server.write(self.config(changed + 'tls.groups = ["P-256"]\n', kept))
        server.command("reload")
        for name, resumed in (("changed", False), ("kept", True)):
            context, session = sessions[name]
            with server.tls(name, "mail.example.test", context=context, session=session) as connection:
                self.assertEqual(connection.session_reused, resumed, name)


class StaticCertificates(support.TestCase):
    def config(self, certificate, key, extra=""):
        return f"""
[server]
hostname = "localhost"
tls.certificate = "pair"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
[certificate."pair"]
cert = "file://{certificate}"
private-key = "file://{key}"
{extra}
"""

    def pair(self, name, **names):
        return support.make_certificate(self.folder, name, **names)

    def test_a_reload_serves_the_new_pair_from_its_files(self):
        first, second = self.pair("first"), self.pair("second")
        server = self.server(self.config(*first[:2]))
        before = server.served("imaps", "localhost")
        self.assertEqual(server.listener("imaps")["tls"]["source"], "certificate:pair")
        server.write(self.config(*second[:2]))
        server.command("reload")
        self.assertNotEqual(server.served("imaps", "localhost"), before)

    def test_a_pair_that_does_not_match_refuses_start_and_reload_with_its_place(self):
        first, second = self.pair("first"), self.pair("second")
        server = self.server(self.config(*first[:2]))
        serial = server.served("imaps", "localhost")
        server.write(self.config(first[0], second[1]))
        refused = server.command("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"postern\.toml:\d+: error: certificate\.pair")
        self.assertEqual(server.served("imaps", "localhost"), serial)
        server.stop()
        start = support.postern("run", "--config", server.config, check=False)
        self.assertEqual(start.returncode, 1)
        self.assertRegex(start.stderr, r"postern\.toml:\d+: error: certificate\.pair")

    def test_an_expired_pair_is_a_warning_and_served_with_an_error_in_the_log(self):
        expired = self.pair("expired", days=-1)
        server = self.server(self.config(*expired[:2]))
        server.served("imaps", "localhost")
        wait_until(lambda: "tls.certificate.expired listener=imaps" in server.log(), "the log says so")
        checked = support.postern("check", "--config", server.config)
        self.assertRegex(checked.stderr, r"postern\.toml:\d+: warning: certificate\.pair.*expired")
        self.assertEqual(support.postern("check", "--strict", "--config", server.config, check=False).returncode, 1)

    def test_a_new_pair_is_taken_only_if_it_is_not_worse(self):
        good, other = self.pair("good"), self.pair("other", dns=("elsewhere.test",), ips=())
        server = self.server(self.config(*good[:2]))
        serial = server.served("imaps", "localhost")
        server.write(self.config(*other[:2]))
        server.command("reload")
        self.assertEqual(server.served("imaps", "localhost"), serial)
        self.assertIn("tls.certificate.kept", server.log())


if __name__ == "__main__":
    unittest.main()
