"""curl at the HTTP listener: health, metrics, what is not there; in the clear and over https."""

import re
import ssl
import unittest

from mail_support import NAME, MailCase, run
from support import wait_until


class Http(MailCase):
    extra = """
[server.listener."http"]
bind = "127.0.0.1:0"
protocol = "http"
[server.listener."quiet"]
bind = "127.0.0.1:0"
protocol = "http"
metrics = false
[server.listener."https"]
bind = "127.0.0.1:0"
protocol = "http"
tls.implicit = true
[global.tracing]
level = "debug"
"""

    def get(self, listener, path, *args, scheme="http", host="127.0.0.1"):
        """(status, content type, body)"""
        done = self.curl("-w", "\n%{http_code} %{content_type}", *args,
                         f"{scheme}://{host}:{self.ports[listener]}{path}")
        body, _, last = done.out.decode().rpartition("\n")
        status, _, kind = last.partition(" ")
        return int(status), kind, body

    def test_health_is_told_and_what_is_not_there_is_404(self):
        self.assertEqual(self.get("http", "/healthz"), (200, "text/plain; charset=utf-8", "ok\n"))
        self.assertEqual(self.get("http", "/nothing")[0], 404)
        self.assertEqual(self.get("http", "/.well-known/acme-challenge/unknown")[0], 404)
        self.assertEqual(self.get("http", "/healthz", "-I")[0], 200)
        self.assertEqual(self.get("http", "/healthz", "-X", "DELETE")[0], 405)

    def test_metrics_tell_the_expiry_of_what_is_served_and_count_handshakes(self):
        def value(name, labels):
            status, kind, text = self.get("http", "/metrics")
            self.assertEqual((status, kind.split(";")[0]), (200, "text/plain"))
            found = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                     if line.startswith(name + "{") and labels in line]
            self.assertEqual(len(found), 1, text)
            return found[0]
        served = run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.ports['imaps']}", "-servername", NAME],
                     input=b"")
        ends = run(["openssl", "x509", "-noout", "-enddate"], input=served.out).out.decode()
        expiry = ssl.cert_time_to_seconds(ends.strip().partition("=")[2])
        self.assertEqual(value("postern_served_certificate_not_after_seconds", 'listener="imaps"'), expiry)
        # The server's own look at what it serves counts like any other connection; and that of above is over for the
        # server a little later than for its client.
        wait_until(lambda: "tls.probe.ok listener=imaps " in self.server.log(), "the server has looked itself")
        wait_until(lambda: self.server.listener("imaps")["connections"]["open"] == 0, "both looks are over")
        before = value("postern_handshakes_completed_total", 'listener="imaps"')
        accepted = value("postern_connections_accepted_total", 'listener="imaps"')
        self.imap(self.user()).logout()
        self.assertEqual(value("postern_handshakes_completed_total", 'listener="imaps"'), before + 1)
        self.assertEqual(value("postern_connections_accepted_total", 'listener="imaps"'), accepted + 1)

    def test_every_metric_is_announced_and_begins_with_the_servers_name(self):
        _, _, text = self.get("http", "/metrics")
        announced = set(re.findall(r"^# TYPE (\S+) (?:gauge|counter)$", text, re.M))
        samples = [line for line in text.splitlines() if not line.startswith("#")]
        self.assertTrue(samples)
        for line in samples:
            self.assertRegex(line, r"^postern_[a-z_]+(\{[^}]*\})? \S+$")
            self.assertIn(re.match(r"[a-z_]+", line).group(), announced)

    def test_metrics_are_not_there_where_they_are_switched_off(self):
        self.assertEqual(self.get("quiet", "/metrics")[0], 404)
        self.assertEqual(self.get("quiet", "/healthz")[0], 200)

    def test_https_is_verified_and_agrees_on_http_1_1(self):
        port = self.ports["https"]
        done = self.curl("-v", "--resolve", f"{NAME}:{port}:127.0.0.1", f"https://{NAME}:{port}/healthz")
        self.assertEqual(done.out, b"ok\n")
        self.assertIn("SSL certificate verify ok", done.text)
        self.assertIn("server accepted http/1.1", done.text)
        self.curl("--resolve", f"other.example.test:{port}:127.0.0.1", f"https://other.example.test:{port}/healthz",
                  code=60)  # the name does not match

    def test_a_kept_connection_answers_again(self):
        url = f"http://127.0.0.1:{self.ports['http']}"
        done = self.curl("-v", f"{url}/healthz", f"{url}/nothing", f"{url}/healthz")
        self.assertIn("Re-using existing connection", done.text)
        self.assertEqual(done.out.count(b"ok\n"), 2)


if __name__ == "__main__":
    unittest.main()
