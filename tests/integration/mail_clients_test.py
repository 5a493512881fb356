"""What users send and read mail with: swaks, curl and mutt against the running server."""

import os
import pty
import re
import subprocess
import threading
import unittest

from mail_support import NAME, MailCase, message, run


class Swaks(MailCase):
    def swaks(self, listener, user, *args, code=0, recipient=None):
        return run(["swaks", "--server", "localhost", "--port", str(self.ports[listener]), "--helo", "client.test",
                    "--from", "out@elsewhere.test", "--to", recipient or user.address, "--header",
                    "Subject: from swaks", *args], code)

    def verified(self, *mode):
        return [*mode, "--tls-verify", "--tls-ca-path", self.ca, "--tls-sni", NAME]

    def test_a_message_delivered_over_starttls_lies_in_the_maildir_when_the_client_has_its_250(self):
        user = self.user()
        done = self.swaks("mx", user, *self.verified("--tls"))
        stored = self.stored(user)  # at once: nothing is waited for
        self.assertEqual(len(stored), 1)
        self.assertIn(b"\nSubject: from swaks\n", stored[0])
        self.assertRegex(stored[0].decode(), r"Received: from client\.test \(\[127\.0\.0\.1\]\)\n"
                                             r"\t\(using TLSv1\.[23] with cipher \S+\)\n"
                                             r"\tby mail\.example\.test with ESMTPS id ")
        self.assertTrue(stored[0].startswith(b"Return-Path: <out@elsewhere.test>\n"))
        self.assertRegex(done.text, r"<~  250 2\.0\.0 Ok: queued as")

    def test_a_message_in_the_clear_is_taken_by_the_mx(self):
        user = self.user()
        self.swaks("mx", user)
        self.assertIn(b" with ESMTP id ", self.stored(user)[0])

    def test_submissions_takes_a_message_after_auth_plain_and_after_auth_login(self):
        user = self.user()
        for mechanism in ("PLAIN", "LOGIN"):
            done = self.swaks("submissions", user, *self.verified("--tls-on-connect"), "--auth", mechanism,
                              "--auth-user", user.name, "--auth-password", user.password)
            self.assertIn(f"~> AUTH {mechanism}", done.text)
            self.assertIn("235 2.7.0", done.text)
        stored = self.stored(user)
        self.assertEqual(len(stored), 2)
        for one in stored:
            self.assertIn(b" with ESMTPSA id ", one)

    def test_submission_takes_a_message_after_starttls_and_auth(self):
        user = self.user()
        self.swaks("submission", user, *self.verified("--tls"), "--auth", "PLAIN", "--auth-user", user.name,
                   "--auth-password", user.password)
        self.assertEqual(len(self.stored(user)), 1)

    def test_submission_is_refused_without_auth_and_with_a_wrong_password(self):
        user = self.user()
        done = self.swaks("submissions", user, "--tls-on-connect", code=23)  # MAIL was refused
        self.assertIn("<~* 530 5.7.0", done.text)
        for mechanism in ("PLAIN", "LOGIN"):
            done = self.swaks("submissions", user, "--tls-on-connect", "--auth", mechanism, "--auth-user", user.name,
                              "--auth-password", "battery staple", code=28)  # AUTH was refused
            self.assertIn("<~* 535 5.7.8", done.text)
        self.assertEqual(self.stored(user), [])

    def test_auth_before_tls_is_neither_offered_nor_taken(self):
        user = self.user()
        done = self.swaks("submission", user, "--auth", "PLAIN", "--auth-user", user.name, "--auth-password",
                          user.password, code=28)
        self.assertNotIn("250-AUTH", done.text)
        self.assertNotIn("-> AUTH", done.text)  # swaks does not even try
        connection = self.raw("submission")
        stream = connection.makefile("rb")
        stream.readline()
        for mechanism in (b"PLAIN", b"LOGIN", b"PLAIN AHVzZXIAcGFzcw=="):
            connection.sendall(b"AUTH " + mechanism + b"\r\n")
            self.assertRegex(stream.readline(), rb"^530 5\.7\.0 ")  # no 334: a client would send its password
        self.assertEqual(self.stored(user), [])

    def test_the_mx_neither_offers_auth_nor_relays(self):
        user = self.user()
        self.assertNotIn("AUTH", self.swaks("mx", user, "--tls", "--quit-after", "HELO").text)
        done = self.swaks("mx", user, recipient="nobody@example.test", code=24)
        self.assertIn("<** 550 5.1.1", done.text)
        done = self.swaks("mx", user, recipient="somebody@elsewhere.test", code=24)
        self.assertIn("<** 550 5.7.1", done.text)

    def test_one_unknown_recipient_does_not_keep_the_message_from_the_others(self):
        one, two = self.user(), self.user()
        done = self.swaks("mx", one, recipient=f"{one.address},nobody@example.test,{two.address}")
        self.assertIn("550 5.1.1", done.text)
        self.assertEqual(self.stored(one), self.stored(two))
        self.assertEqual(len(self.stored(one)), 1)

    def test_pipelined_commands_are_answered_in_order(self):
        user = self.user()
        self.swaks("mx", user, "--pipeline")
        self.assertEqual(len(self.stored(user)), 1)


class Curl(MailCase):
    def credentials(self, user):
        return ["-u", f"{user.name}:{user.password}"]

    def test_mail_is_sent_by_smtps_with_a_login_and_read_back_by_imaps(self):
        user = self.user()
        content = message("from curl", b".dots\r\n..and more\r\n.\r\n\r\nthe end\r\n")
        path = self.write("message", content)
        for options in ([], ["--login-options", "AUTH=LOGIN"]):
            self.curl(f"smtps://localhost:{self.ports['submissions']}/client.test", *self.credentials(user), *options,
                      "--mail-from", user.address, "--mail-rcpt", user.address, "-T", path)
        for uid in (1, 2):
            read = self.curl(self.imap_url(f"INBOX;UID={uid}"), *self.credentials(user)).out
            self.assertTrue(read.endswith(content), read)
            self.assertTrue(read.startswith(b"Return-Path: <" + user.address.encode() + b">\r\n"), read)

    def test_starttls_serves_smtp_and_imap_as_well(self):
        user = self.user()
        path = self.write("message", message("upgraded"))
        self.curl(f"smtp://localhost:{self.ports['submission']}", "--ssl-reqd", *self.credentials(user), "--mail-from",
                  user.address, "--mail-rcpt", user.address, "-T", path)
        read = self.curl(f"imap://localhost:{self.ports['imap']}/INBOX;UID=1", "--ssl-reqd", *self.credentials(user))
        self.assertTrue(read.out.endswith(message("upgraded")))
        done = self.curl(f"imap://localhost:{self.ports['imap']}/", *self.credentials(user), code=67)  # login denied
        self.assertNotIn("LIST", done.text)

    def test_a_wrong_password_is_refused(self):
        user = self.user()
        self.curl(self.imap_url(), "-u", f"{user.name}:battery staple", code=67)
        self.curl(f"smtps://localhost:{self.ports['submissions']}", "-u", f"{user.name}:battery staple", "--mail-from",
                  user.address, "--mail-rcpt", user.address, "-T", self.write("message", message("no")), code=67)

    def test_mailboxes_are_created_listed_and_deleted(self):
        user = self.user()
        login = self.credentials(user)
        self.curl(self.imap_url(), *login, "-X", "CREATE Work.Reports")
        listed = self.curl(self.imap_url(), *login).out.decode()
        names = sorted(re.findall(r'\* LIST \([^)]*\) "\." "?([^"\r]+)"?\r\n', listed))
        self.assertEqual(names, ["INBOX", "Work", "Work.Reports"], listed)
        self.curl(self.imap_url(), *login, "-X", "DELETE Work.Reports")
        self.assertNotIn(b"Reports", self.curl(self.imap_url(), *login).out)

    def test_messages_are_fetched_by_uid_by_number_and_by_section(self):
        user = self.user()
        login = self.credentials(user)
        for subject in ("first", "second"):
            self.deliver(user, message(subject))
        self.assertIn(b"Subject: second\r\n", self.curl(self.imap_url("INBOX;MAILINDEX=2"), *login).out)
        self.assertIn(b"Subject: first\r\n", self.curl(self.imap_url("INBOX;UID=1"), *login).out)
        self.assertEqual(self.curl(self.imap_url("INBOX;UID=2;SECTION=TEXT"), *login).out, b"Hello.\r\n")
        self.assertEqual(self.curl(self.imap_url("INBOX;UID=2;SECTION=HEADER.FIELDS%20(SUBJECT)"), *login).out,
                         b"Subject: second\r\n\r\n")
        self.curl(self.imap_url("INBOX;UID=7"), *login, code=78)  # no such message

    def test_an_appended_message_is_found_by_search_and_gone_after_expunge(self):
        user = self.user()
        login = self.credentials(user)
        for subject in ("a needle", "some hay", "more hay"):
            self.curl(self.imap_url("INBOX"), *login, "-T", self.write("message", message(subject)))
        search = lambda keys: self.curl(self.imap_url("INBOX"), *login, "-X", "SEARCH " + keys).out.split()[2:]
        self.assertEqual(search("SUBJECT needle"), [b"1"])
        self.assertEqual(search("NOT SUBJECT needle"), [b"2", b"3"])
        self.assertEqual(self.curl(self.imap_url("INBOX?SUBJECT%20hay"), *login).out, b"* SEARCH 2 3\r\n")
        self.assertEqual(self.curl(self.imap_url("INBOX;UID=1"), *login).out, message("a needle"))
        self.curl(self.imap_url("INBOX"), *login, "-X", r"STORE 1 +FLAGS.SILENT (\Deleted)")
        self.assertEqual(search("DELETED"), [b"1"])
        expunged = self.curl(self.imap_url("INBOX"), *login, "-X", "EXPUNGE").out
        self.assertIn(b"* 1 EXPUNGE", expunged)
        self.assertEqual(search("ALL"), [b"1", b"2"])
        self.assertEqual(len(self.stored(user)), 2)

    def test_an_appended_ten_megabyte_message_comes_back_as_it_was(self):
        user = self.user()
        line = bytes(range(33, 127)).replace(b".", b"_") + b"\r\n"
        content = message("large", line * (10_000_000 // len(line)))
        self.curl(self.imap_url("INBOX"), *self.credentials(user), "-T", self.write("message", content))
        self.assertEqual(self.curl(self.imap_url("INBOX;UID=1"), *self.credentials(user)).out, content)

    def test_a_message_whose_announced_size_is_over_the_limit_is_refused_before_it_is_sent(self):
        user = self.user()
        path = self.scratch("huge")
        with open(path, "wb") as file:
            file.truncate(51 << 20)
        done = self.curl(f"smtp://localhost:{self.ports['mx']}", "--ssl-reqd", "-v", "--mail-from",
                         "out@elsewhere.test", "--mail-rcpt", user.address, "-T", path, code=55)
        self.assertIn("552 5.3.4", done.text)
        self.assertNotIn("> DATA", done.text)


class Mutt(MailCase):
    def configuration(self, user):
        return self.write("muttrc", f"""
set folder = "{self.scratch('.')}"
set from = "{user.address}"
set realname = "The User"
set ssl_ca_certificates_file = "{self.ca}"
set ssl_starttls = yes
set imap_user = "{user.name}"
set imap_pass = "{user.password}"
set smtp_url = "smtps://{user.name}@localhost:{self.ports['submissions']}/"
set smtp_pass = "{user.password}"
set record = ""
set mbox_type = mbox
set confirmcreate = no
set confirmappend = no
set delete = yes
set quit = yes
set imap_check_subscribed = no
set wait_key = no
""")

    def mutt(self, *args, **options):
        return run(["mutt", "-n", "-F", *args], env={**os.environ, "HOME": self.scratch(".")}, **options)

    def on_a_terminal(self, *args):
        """Runs mutt on a terminal of its own; returns all it has drawn."""
        master, slave = pty.openpty()
        drawn = bytearray()

        def drain():
            try:
                while piece := os.read(master, 65536):
                    drawn.extend(piece)
            except OSError:
                pass  # the other end is closed

        child = subprocess.Popen(["mutt", "-n", "-F", *args], stdin=slave, stdout=slave, stderr=slave,
                                 env={**os.environ, "HOME": self.scratch("."), "TERM": "vt100"}, start_new_session=True)
        os.close(slave)
        reader = threading.Thread(target=drain)
        reader.start()
        try:
            status = child.wait(120)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise AssertionError(f"mutt did not end: {bytes(drawn)!r}")
        finally:
            reader.join()
            os.close(master)
        self.assertEqual(status, 0, bytes(drawn))
        return bytes(drawn)

    def test_a_message_sent_by_smtps_arrives(self):
        user = self.user()
        self.mutt(self.configuration(user), "-s", "Grüße", user.address, input="From mutt.\n".encode())
        stored = self.stored(user)[0]
        self.assertIn(b"\n\nFrom mutt.\n", stored)
        self.assertIn(b" with ESMTPSA id ", stored)

    def test_a_message_is_read_copied_out_and_deleted_in_an_imap_mailbox(self):
        user = self.user()
        for subject in ("keep", "copy"):
            self.deliver(user, message(subject))
        self.on_a_terminal(self.configuration(user), "-f", f"imaps://{user.name}@localhost:{self.ports['imaps']}/INBOX",
                           "-e", f"push \"<limit>~s copy<enter><display-message><exit><copy-message>"
                                 f"<kill-line>{self.scratch('out')}<enter><delete-message><limit>all<enter><quit>\"")
        with open(self.scratch("out"), "rb") as file:
            self.assertIn(b"Subject: copy\n", file.read())
        remaining = self.fetched(user)
        self.assertEqual(len(remaining), 1)
        self.assertIn(b"Subject: keep\r\n", remaining[0])


if __name__ == "__main__":
    unittest.main()
