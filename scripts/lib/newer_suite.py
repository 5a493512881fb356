"""Packages of a newer Debian suite than the machine's own, unpacked under build/peers/ and never installed.

fetch() takes them with apt from the machine's own mirror, checked by the machine's own keyring. apt works in a state
folder of its own there, so the machine's package lists stay as they are; no rights are needed. Callers at the same time
wait for the one that fetches.
"""

import fcntl
import glob
import os
import re
import shutil
import subprocess

from peers import PEERS

QUIETLY = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


class Unavailable(Exception):
    """No such packages can be had; the words say what was tried."""


def fetch(peer, packages, at_least, suites, try_out):
    """The folder build/peers/<peer>-<version> with the files of `packages` as they would lie below /.

    The version is that of the first package, which must be `at_least` that one; the others come from the same suite, the
    first of `suites` that has it. try_out(folder) raises where what was unpacked does not run. Raises Unavailable.
    """
    there = _unpacked(peer, at_least)
    if there:
        return there
    os.makedirs(PEERS, exist_ok=True)
    with open(os.path.join(PEERS, peer + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _unpacked(peer, at_least) or _fetched(peer, packages, at_least, suites, try_out)


def _is_new_enough(version, at_least):
    return subprocess.run(["dpkg", "--compare-versions", version, "ge", at_least]).returncode == 0


def _unpacked(peer, at_least):
    for folder in sorted(glob.glob(os.path.join(PEERS, peer + "-[0-9]*")), reverse=True):
        if _is_new_enough(os.path.basename(folder)[len(peer) + 1:], at_least):
            return os.path.realpath(folder)
    return None


def _debian_sources():
    """(URI, keyring or "") of each source of this machine that holds its Debian release."""
    with open("/etc/os-release") as file:
        release = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
    codename = release.get("VERSION_CODENAME", "bookworm").strip('"')
    sources = []
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        with open(path) as file:
            text = re.sub(r"(?m)^#.*\n", "", file.read())
        for stanza in re.split(r"\n\s*\n", text):
            fields = {key.lower(): value.strip() for key, value in re.findall(r"(?m)^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza)}
            if "deb" in fields.get("types", "").split() and codename in fields.get("suites", "").split():
                keyring = fields.get("signed-by", "")
                sources += [(uri, keyring if keyring.startswith("/") else "") for uri in fields.get("uris", "").split()]
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*.list"))]:
        if not os.path.exists(path):
            continue
        with open(path) as file:
            for line in file:
                found = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+main\b", line)
                if found and found[3] == codename:
                    keyring = re.search(r"signed-by=(/\S+)", found[1] or "")
                    sources.append((found[2], keyring[1] if keyring else ""))
    return sources


class _Apt:
    """apt with one suite of one mirror, and a state of its own in `state`."""

    def __init__(self, state, uri, keyring, suite):
        self.downloads = os.path.join(state, "download")
        shutil.rmtree(self.downloads, ignore_errors=True)
        for folder in ("lists/partial", "cache/archives/partial", "download"):
            os.makedirs(os.path.join(state, folder), exist_ok=True)
        open(os.path.join(state, "status"), "a").close()
        with open(os.path.join(state, "sources.list"), "w") as file:
            file.write(f"deb {f'[signed-by={keyring}] ' if keyring else ''}{uri} {suite} main\n")
        self.options = [option for name, value in {
            "Dir::Etc::sourcelist": f"{state}/sources.list", "Dir::Etc::sourceparts": "-", "Dir::State": state,
            "Dir::State::lists": f"{state}/lists", "Dir::State::status": f"{state}/status",
            "Dir::Cache": f"{state}/cache", "Acquire::Languages": "none", "APT::Sandbox::User": "root",
            "Acquire::Retries": "3",
        }.items() for option in ("-o", f"{name}={value}")]

    def run(self, program, *args):
        return subprocess.run([program, *self.options, *args], capture_output=True, text=True, timeout=300,
                              cwd=self.downloads, env={**os.environ, **QUIETLY})

    def versions(self, package):
        """(its versions, newest first; what apt complained of)"""
        update = self.run("apt-get", "-q", "update")
        listed = self.run("apt-cache", "madison", package).stdout.splitlines()
        return [line.split("|")[1].strip() for line in listed if line.count("|") == 2], update.stderr.strip()

    def download(self, packages):
        """(the files, one for each package; what went wrong)"""
        done = self.run("apt-get", "-q", "download", *packages)
        files = glob.glob(os.path.join(self.downloads, "*.deb"))
        return (files, "") if done.returncode == 0 and len(files) == len(packages) else ([], done.stderr.strip())


def _fetched(peer, packages, at_least, suites, try_out):
    state = os.path.realpath(os.path.join(PEERS, "apt-" + peer))
    tried = []
    for uri, keyring in _debian_sources():
        for suite in suites:
            apt = _Apt(state, uri, keyring, suite)
            versions, complaint = apt.versions(packages[0])
            version = next((one for one in versions if _is_new_enough(one, at_least)), None)
            if not version:
                tried.append(f"{uri} {suite}: " + (f"has {', '.join(versions)}" if versions else complaint or "has none"))
                continue
            files, complaint = apt.download([f"{packages[0]}={version}", *packages[1:]])
            if not files:
                tried.append(f"{uri} {suite}: {complaint}")
                continue
            # Renamed once it is whole, so that a folder with the name is always good.
            whole, unpacked = os.path.join(PEERS, f"{peer}-{version}"), os.path.join(PEERS, f".{peer}.unpacking")
            shutil.rmtree(unpacked, ignore_errors=True)
            for file in files:
                subprocess.run(["dpkg-deb", "-x", file, unpacked], check=True)
            try_out(unpacked)
            os.rename(unpacked, whole)
            shutil.rmtree(state)
            return os.path.realpath(whole)
    raise Unavailable(f"no {packages[0]} of at least {at_least} can be had: " +
                      ("; ".join(tried) or "apt knows no Debian mirror on this machine"))
