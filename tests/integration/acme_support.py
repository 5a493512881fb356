"""The whole of ACME against real CAs, Pebble 2.4 and a Pebble of at least 2.10: what the unit tests promise, from outside.

The cases; acme_*_test.py run them against one CA each. Where the newer one cannot be had those tests fail and say why
(scripts/lib/pebble_new.py).
"""

import base64
import calendar
import glob
import json
import os
import re
import subprocess
import time

import support
from support import acme_section, wait_until

NAME = "mail.example.test"


def config(acme, extra=""):
    return f"""
[server]
hostname = "{NAME}"
tls.acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{acme}
{extra}
"""


class Case(support.TestCase):
    binaries = None  # of the Pebble under test

    def ca(self, name="pebble", **options):
        pebble = support.Pebble(os.path.join(self.folder, name), binaries=self.binaries, **options)
        self.addCleanup(pebble.stop)
        return pebble

    def serve(self, pebble, extra="", more="", **options):
        return self.server(config(acme_section(pebble, self.folder, extra=extra), more), **options)

    def renew(self, server, name=NAME):
        """A new certificate at once; its serial."""
        before = server.await_certificate(name)["serial"]
        server.command("renew", name, "--force", "--wait")
        after = server.certificate(name)["serial"]
        self.assertNotEqual(after, before)
        self.assertEqual(server.served("imaps", name), after.lstrip("0"))
        return after

    def events(self, server, event):
        return [line for line in server.log().splitlines() if f" {event} " in line + " "]

    def account_url(self, server):
        return server.status()["providers"][0]["account"]

    def chain(self, server):
        """The issuers' common names of the chain that is served, from the leaf's to that of the last."""
        port = server.port("imaps")
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", NAME,
                               "-showcerts"], input="", capture_output=True, text=True, timeout=120)
        return re.findall(r"^\s+i:.*?CN ?= ?(.*)$", done.stdout, re.M)


class Account(Case):
    KEY = base64.urlsafe_b64encode(bytes(range(7, 54))).decode()  # 47 bytes: padded

    def bound(self, hmac_key):
        pebble = self.ca(external_accounts={"kid-7": self.KEY.rstrip("=")})
        server = self.serve(pebble, f'eab.key-id = "kid-7"\neab.hmac-key = "{hmac_key}"\n')
        server.await_certificate(NAME)
        self.assertNotIn(self.KEY.rstrip("="), server.log())

    def test_an_external_account_is_bound_with_a_padded_key(self):
        self.assertTrue(self.KEY.endswith("="))
        self.bound(self.KEY)

    def test_an_external_account_is_bound_with_an_unpadded_key(self):
        self.bound(self.KEY.rstrip("="))

    def test_a_ca_that_wants_an_external_account_is_refused_in_words_before_it_is_asked(self):
        pebble = self.ca(external_accounts={"kid-7": self.KEY.rstrip("=")})
        server = self.serve(pebble)
        failing = server.await_certificate(NAME, state="failing")
        self.assertIn("externalAccountRequired", failing["last_error"]["type"])
        self.assertEqual(pebble.log().count("POST /sign-me-up"), 0)

    def test_a_ca_that_has_forgotten_the_account_gets_a_new_one_in_the_same_attempt(self):
        pebble = self.ca()
        server = self.serve(pebble)
        server.await_certificate(NAME)
        pebble.restart_ca()
        self.renew(server)
        self.assertEqual(self.events(server, "acme.order.failed"), [])
        self.assertEqual(server.certificate(NAME)["attempts"], 0)

    def test_a_lost_account_url_is_found_again_by_its_key(self):
        pebble = self.ca()
        server = self.serve(pebble)
        server.await_certificate(NAME)
        before = self.account_url(server)
        server.stop()
        (path,) = glob.glob(os.path.join(self.folder, "acme", "*", "accounts", "*", "account.json"))
        os.remove(path)
        server.start()
        self.renew(server)
        self.assertEqual(self.account_url(server), before)

    def test_a_changed_contact_is_an_update_of_the_account(self):
        pebble = self.ca()
        server = self.serve(pebble)
        server.await_certificate(NAME)
        before = self.account_url(server)
        section = acme_section(pebble, self.folder).replace("postmaster@", "hostmaster@")
        server.write(config(section))
        server.command("reload")
        self.renew(server)
        self.assertEqual(self.account_url(server), before)
        shown = server.command("account", "show", "pebble").stdout
        self.assertIn("hostmaster@example.test", shown)
        self.assertNotIn("postmaster@example.test", shown)
        self.assertEqual(pebble.log().count("POST /sign-me-up"), 1)


class Orders(Case):
    def test_the_preferred_chain_is_taken_from_the_alternates(self):
        pebble = self.ca(alternate_roots=2, chain_length=2)
        roots = []
        for number in range(3):
            shown = subprocess.run(["openssl", "x509", "-in", pebble.roots(number), "-noout", "-subject", "-nameopt",
                                    "multiline"], capture_output=True, text=True)
            roots.append(re.search(r"commonName\s*=\s*(.*)", shown.stdout)[1])
        server = self.serve(pebble)
        server.await_certificate(NAME)
        self.assertEqual(self.chain(server)[-1], roots[0])
        for wanted in roots[1:]:
            server.write(config(acme_section(pebble, self.folder, extra=f'preferred-chain = "{wanted}"')))
            server.command("reload")
            self.renew(server)
            self.assertEqual(self.chain(server)[-1], wanted)
        with server.tls("imaps", NAME, ca=pebble.roots(2)):
            pass  # a client that trusts that root alone

    def test_a_preferred_chain_that_is_not_offered_is_said_and_the_default_taken(self):
        pebble = self.ca()
        server = self.serve(pebble, 'preferred-chain = "Nobody\'s Root"')
        server.await_certificate(NAME)
        self.assertIn("Nobody's Root", server.log())

    def test_reuse_key_keeps_the_key_and_without_it_each_certificate_has_its_own(self):
        pebble = self.ca()
        server = self.serve(pebble, "reuse-key = true")
        server.await_certificate(NAME)
        first = server.public_key("imaps", NAME)
        self.renew(server)
        self.assertEqual(server.public_key("imaps", NAME), first)
        server.write(config(acme_section(pebble, self.folder)))
        server.command("reload")
        self.renew(server)
        self.assertNotEqual(server.public_key("imaps", NAME), first)

    def test_half_of_all_nonces_refused_costs_none_of_ten_orders(self):
        pebble = self.ca(bad_nonces=50)
        names = [f"n{number}.example.test" for number in range(9)]
        listed = ", ".join(f'"{name}"' for name in names)
        server = self.serve(pebble, f"domains = [{listed}]")
        for name in [NAME, *names]:
            self.assertEqual(server.await_certificate(name)["attempts"], 0)
        self.assertEqual(self.events(server, "acme.order.failed"), [])
        self.assertEqual(pebble.orders_made(), 10)

    def test_validations_that_take_seconds_are_waited_for_and_answered_once(self):
        pebble = self.ca(validation_sleep=3)
        server = self.serve(pebble)
        server.await_certificate(NAME)
        self.assertEqual(self.events(server, "acme.order.failed"), [])
        self.assertEqual(pebble.log().count("POST /chalZ/"), 1)
        polls = pebble.log().count("POST /authZ/")
        self.assertLessEqual(polls, 1 + 3 + 4)


class TwoCas(Case):
    def two(self, first_extra, **options):
        first, second = self.ca("first", **options), self.ca("second", **options)
        server = self.server(config(
            acme_section(first, self.folder, extra=first_extra) + acme_section(second, self.folder, "second")),
            start=False)
        return first, second, server

    def issuer_is(self, server, pebble):
        with server.tls("imaps", NAME, ca=pebble.roots()):
            return True


class Fallback(TwoCas):
    def test_a_fallback_provider_issues_while_the_first_is_down_and_the_first_is_used_again(self):
        first, second, server = self.two('fallback = ["second"]')
        first.process.kill()
        server.start()
        server.await_certificate(NAME)
        self.issuer_is(server, second)
        self.assertEqual(second.log().count("POST /sign-me-up"), 1)
        first.start()
        orders = second.orders()
        server.command("renew", NAME, "--force", "--wait")
        self.issuer_is(server, first)
        self.assertEqual(second.orders(), orders)


class Staging(TwoCas):
    def test_an_order_after_a_failed_validation_is_proved_at_the_staging_directory_first(self):
        production, staging, server = self.two('staging = "second"')
        production.break_name(NAME)
        staging.break_name(NAME)
        server.start()
        server.await_certificate(NAME, state="failing")
        self.assertEqual((production.orders_made(), staging.orders_made()), (1, 0))
        server.command("renew", NAME, "--wait", check=False)  # nothing was mended: found out where it costs nothing
        self.assertEqual((production.orders_made(), staging.orders_made()), (1, 1))
        production.mend_name(NAME)
        staging.mend_name(NAME)
        server.command("renew", NAME, "--wait")
        self.assertEqual(production.orders_made(), 2)
        self.issuer_is(server, production)


class Newer(Case):
    """What Pebble 2.4 does not know."""

    def test_a_profile_is_ordered_and_its_lifetime_is_what_comes(self):
        pebble = self.ca(profiles={"default": 7776000, "shortlived": 518400})
        server = self.serve(pebble, 'profile = "shortlived"')
        certificate = server.await_certificate(NAME)
        at = [calendar.timegm(time.strptime(certificate[end], "%Y-%m-%dT%H:%M:%SZ")) for end in ("not_before", "not_after")]
        self.assertAlmostEqual(at[1] - at[0], 518400, delta=120)

    def test_a_profile_that_the_ca_does_not_offer_is_refused_with_those_it_does(self):
        pebble = self.ca(profiles={"default": 7776000, "shortlived": 518400})
        server = self.serve(pebble, 'profile = "forever"')
        error = server.await_certificate(NAME, state="failing")["last_error"]
        self.assertIn("invalidProfile", error["type"])
        self.assertIn("forever", error["detail"])

    def test_ten_names_cost_at_most_eight_requests_each_and_four(self):
        pebble = self.ca(profiles={"default": 7776000})
        names = [f"n{number}.example.test" for number in range(9)]
        listed = ", ".join(f'"{name}"' for name in names)
        server = self.serve(pebble, f"domains = [{listed}]")
        for name in [NAME, *names]:
            server.await_certificate(name)
        # Each certificate's first question for its renewal window counts as well.
        pattern = os.path.join(self.folder, "acme", "*", "certificates", "*", "*", "*", "renewal-info.json")
        wait_until(lambda: len(glob.glob(pattern)) == 10, "the CA was asked for all ten windows")
        requests = pebble.requests()
        self.assertGreaterEqual(requests, 10 * 6)  # they are counted
        # Two of an authorization, one of an order: what is looked at again is what a busy machine was slow with.
        again = pebble.requests(to="/authZ/") + pebble.requests(to="/my-order/") - 3 * 10
        self.assertLess(again, 3 * 10)
        # One nonce is fetched, and one by who waits where no answer brings another in time: of eight orders at once.
        fetched = pebble.requests(to="/nonce-plz") - 1
        self.assertLess(fetched, 8)
        self.assertLessEqual(requests - max(again, 0) - fetched, 8 * 10 + 4, pebble.requests_by_path())

    def asked_at_the_start(self, pebble, server, window, explanation=None):
        """The CA answers `window` (seconds from now) at the next start, when Postern has not asked before."""
        # It asks behind the order, when the certificate is in service already.
        pattern = os.path.join(self.folder, "acme", "*", "certificates", "*", "*", "*", "renewal-info.json")
        wait_until(lambda: glob.glob(pattern), "the CA was asked for the window")
        server.stop()
        (chain,) = glob.glob(os.path.join(self.folder, "acme", "*", "certificates", "*", "*", "*", "current",
                                          "fullchain.pem"))
        with open(chain) as file:
            leaf = file.read().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
        now = time.time()
        pebble.set_renewal_info(leaf, now + window[0], now + window[1], explanation)
        self.renewal_info = os.path.join(os.path.dirname(os.path.dirname(chain)), "renewal-info.json")
        os.remove(self.renewal_info)
        server.start()

    def test_a_renewal_window_in_the_past_renews_at_once_and_names_what_it_replaces(self):
        pebble = self.ca(profiles={"default": 7776000})
        proxy = support.HoldingProxy(self.folder, pebble)
        self.addCleanup(proxy.stop)
        server = self.server(config(acme_section(proxy, self.folder)))
        first = server.await_certificate(NAME)["serial"]
        while int(first, 16).bit_length() % 8 == 0:
            # One in 256 that Pebble finds by no order: it leaves out the byte that DER puts before a first bit that is
            # set (letsencrypt/pebble#550).
            first = self.renew(server)
        orders = pebble.orders_made()
        self.asked_at_the_start(pebble, server, (-7200, -3600), "https://ca.example/incident-7")

        def renewed():
            return server.certificate(NAME)["serial"] != first
        wait_until(renewed, "the window in the past renews")
        self.assertIn("https://ca.example/incident-7", server.log())
        replaced = [json.loads(answer).get("replaces") for answer in proxy.answers if '"replaces"' in answer]
        self.assertTrue(replaced and all(replaced), "no order named the certificate that it replaces")
        # The window was the old certificate's: the new one is not renewed for it.
        after = server.certificate(NAME)
        self.assertEqual(after["state"], "valid")
        self.assertGreater(after["renew_at"], time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400)))
        self.assertEqual(pebble.orders_made(), orders + 1)

    def test_a_renewal_window_ahead_is_where_the_renewal_is_planned(self):
        pebble = self.ca(profiles={"default": 7776000})
        server = self.serve(pebble)
        server.await_certificate(NAME)
        self.asked_at_the_start(pebble, server, (5 * 86400, 6 * 86400))

        def planned():
            certificate = server.certificate(NAME)
            return certificate if certificate["renew_reason"] == "ari" else None
        certificate = wait_until(planned, "the window is heeded")
        at = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86400)) for days in (4.99, 6.01)]
        self.assertTrue(at[0] < certificate["renew_at"] < at[1], certificate["renew_at"])
        self.assertEqual(pebble.orders_made(), 1)

    def test_a_renewal_window_that_is_reversed_or_beyond_expiry_changes_nothing(self):
        pebble = self.ca(profiles={"default": 7776000})
        server = self.serve(pebble)
        before = server.await_certificate(NAME)
        for window in ((-3600, -7200), (100 * 86400, 101 * 86400)):
            self.asked_at_the_start(pebble, server, window)
            wait_until(lambda: os.path.exists(self.renewal_info), "it was asked for and kept")
            after = server.certificate(NAME)
            self.assertEqual((after["serial"], after["renew_reason"]), (before["serial"], "lifetime"))
        self.assertEqual(pebble.orders_made(), 1)
