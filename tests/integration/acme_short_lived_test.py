"""Certificates of a minute from real CAs: renewed again and again, without an outage and without a loop."""

import subprocess
import time

import support
from support import Watch, acme_section, wait_until

NAME = "mail.example.test"
LIFETIME = 60  # seconds
RENEWALS = 2


class ShortLived(support.TestCase):
    def start(self, name, **options):
        pebble = support.Pebble(f"{self.folder}/{name}", **options)
        self.addCleanup(pebble.stop)
        server = self.server(f"""
[server]
hostname = "{NAME}"
tls.acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
tls.implicit = true
{acme_section(pebble, self.folder, cache=name + "-cache")}
""", name=name + "-server")
        return pebble, server

    def test_a_certificate_of_a_minute_is_renewed_without_an_outage_and_without_a_loop(self):
        newer = support.pebble_new.binaries()
        pairs = [self.start("old", validity=LIFETIME),
                 self.start("new", binaries=newer, profiles={"default": LIFETIME})]
        began = time.monotonic()
        watches = []
        for pebble, server in pairs:
            server.await_certificate(NAME)
            port, context = server.port("imaps"), support.client_context()
            served = []

            def look(server=server, port=port, context=context, served=served):
                with server.tls("imaps", NAME, context=context, port=port) as connection:
                    der = connection.getpeercert(binary_form=True)
                if der not in served:
                    served.append(der)
                shown = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-checkend", "0"], input=der,
                                       capture_output=True)
                if shown.returncode != 0:
                    raise AssertionError("an expired certificate was served")
            watches.append((Watch(look), served))
        try:
            wait_until(lambda: all(len(served) > RENEWALS or watch.error for watch, served in watches),
                       f"{RENEWALS} renewals", LIFETIME * (RENEWALS + 1))
        finally:
            for watch, _ in watches:
                self.assertGreater(watch.stop(), 10)
        took = time.monotonic() - began
        for pebble, server in pairs:
            self.assertNotIn(" acme.order.failed ", server.log())
            # Half of a lifetime under ten days is left when it is renewed; never more often than once in a third.
            self.assertLessEqual(pebble.orders_made(), 1 + took / (LIFETIME / 3))
            self.assertGreaterEqual(pebble.orders_made(), 1 + RENEWALS)
