"""Certificates from a real CA: first issuance, the cache, renewal under a session, names that fail, nonces, crashes."""

import glob
import os
import ssl
import unittest

import support
from support import acme_section, wait_until


def config(pebble, folder, listeners="", extra=""):
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
hostname = "imap.example.test"
tls.implicit = true
{listeners}
{acme_section(pebble, folder)}
[storage]
maildir = "{os.path.join(folder, 'mail')}"
{support.ACCOUNTS}
{extra}
"""


class FirstIssuance(support.TestCase):
    def test_every_listener_serves_a_certificate_of_the_ca_for_its_own_hostname(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder))
        smtp = server.await_certificate("mail.example.test")
        imap = server.await_certificate("imap.example.test")
        self.assertNotEqual(smtp["serial"], imap["serial"])
        self.assertEqual(server.served("smtp", "mail.example.test"), smtp["serial"].lstrip("0"))
        self.assertEqual(server.served("imaps", "imap.example.test"), imap["serial"].lstrip("0"))
        with server.tls("imaps", "imap.example.test", ca=pebble.roots()) as connection:  # verified, name and chain
            self.assertIn(("DNS", "imap.example.test"), connection.getpeercert()["subjectAltName"])
        tls = server.listener("imaps")["tls"]
        self.assertEqual((tls["source"], tls["wanted"], tls["decided_by"]),
                         ("acme:pebble", "acme:pebble", "server.tls.acme"))

    def test_a_listener_serves_a_self_signed_certificate_for_its_name_until_the_ca_answers(self):
        pebble = self.pebble()
        pebble.process.kill()
        server = self.server(config(pebble, self.folder))
        self.assertEqual(server.listener("imaps")["tls"]["source"], "self-signed")
        self_signed = server.public_key("imaps", "imap.example.test")
        # It is made with the key of the pending order: whoever pinned it (DANE) is right about what follows.
        pebble.start()
        server.command("renew", "imap.example.test", "--wait", check=False)
        server.await_certificate("imap.example.test")
        self.assertEqual(server.public_key("imaps", "imap.example.test"), self_signed)
        self.assertEqual(server.listener("imaps")["tls"]["source"], "acme:pebble")


class CachedRestart(support.TestCase):
    def test_a_restart_serves_the_cached_certificates_and_asks_the_ca_for_nothing(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder))
        serial = server.await_certificate("imap.example.test")["serial"]
        server.await_certificate("mail.example.test")
        # What the CA says of renewal is asked behind each order, and kept.
        wait_until(lambda: len(glob.glob(f"{self.folder}/**/renewal-info.json", recursive=True)) == 2, "it was asked")
        self.assertEqual(server.stop(), 0)
        before = pebble.requests()
        server.start()
        self.assertEqual(server.listener("imaps")["tls"]["serial"], serial)
        self.assertEqual(server.certificate("imap.example.test")["state"], "valid")
        self.assertEqual(pebble.requests(), before)

    def test_without_the_ca_a_restart_serves_from_the_cache(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder))
        serial = server.await_certificate("imap.example.test")["serial"]
        server.stop()
        pebble.stop()
        server.start()
        self.assertEqual(server.served("imaps", "imap.example.test"), serial.lstrip("0"))


class Renewal(support.TestCase):
    def test_a_forced_renewal_leaves_an_idle_session_alone_and_old_tickets_resume(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder))
        before = server.await_certificate("imap.example.test")["serial"]
        idle = server.imap("imaps")
        idle.select()
        tag = idle._new_tag()
        idle.send(tag + b" IDLE\r\n")
        self.assertTrue(idle.readline().startswith(b"+"))

        context = support.client_context()
        with server.tls("imaps", "imap.example.test", context=context) as first:
            first.recv(1024)  # the greeting; the ticket comes with it
            session = first.session
            first.unwrap()
        server.command("renew", "imap.example.test", "--force", "--wait")
        after = server.certificate("imap.example.test")["serial"]
        self.assertNotEqual(after, before)
        self.assertEqual(server.served("imaps", "imap.example.test"), after.lstrip("0"))
        with server.tls("imaps", "imap.example.test", context=context, session=session) as second:
            self.assertTrue(second.session_reused)

        idle.send(b"DONE\r\n")
        while not (line := idle.readline()).startswith(tag):
            self.assertTrue(line)
        self.assertIn(b"OK", line)
        idle.logout()

    def test_renewing_what_is_not_due_says_when_it_is_and_orders_nothing(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder))
        server.await_certificate("imap.example.test")
        server.await_certificate("mail.example.test")
        orders = pebble.orders()
        done = server.command("renew", "imap.example.test")
        self.assertIn(server.certificate("imap.example.test")["renew_at"], done.stdout)
        self.assertEqual(pebble.orders(), orders)
        refused = server.command("renew", "nobody.example.test", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("nobody.example.test", refused.stderr)


class Failures(support.TestCase):
    def test_one_name_that_cannot_be_resolved_holds_up_no_other(self):
        pebble = self.pebble()
        pebble.break_name("dead.example.test")
        server = self.server(config(pebble, self.folder, """
[server.listener."dead"]
bind = "127.0.0.1:0"
protocol = "imap"
hostname = "dead.example.test"
"""))
        server.await_certificate("mail.example.test")
        server.await_certificate("imap.example.test")
        dead = server.await_certificate("dead.example.test", state="failing")
        self.assertEqual(dead["last_error"]["name"], "dead.example.test")
        self.assertTrue(dead["last_error"]["type"].startswith("urn:ietf:params:acme:error:"))
        self.assertIsNotNone(dead["next_attempt"])
        self.assertEqual(server.listener("dead")["tls"]["source"], "self-signed")
        pebble.mend_name("dead.example.test")
        server.command("renew", "dead.example.test", "--wait")  # forgets its back-off
        self.assertEqual(server.certificate("dead.example.test")["state"], "valid")

    def test_half_of_all_nonces_refused_costs_no_order(self):
        pebble = self.pebble(bad_nonces=50)
        server = self.server(config(pebble, self.folder))
        server.await_certificate("mail.example.test")
        server.await_certificate("imap.example.test")
        self.assertEqual(server.certificate("imap.example.test")["attempts"], 0)
        self.assertNotIn("acme.order.failed", server.log())

    def test_a_back_off_is_remembered_across_a_restart(self):
        pebble = self.pebble()
        pebble.break_name("mail.example.test")
        server = self.server(config(pebble, self.folder))
        server.await_certificate("mail.example.test", state="failing")
        server.await_certificate("imap.example.test")
        wait_until(lambda: glob.glob(f"{self.folder}/**/renewal-info.json", recursive=True), "it was asked for the other")
        server.stop()
        before = pebble.requests()
        server.start()
        self.assertEqual(server.certificate("mail.example.test")["state"], "failing")
        self.assertEqual(pebble.requests(), before)


class Crash(support.TestCase):
    def test_an_order_goes_on_after_kill_9_in_its_middle(self):
        pebble = self.pebble(environment={"PEBBLE_AUTHZREUSE": "0"})
        proxy = support.HoldingProxy(self.folder, pebble)
        self.addCleanup(proxy.stop)
        proxy.hold = "/chalZ/"  # the order is made and its answer is up, but the CA has not been told yet
        server = self.server(f"""
[server]
hostname = "mail.example.test"
tls.acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{acme_section(proxy, self.folder)}
""")
        self.assertTrue(proxy.held.wait(120))
        server.kill()
        proxy.hold = None
        self.assertEqual(pebble.orders(), 1)
        server.start()
        server.await_certificate("mail.example.test")
        self.assertEqual(pebble.orders(), 1)
        self.assertEqual(pebble.log().count("POST /sign-me-up"), 1)

    def test_the_certificate_is_served_after_kill_9(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder))
        serial = server.await_certificate("imap.example.test")["serial"]
        server.kill()
        server.start()
        self.assertEqual(server.served("imaps", "imap.example.test"), serial.lstrip("0"))


class ChallengePort(support.TestCase):
    def test_an_implicit_listener_on_the_port_answers_challenges_beside_its_own_traffic(self):
        port = support.free_port()
        pebble = self.pebble(tls_port=port)
        server = self.server(f"""
[server]
hostname = "mail.example.test"
tls.acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:{port}"
protocol = "imap"
tls.implicit = true
{acme_section(pebble, self.folder)}
""")
        serial = server.await_certificate("mail.example.test")["serial"]
        self.assertEqual(server.served("imaps", "mail.example.test"), serial.lstrip("0"))

    def test_a_challenge_only_listener_speaks_to_nobody_else(self):
        pebble = self.pebble()
        server = self.server(config(pebble, self.folder))
        server.await_certificate("imap.example.test")
        for protocols in ([], ["acme-tls/1"], ["imap"]):
            context = support.client_context()
            if protocols:
                context.set_alpn_protocols(protocols)
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                server.tls("imaps", "imap.example.test", context=context, port=pebble.tls_port)

    def test_a_challenge_port_that_is_taken_is_said_in_the_status_and_mail_goes_on(self):
        import socket
        pebble = self.pebble()
        with socket.create_server(("127.0.0.1", pebble.tls_port)) as taken:
            server = self.server(config(pebble, self.folder))
            provider = server.status()["providers"][0]
            self.assertIn(str(pebble.tls_port), provider["last_error"]["detail"])
            server.served("imaps", "imap.example.test")
            taken.close()


if __name__ == "__main__":
    unittest.main()
