#!/usr/bin/env python3
"""The arrows between the rooms: compares every #include of the tree with the table below.

docs/architecture.md explains the table; cmake's postern_room(LINKS ...) builds by it.
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# room -> rooms it may include (itself is always allowed)
ARROWS = {
    "base": set(),
    "tls": {"base"},
    "acme": {"tls", "base"},
    "listeners": {"tls", "base"},
    "config": {"base"},
    "server": {"config", "listeners", "acme", "tls", "base"},
}
# Headers of plain values, which config/ fills. They include nothing of the project but base/.
VALUE_HEADERS = {
    "acme/provider.h",
    "tls/policy.h",
    "listeners/settings.h",
    "listeners/mail/accounts.h",
}
# Libraries that stay behind few doors: header -> how many source files may include it.
HIDDEN = {
    r"json/.*|jsoncpp.*": 1,
    r"toml\.hpp|toml11/.*|toml/.*": 2,
}
# header -> rooms that may know the library
ROOMS_OF = {
    r"event2/.*|gmime/.*|http_parser\.h": {"listeners"},
    r"curl/.*": {"acme"},
    r"openssl/.*": {"tls", "acme", "listeners", "server"},
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources():
    for room in ARROWS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".h", ".cc"):
                yield room, path.relative_to(ROOT).as_posix()


def includes(file):
    """(bracket, header) of each #include in the file."""
    return INCLUDE.findall((ROOT / file).read_text(encoding="utf-8"))


def wrong_include(room, file, bracket, header):
    """What is wrong with this #include, or nothing."""
    target = header.split("/")[0]
    if bracket == "<":
        if target in ARROWS and (ROOT / header).exists():
            return "includes %s with angle brackets; the project's headers take quotes" % header
        return None
    if target not in ARROWS or not (ROOT / header).is_file():
        return 'includes "%s", which is no header of a room; write the path from the root' % header
    if target == room or target in ARROWS[room]:
        return None
    if room == "config" and header in VALUE_HEADERS:
        return None
    return "includes %s: there is no arrow from %s to %s" % (header, room, target)


class Architecture(unittest.TestCase):
    def test_every_include_follows_an_arrow(self):
        problems = []
        for room, file in sources():
            for bracket, header in includes(file):
                problem = wrong_include(room, file, bracket, header)
                if problem:
                    problems.append("%s %s" % (file, problem))
        self.assertEqual([], problems)

    def test_every_room_was_looked_at(self):
        seen = {room for room, file in sources() if any(True for _ in includes(file))}
        self.assertEqual(set(ARROWS), seen)

    def test_forbidden_includes_are_found(self):
        self.assertIsNotNone(wrong_include("base", "base/x.cc", '"', "tls/policy.h"))
        self.assertIsNotNone(wrong_include("acme", "acme/x.cc", '"', "listeners/settings.h"))
        self.assertIsNotNone(wrong_include("config", "config/x.cc", '"', "tls/server_context.h"))
        self.assertIsNotNone(wrong_include("tls", "tls/x.cc", '"', "policy.h"))
        self.assertIsNone(wrong_include("config", "config/x.cc", '"', "tls/policy.h"))
        self.assertIsNone(wrong_include("server", "server/x.cc", '"', "acme/manager.h"))

    def test_value_headers_include_nothing_of_the_project_but_base(self):
        for file in sorted(VALUE_HEADERS):
            ours = [header for bracket, header in includes(file) if bracket == '"']
            self.assertEqual([], [header for header in ours if not header.startswith("base/")], file)

    def test_value_headers_include_no_library(self):
        for file in sorted(VALUE_HEADERS):
            libraries = [header for bracket, header in includes(file) if bracket == "<" and "/" in header]
            self.assertEqual([], [header for header in libraries if not header.startswith(("sys/", "netinet/", "arpa/"))], file)

    def test_hidden_libraries_stay_behind_their_doors(self):
        for pattern, most in HIDDEN.items():
            users = [
                file
                for _, file in sources()
                if any(bracket == "<" and re.fullmatch(pattern, header) for bracket, header in includes(file))
            ]
            self.assertLessEqual(len(users), most, "%s is included by %s" % (pattern, users))
            self.assertEqual([], [file for file in users if not file.endswith(".cc")], pattern)

    def test_libraries_stay_in_their_rooms(self):
        for pattern, allowed in ROOMS_OF.items():
            strangers = [
                file
                for room, file in sources()
                if room not in allowed
                and any(bracket == "<" and re.fullmatch(pattern, header) for bracket, header in includes(file))
            ]
            self.assertEqual([], strangers, pattern)

    def test_no_source_file_is_longer_than_five_hundred_lines(self):
        longest = 500
        too_long = [file for _, file in sources() if (ROOT / file).read_text(encoding="utf-8").count("\n") > longest]
        self.assertEqual([], too_long)


if __name__ == "__main__":
    sys.exit(unittest.main())
