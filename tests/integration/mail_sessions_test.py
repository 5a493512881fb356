"""Sessions of SMTP and IMAP at closer range: what arrives byte by byte, IDLE, two sessions at once, many messages."""

import base64
import email.message
import email.policy
import imaplib
import re
import smtplib
import time
import unittest

import support
from mail_support import NAME, MailCase, message, reply

LIMIT = 50 << 20  # what SIZE announces


class Delivery(MailCase):
    def test_utf8_and_eight_bit_content_arrive_byte_for_byte(self):
        user = self.user()
        body = ("Grüße aus Köln, 東京\r\n..\r\n.\r\n. \r\n\t tabs and trailing blanks \t \r\n\r\n\r\n" + "ж" * 400 +
                "\r\n").encode()
        body += bytes(byte for byte in range(1, 256) if byte not in b"\r\n") + b"\r\n"
        content = message("Grüße", body, sender="jürgen@elsewhere.test")
        with smtplib.SMTP("127.0.0.1", self.ports["mx"], timeout=60) as client:
            client.starttls(context=support.client_context())
            client.ehlo("client.test")
            self.assertTrue(client.has_extn("SMTPUTF8") and client.has_extn("8BITMIME"))
            client.sendmail("jürgen@elsewhere.test", [user.address], content,
                            mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        read = self.fetched(user)[0]
        self.assertTrue(read.endswith(b"\r\n" + content), read)
        trace = read[:-len(content)].decode()
        self.assertRegex(trace, r"^Return-Path: <jürgen@elsewhere\.test>\r\nReceived: from client\.test ")
        self.assertIn(" with UTF8SMTPS id ", trace)
        self.assertTrue(all(line.startswith(("Return-Path:", "Received:", "\t")) for line in trace.splitlines()), trace)

    def test_text_without_a_header_is_the_body_of_its_message(self):
        user = self.user()
        self.deliver(user, b"Dear User,\r\nthis came from a script.\r\n")
        client = self.imap(user)
        client.select()
        self.assertEqual(client.fetch("1", "(BODY.PEEK[TEXT])")[1][0][1], b"Dear User,\r\nthis came from a script.\r\n")

    def test_ten_megabytes_arrive_byte_for_byte(self):
        user = self.user()
        lines = [b"%08d " % number + b"." * (number % 70) + b"\r\n" for number in range(230_000)]
        content = message("large", b"".join(lines))
        self.assertGreater(len(content), 10_000_000)
        self.deliver(user, content)
        self.assertTrue(self.fetched(user)[0].endswith(b"\r\n" + content))

    def test_a_message_that_turns_out_larger_than_the_limit_is_refused_and_the_session_goes_on(self):
        user = self.user()
        connection = self.raw("mx")
        stream = connection.makefile("rb")

        def say(line):
            connection.sendall(line + b"\r\n")
            return reply(stream)
        reply(stream)
        self.assertIn(f"250-SIZE {LIMIT}\r\n", say(b"EHLO client.test"))
        self.assertIn("552 5.3.4", say(b"MAIL FROM:<out@elsewhere.test> SIZE=%d" % (LIMIT + 1)))
        say(b"MAIL FROM:<out@elsewhere.test>")
        say(b"RCPT TO:<" + user.address.encode() + b">")
        self.assertIn("354", say(b"DATA"))
        piece = (b"x" * 98 + b"\r\n") * 10_000
        for _ in range(LIMIT // len(piece) + 1):
            connection.sendall(piece)
        self.assertIn("552 5.3.4", say(b"."))
        self.assertEqual(self.stored(user), [])
        self.assertIn("221", say(b"QUIT"))

    def test_bare_line_feeds_end_no_message_and_are_refused(self):
        user = self.user()
        connection = self.raw("mx")
        stream = connection.makefile("rb")
        recipient = user.address.encode()
        reply(stream)
        for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r"):
            connection.sendall(b"HELO client.test\r\nMAIL FROM:<out@elsewhere.test>\r\nRCPT TO:<" + recipient +
                               b">\r\nDATA\r\n")
            for code in ("250", "250", "250", "354"):
                self.assertTrue(reply(stream).startswith(code))
            connection.sendall(b"Subject: a\r\n\r\nfirst" + end + b"MAIL FROM:<smuggled@elsewhere.test>\r\nRCPT TO:<" +
                               recipient + b">\r\nDATA\r\nsecond\r\n.\r\n")
            self.assertTrue(reply(stream).startswith("550 5.6.11"))  # one answer for all of it
            connection.sendall(b"NOOP\r\n")
            self.assertTrue(reply(stream).startswith("250 2.0.0"))
        self.assertEqual(self.stored(user), [])

    def test_a_thousand_messages_are_delivered_and_listed(self):
        user = self.user()
        with smtplib.SMTP("127.0.0.1", self.ports["mx"], timeout=60) as client:
            for number in range(1000):
                client.sendmail("out@elsewhere.test", [user.address], message(f"number {number}"))
        client = self.imap(user)
        self.assertEqual(client.select()[1], [b"1000"])
        _, found = client.uid("SEARCH", "ALL")
        self.assertEqual(found[0].split(), [str(uid).encode() for uid in range(1, 1001)])
        _, answer = client.fetch("1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        subjects = [part[1].strip() for part in answer if isinstance(part, tuple)]
        self.assertEqual(subjects, [f"Subject: number {number}".encode() for number in range(1000)])
        self.assertEqual(client.search(None, 'SUBJECT "number 999"')[1], [b"1000"])


class Reading(MailCase):
    def test_an_idling_session_is_told_of_mail_as_it_arrives(self):
        user = self.user()
        client = self.imap(user)
        client.select()
        for number in (1, 2):  # twice in one IDLE
            if number == 1:
                tag = client._new_tag()
                client.send(tag + b" IDLE\r\n")
                self.assertTrue(client.readline().startswith(b"+"))
            self.deliver(user, message(f"arrival {number}"))
            while not (line := client.readline()).endswith(b"EXISTS\r\n"):
                self.assertTrue(line.startswith(b"* "), line)
            self.assertEqual(line, b"* %d EXISTS\r\n" % number)
        client.send(b"DONE\r\n")
        while not (line := client.readline()).startswith(tag):
            self.assertTrue(line)
        self.assertIn(b" OK ", line)
        self.assertEqual(client.search(None, "ALL")[1], [b"1 2"])

    def test_an_appended_message_keeps_its_flags_its_date_and_its_bytes(self):
        user = self.user()
        client = self.imap(user)
        content = message("appended", "Ünïcode\r\n".encode())
        at = 1_000_000_000
        status, answer = client.append("INBOX", r"(\Seen \Flagged \Draft)", imaplib.Time2Internaldate(at), content)
        self.assertEqual(status, "OK")
        validity, uid = re.search(rb"APPENDUID (\d+) (\d+)", answer[0]).groups()
        client.select()
        self.assertEqual(client.response("UIDVALIDITY")[1], [validity])
        _, answer = client.uid("FETCH", uid.decode(), "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
        first, body = answer[0]
        self.assertEqual(body, content)
        self.assertEqual(set(imaplib.ParseFlags(first)) - {rb"\Recent"}, {rb"\Seen", rb"\Flagged", rb"\Draft"})
        self.assertEqual(time.mktime(imaplib.Internaldate2tuple(first)), at)
        self.assertIn(b"RFC822.SIZE %d" % len(content), first)
        status, answer = client.append("Nowhere", None, None, content)
        self.assertEqual(status, "NO")
        self.assertIn(b"TRYCREATE", answer[0])

    def test_messages_are_copied_and_moved_with_their_flags(self):
        user = self.user()
        client = self.imap(user)
        for subject in ("stays", "copied", "moved"):
            client.append("INBOX", r"(\Flagged)", None, message(subject))
        client.create("Archive")
        client.select()
        status, answer = client.copy("2", "Archive")
        self.assertEqual(status, "OK")
        self.assertRegex(answer[0], rb"COPYUID \d+ 2 1\]")
        self.assertIn(b" MOVE", client.capability()[1][0])
        status, answer = client.uid("MOVE", "3", "Archive")
        self.assertEqual(status, "OK")
        self.assertEqual(client.response("EXPUNGE")[1], [b"3"])
        self.assertEqual(client.search(None, "ALL")[1], [b"1 2"])
        client.select("Archive")
        _, answer = client.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        parts = [part for part in answer if isinstance(part, tuple)]
        self.assertEqual([part[1].strip() for part in parts], [b"Subject: copied", b"Subject: moved"])
        for part in parts:
            self.assertIn(rb"\Flagged", part[0])
        status, answer = client.copy("1", "Nowhere")
        self.assertEqual(status, "NO")
        self.assertIn(b"TRYCREATE", answer[0])

    def test_the_structure_of_a_multipart_message_and_its_parts_agree(self):
        user = self.user()
        made = email.message.EmailMessage()
        made["From"], made["To"], made["Subject"] = "out@elsewhere.test", user.address, "parts"
        made.set_content("The text.\n")
        made.add_alternative("<p>The text.</p>\n", subtype="html")
        made.add_attachment(bytes(range(256)) * 4, maintype="application", subtype="octet-stream",
                            filename="all bytes.bin")
        self.deliver(user, made.as_bytes(policy=email.policy.SMTP))
        client = self.imap(user)
        client.select()
        structure = parsed(client.fetch("1", "(BODYSTRUCTURE)")[1][0].partition(b"BODYSTRUCTURE ")[2].decode())
        alternative, attachment, kind = structure[:3]
        self.assertEqual(kind.lower(), "mixed")
        self.assertEqual(alternative[2].lower(), "alternative")
        plain, html = alternative[:2]
        self.assertEqual([part.lower() for part in plain[:2] + html[:2]], ["text", "plain", "text", "html"])
        self.assertEqual((plain[2][0].lower(), plain[2][1], plain[5].lower()), ("charset", "utf-8", "7bit"))
        self.assertEqual(plain[6:8], ["11", "1"])  # octets ("The text.", CRLF being one line) and lines
        self.assertEqual([part.lower() for part in attachment[:2]], ["application", "octet-stream"])
        self.assertEqual(attachment[5].lower(), "base64")
        disposition = next(part for part in attachment if isinstance(part, list) and part[0].lower() == "attachment")
        self.assertEqual(disposition[1], ["filename", "all bytes.bin"])

        def section(number):
            return client.fetch("1", f"(BODY.PEEK[{number}])")[1][0][1]
        self.assertEqual(section("1.1"), b"The text.\r\n")
        self.assertEqual(section("1.2"), b"<p>The text.</p>\r\n")
        self.assertEqual(len(section("2")), int(attachment[6]))
        self.assertEqual(base64.b64decode(section("2")), bytes(range(256)) * 4)
        self.assertIn(b"filename=\"all bytes.bin\"", section("2.MIME"))
        self.assertEqual(client.fetch("1", "(BODY.PEEK[1.1]<4.4>)")[1][0][1], b"text")
        self.assertEqual(client.search(None, "UNSEEN")[1], [b"1"])  # nothing of this was reading it
        client.fetch("1", "(BODY[1.1])")
        self.assertEqual(client.search(None, "UNSEEN")[1], [b""])

    def test_two_sessions_on_one_mailbox_see_each_others_changes(self):
        user = self.user()
        for subject in ("one", "two", "three"):
            self.deliver(user, message(subject))
        first, second = self.imap(user), self.imap(user)
        first.select()
        second.select()
        first.store("1", "+FLAGS", r"(\Answered)")
        second.noop()
        flags = second.response("FETCH")[1]
        self.assertEqual(len(flags), 1)
        self.assertRegex(flags[0], rb"^1 \(.*\\Answered")
        second.store("2", "+FLAGS", r"(\Deleted)")
        second.expunge()
        # RFC 3501 section 7.4.1: numbers stay while FETCH is answered, and the message that is gone is not there.
        status, answer = first.fetch("3", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        self.assertEqual((status, answer[0][1].strip()), ("OK", b"Subject: three"))
        first.noop()
        self.assertEqual(first.response("EXPUNGE")[1], [b"2"])
        for client in (first, second):
            client.append("INBOX", None, None, message("from either"))
        for client in (first, second):
            client.noop()
            self.assertEqual(client.uid("SEARCH", "ALL")[1], [b"1 3 4 5"])
        self.assertEqual(first.fetch("1:*", "(FLAGS UID)")[0], "OK")


class Injection(MailCase):
    def upgraded(self, connection):
        return support.client_context(self.ca).wrap_socket(connection, server_hostname=NAME)

    def test_what_is_pipelined_behind_smtps_starttls_is_never_answered(self):
        for listener in ("mx", "submission"):
            connection = self.raw(listener)
            stream = connection.makefile("rb")
            reply(stream)
            connection.sendall(b"EHLO before.test\r\n")
            self.assertIn("STARTTLS", reply(stream))
            connection.sendall(b"STARTTLS\r\nNOOP\r\nMAIL FROM:<injected@elsewhere.test>\r\n")
            self.assertTrue(reply(stream).startswith("220 "))
            with self.upgraded(connection) as encrypted:
                # The greeting of before is forgotten, and so are the commands.
                encrypted.sendall(b"MAIL FROM:<out@elsewhere.test>\r\nEHLO after.test\r\nQUIT\r\n")
                secret = encrypted.makefile("rb")
                self.assertRegex(reply(secret), "^503 5.5.1 Send EHLO|^530 5.7.0 Auth")
                hello = reply(secret)
                self.assertTrue(hello.startswith(f"250-{NAME}"), hello)
                self.assertNotIn("STARTTLS", hello)
                self.assertTrue(reply(secret).startswith("221 "))
                self.assertEqual(secret.read(), b"")

    def test_what_is_pipelined_behind_imaps_starttls_is_never_answered(self):
        user = self.user()
        connection = self.raw("imap")
        stream = connection.makefile("rb")
        self.assertIn(b"LOGINDISABLED", stream.readline())
        connection.sendall(b"a STARTTLS\r\nb NOOP\r\nc LOGIN " + user.name.encode() + b' "' + user.password.encode() +
                           b'"\r\n')
        self.assertTrue(stream.readline().startswith(b"a OK "))
        with self.upgraded(connection) as encrypted:
            encrypted.sendall(b"d SELECT INBOX\r\ne CAPABILITY\r\nf LOGOUT\r\n")
            said = encrypted.makefile("rb").read()
        self.assertNotRegex(said, rb"(?m)^[bc] ")
        self.assertRegex(said, rb"(?m)^d BAD ")  # not logged in
        self.assertRegex(said, rb"(?m)^\* CAPABILITY .*AUTH=PLAIN")
        self.assertNotRegex(said, rb"STARTTLS|LOGINDISABLED")

    def test_a_password_before_starttls_is_refused_by_imap_without_a_continuation(self):
        user = self.user()
        connection = self.raw("imap")
        stream = connection.makefile("rb")
        stream.readline()
        for command in (f'LOGIN {user.name} "{user.password}"', f"LOGIN {user.name} {{{len(user.password)}}}",
                        "AUTHENTICATE PLAIN"):
            connection.sendall(b"a " + command.encode() + b"\r\n")
            self.assertTrue(stream.readline().startswith(b"a NO [PRIVACYREQUIRED]"))

    def test_http_spoken_to_a_mail_port_is_answered_with_nothing_of_its_own(self):
        for listener in ("mx", "imap"):
            connection = self.raw(listener)
            stream = connection.makefile("rb")
            greeting = stream.readline()
            connection.sendall(b"POST /canary HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nNOOP\r\n")
            self.assertEqual(stream.read(), b"", greeting)


def parsed(text):
    """A parenthesized list of IMAP as nested lists; NIL is None."""
    stack = [[]]
    for quoted, atom, bracket in re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s()"]+)|([()])', text):
        if bracket == "(":
            stack.append([])
        elif bracket == ")":
            inner = stack.pop()
            stack[-1].append(inner)
            if len(stack) == 1:
                break
        else:
            stack[-1].append(None if atom == "NIL" else atom or quoted)
    return stack[0][0]


if __name__ == "__main__":
    unittest.main()
