"""Every way to answer a CA: HTTP-01 on a listener of the configuration and on one for that alone, both types for IP
addresses, DNS-01 by a hook program and by updates signed with TSIG, into zones of a real BIND."""

import http.client
import os
import socket

import support
from bind_peer import KEY_NAME, OTHER_SECRET, SECRET, Bind
from support import Pebble, acme_section, postern, wait_until


def config(acme, listeners="", hostname="imap.example.test"):
    return f"""
[server]
hostname = "mail.example.test"
[server.tls]
acme = "pebble"
[server.listener."imaps"]
bind = "127.0.0.1:0"
protocol = "imap"
hostname = "{hostname}"
tls.implicit = true
{listeners}
{acme}
"""


def web(port):
    return f'[server.listener."web"]\nbind = "127.0.0.1:{port}"\nprotocol = "http"\ntls.enable = false\n'


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result


class ResolvingThrough(Pebble):
    """A Pebble that asks a DNS server of ours."""

    def __init__(self, folder, bind, **options):
        self.bind = bind
        super().__init__(folder, **options)

    def start(self):
        self.dns, self.dns_port = self.bind, self.bind.port
        super().start()


class Http01(support.TestCase):
    def section(self, pebble, extra=""):
        return acme_section(pebble, self.folder,
                            extra=f'challenge = "http-01"\nhttp-port = {pebble.http_port}\n{extra}')

    def test_a_plain_http_listener_on_http_port_answers_beside_its_own_routes(self):
        pebble = self.pebble()
        server = self.server(config(self.section(pebble), web(pebble.http_port)))
        serial = server.await_certificate("imap.example.test")["serial"]
        self.assertEqual(server.served("imaps", "imap.example.test"), serial.lstrip("0"))
        self.assertEqual(get(pebble.http_port, "/healthz")[0], 200)
        self.assertEqual(get(pebble.http_port, "/.well-known/acme-challenge/none")[0], 404)
        self.assertNotIn("acme.challenge_port.open", server.log())

    def test_without_such_a_listener_a_challenge_only_one_opens_and_has_nothing_else_for_anybody(self):
        pebble = self.pebble()
        server = self.server(config(self.section(pebble)))
        server.await_certificate("imap.example.test")
        for path in ("/", "/healthz", "/metrics", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/none"):
            self.assertEqual(get(pebble.http_port, path)[0], 404, path)
        self.assertFalse(support.reachable(pebble.tls_port))  # no port for a type that is not wanted

    def test_a_port_that_is_taken_is_an_error_in_log_and_status_and_the_listeners_go_on(self):
        pebble = self.pebble()
        with socket.create_server(("127.0.0.1", pebble.http_port)):
            server = self.server(config(self.section(pebble)))
            error = next(one for one in server.status()["providers"] if one["name"] == "pebble")["last_error"]
            self.assertEqual(error["type"], "postern:challenge-port")
            self.assertIn(str(pebble.http_port), error["detail"])
            self.assertIn("http-01", error["detail"])
            self.assertIn("acme.challenge_port.failed", server.log())
            self.assertTrue(support.reachable(server.port("imaps")))

    def test_a_listener_on_http_port_that_cannot_answer_is_an_error_at_load(self):
        pebble = self.pebble()
        path = os.path.join(self.folder, "bad.toml")
        with open(path, "w") as file:
            file.write(config(self.section(pebble), f'[server.listener."web"]\nbind = "127.0.0.1:{pebble.http_port}"\n'
                                                    'protocol = "http"\ntls.implicit = true\n'))
        done = postern("check", "--config", path, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("HTTP-01", done.stdout + done.stderr)

    def test_check_says_what_the_ca_will_look_at_for_each_type(self):
        pebble = self.pebble()
        hook = os.path.join(self.folder, "hook")
        with open(hook, "w") as file:
            file.write("#!/bin/sh\n")
        os.chmod(hook, 0o755)
        path = os.path.join(self.folder, "good.toml")
        with open(path, "w") as file:
            file.write(config(acme_section(
                pebble, self.folder,
                extra=f'challenge = ["http-01", "dns-01"]\nhttp-port = {pebble.http_port}\ndns.provider = "hook"\n'
                      f'dns.hook = "{hook}"\ndomains = ["*.example.test"]\n')))
        said = postern("check", "--config", path).stdout
        self.assertIn(f"connect to port 80 of imap.example.test; it must reach 127.0.0.1:{pebble.http_port}\n", said)
        self.assertIn("look up TXT record _acme-challenge.imap.example.test\n", said)
        self.assertIn("look up TXT record _acme-challenge.example.test\n", said)


class IpIdentifiers(support.TestCase):
    def issued_for_the_address(self, pebble, extra):
        server = self.server(config(acme_section(pebble, self.folder, extra=extra), hostname="127.0.0.1"))
        server.await_certificate("127.0.0.1")
        with server.tls("imaps", "127.0.0.1", ca=pebble.roots()) as connection:  # the name and the chain are verified
            self.assertIn(("IP Address", "127.0.0.1"), connection.getpeercert()["subjectAltName"])

    def test_an_address_is_certified_by_http_01(self):
        pebble = self.pebble()
        self.issued_for_the_address(pebble, f'challenge = "http-01"\nhttp-port = {pebble.http_port}\n')

    def test_an_address_is_certified_by_tls_alpn_01(self):
        self.issued_for_the_address(self.pebble(), "")


class Dns01(support.TestCase):
    def bind(self, zones=("example.test",), **options):
        bind = Bind(os.path.join(self.folder, "bind"), list(zones), **options)
        self.addCleanup(bind.kill)
        return bind

    def resolving(self, bind):
        pebble = ResolvingThrough(os.path.join(self.folder, "pebble"), bind)
        self.addCleanup(pebble.stop)
        return pebble

    def section(self, pebble, bind, names, extra="", secret=SECRET, algorithm="hmac-sha256"):
        return acme_section(pebble, self.folder, extra=(
            f'challenge = "dns-01"\ndns.provider = "rfc2136-tsig"\ndns.server = "{bind.address}"\n'
            f'dns.key = "{KEY_NAME}"\n'
            f'dns.secret = "{secret}"\ndns.tsig-algorithm = "{algorithm}"\ndns.polling-interval = "100ms"\n'
            f'domains = [{names}]\n{extra}'))

    def await_no_record(self, bind, name):
        wait_until(lambda: not bind.dig(name, "TXT"), f"{name} has no TXT record any more")

    def test_a_name_and_its_wildcard_are_certified_together_by_signed_updates(self):
        bind = self.bind()
        pebble = self.resolving(bind)
        server = self.server(config(self.section(pebble, bind, '["example.test", "*.example.test"]')))
        server.await_certificate("example.test", "*.example.test")
        server.await_certificate("imap.example.test")
        with server.tls("imaps", "anything.example.test", ca=pebble.roots()) as connection:
            self.assertIn(("DNS", "*.example.test"), connection.getpeercert()["subjectAltName"])
        for name in ("_acme-challenge.example.test", "_acme-challenge.imap.example.test"):
            self.await_no_record(bind, name)
            self.assertIn(f"adding an RR at '{name}' TXT", bind.process.text())  # they were there
        self.assertIn("acme.dns.propagated", server.log())
        self.assertNotIn(SECRET, server.log())

    def test_every_algorithm_of_tsig_is_one_that_bind_takes(self):
        for algorithm in ("hmac-sha1", "hmac-sha224", "hmac-sha384", "hmac-sha512"):
            with self.subTest(algorithm):
                folder = os.path.join(self.folder, algorithm)
                bind = Bind(os.path.join(folder, "bind"), ["example.test"], algorithm=algorithm)
                self.addCleanup(bind.kill)
                pebble = ResolvingThrough(os.path.join(folder, "pebble"), bind)
                self.addCleanup(pebble.stop)
                server = self.server(config(acme_section(pebble, folder, extra=(
                    f'challenge = "dns-01"\ndns.provider = "rfc2136-tsig"\ndns.server = "{bind.address}"\n'
                    f'dns.key = "{KEY_NAME}"\ndns.secret = "{SECRET}"\ndns.tsig-algorithm = "{algorithm}"\n'
                    'dns.polling-interval = "100ms"\n'))), name="server-" + algorithm)
                server.await_certificate("imap.example.test")
                server.stop()

    def test_the_challenge_name_may_be_delegated_into_another_zone(self):
        bind = self.bind(("example.test", "acme.test"), writable=["acme.test"], recursion=True,
                         records={"example.test": ["_acme-challenge.imap IN CNAME imap.acme.test."]})
        pebble = self.resolving(bind)
        server = self.server(config(self.section(pebble, bind, "")))
        server.await_certificate("imap.example.test")
        self.await_no_record(bind, "imap.acme.test")
        self.assertIn("adding an RR at 'imap.acme.test' TXT", bind.process.text())
        self.assertNotIn("adding an RR at '_acme-challenge.imap.example.test'", bind.process.text())

    def test_a_wrong_key_and_a_zone_that_may_not_be_changed_are_clear_errors(self):
        bind = self.bind(("example.test", "other.test"), writable=["example.test"])
        pebble = self.resolving(bind)
        server = self.server(config(self.section(pebble, bind, "", secret=OTHER_SECRET)))
        error = server.await_certificate("imap.example.test", state="failing")["last_error"]
        self.assertEqual((error["type"], error["name"]), ("postern:dns", "imap.example.test"))
        for words in (bind.address, "zone example.test", "NOTAUTH", "BADSIG", "dns.secret"):
            self.assertIn(words, error["detail"])
        self.assertNotIn(OTHER_SECRET, server.log())
        server.write(config(self.section(pebble, bind, ""), hostname="imap.other.test"))
        server.command("reload")
        error = server.await_certificate("imap.other.test", state="failing")["last_error"]
        for words in ("zone other.test", "REFUSED", "update-policy"):
            self.assertIn(words, error["detail"])

    def test_the_record_is_removed_after_a_failed_validation_too(self):
        bind = self.bind()
        elsewhere = Bind(os.path.join(self.folder, "elsewhere"), ["example.test"])
        self.addCleanup(elsewhere.kill)
        pebble = self.resolving(elsewhere)  # the CA sees another DNS, without the record
        server = self.server(config(self.section(pebble, bind, "")))
        server.await_certificate("imap.example.test", state="failing")
        self.assertIn("adding an RR at '_acme-challenge.imap.example.test' TXT", bind.process.text())
        self.await_no_record(bind, "_acme-challenge.imap.example.test")

    def test_a_stop_in_mid_order_removes_the_record(self):
        # Its other name server never answers: the order waits for it until the server is told to stop.
        bind = self.bind(records={"example.test": ["@ IN NS lagging", "lagging IN A 127.0.0.99"]})
        pebble = self.resolving(bind)
        server = self.server(config(self.section(pebble, bind, "")))
        wait_until(lambda: bind.dig("_acme-challenge.imap.example.test", "TXT"), "the record is there")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(bind.dig("_acme-challenge.imap.example.test", "TXT"), [])

    def test_a_wildcard_is_certified_by_a_hook_program_whose_output_is_in_the_log(self):
        bind = self.bind()
        pebble = self.resolving(bind)
        hook = bind.hook(os.path.join(self.folder, "hook"))
        server = self.server(config(acme_section(pebble, self.folder, extra=(
            f'challenge = "dns-01"\ndns.provider = "hook"\ndns.hook = "{hook}"\ndns.server = "{bind.address}"\n'
            'dns.polling-interval = "100ms"\ndomains = ["*.example.test"]\n'))))
        server.await_certificate("*.example.test")
        server.await_certificate("imap.example.test")
        self.await_no_record(bind, "_acme-challenge.example.test")
        self.await_no_record(bind, "_acme-challenge.imap.example.test")
        with open(hook + ".calls") as file:
            calls = sorted(file.read().splitlines())
        self.assertEqual(calls, ["cleanup _acme-challenge.example.test", "cleanup _acme-challenge.imap.example.test",
                                 "present _acme-challenge.example.test", "present _acme-challenge.imap.example.test"])
        self.assertIn("about to present _acme-challenge.example.test", server.log())

    def test_a_hook_sets_records_at_the_challenge_test_server(self):
        pebble = self.pebble()
        api, hook = f"http://127.0.0.1:{pebble.dns_management_port}", os.path.join(self.folder, "hook")
        with open(hook, "w") as file:
            file.write(f"""#!/bin/sh
case $1 in
present) curl -sSf -X POST -d '{{"host": "'"$2."'", "value": "'"$3"'"}}' {api}/set-txt ;;
cleanup) curl -sSf -X POST -d '{{"host": "'"$2."'"}}' {api}/clear-txt ;;
esac && echo "$1 $2" >> '{hook}.calls'
""")
        os.chmod(hook, 0o755)
        server = self.server(config(acme_section(pebble, self.folder, extra=(
            f'challenge = "dns-01"\ndns.provider = "hook"\ndns.hook = "{hook}"\n'
            f'dns.server = "127.0.0.1:{pebble.dns_port}"\ndomains = ["*.example.test"]\n'
            'dns.polling-interval = "100ms"\n'))))
        server.await_certificate("*.example.test")
        server.await_certificate("imap.example.test")
        with server.tls("imaps", "imap.example.test", ca=pebble.roots()):
            pass

        def cleaned():
            with open(hook + ".calls") as file:
                return sorted(line for line in file.read().splitlines() if line.startswith("cleanup"))
        names = ["cleanup _acme-challenge.example.test", "cleanup _acme-challenge.imap.example.test"]
        wait_until(lambda: cleaned() == names, "both records are gone")

    def test_a_hook_that_fails_is_an_error_with_its_last_words(self):
        bind = self.bind()
        pebble = self.resolving(bind)
        hook = os.path.join(self.folder, "hook")
        with open(hook, "w") as file:
            file.write("#!/bin/sh\necho 'the zone is locked' >&2\nexit 7\n")
        os.chmod(hook, 0o755)
        server = self.server(config(acme_section(pebble, self.folder, extra=(
            f'challenge = "dns-01"\ndns.provider = "hook"\ndns.hook = "{hook}"\ndns.server = "{bind.address}"\n'))))
        error = server.await_certificate("imap.example.test", state="failing")["last_error"]
        self.assertEqual(error["type"], "postern:dns")
        self.assertIn("status 7", error["detail"])
        self.assertIn("the zone is locked", error["detail"])


# The same with a Pebble of at least 2.10.

class Http01AtTheNewer(Http01):
    binaries = property(lambda self: support.pebble_new.binaries())


class IpIdentifiersAtTheNewer(IpIdentifiers):
    binaries = property(lambda self: support.pebble_new.binaries())


if __name__ == "__main__":
    support.unittest.main()
