"""A Pebble of at least 2.10 beside the one of Debian 12 (2.4), which knows neither renewal information nor profiles.

binaries() gives the folder of its `pebble` and `pebble-challtestsrv`: fetched with apt from a newer Debian suite of the
machine's own mirror, checked by the machine's own keyring, unpacked under build/peers/ and never installed. apt works in
a state folder of its own there, so the machine's package lists stay as they are; no rights are needed. Callers at the
same time wait for the one that fetches.
"""

import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "peers")
AT_LEAST = "2.10"
SUITES = ("forky", "sid", "trixie-backports")  # in this order, until one has it
QUIETLY = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


class Unavailable(Exception):
    """No such Pebble can be had; the words say what was tried."""


def binaries():
    """The folder that holds the binaries, fetched at the first call. Raises Unavailable."""
    there = _unpacked()
    if there:
        return there
    os.makedirs(PEERS, exist_ok=True)
    with open(os.path.join(PEERS, "pebble.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _unpacked() or _fetched()


def _is_new_enough(version):
    compared = subprocess.run(["dpkg", "--compare-versions", version, "ge", AT_LEAST])
    return compared.returncode == 0


def _unpacked():
    for program in sorted(glob.glob(os.path.join(PEERS, "pebble-*", "usr", "bin", "pebble")), reverse=True):
        folder = program[:-len("/usr/bin/pebble")]
        if _is_new_enough(os.path.basename(folder)[len("pebble-"):]):
            return os.path.realpath(os.path.dirname(program))
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


def _fetched():
    state = os.path.realpath(os.path.join(PEERS, "apt"))
    tried = []
    for uri, keyring in _debian_sources():
        for suite in SUITES:
            for folder in ("lists/partial", "cache/archives/partial", "download"):
                os.makedirs(os.path.join(state, folder), exist_ok=True)
            open(os.path.join(state, "status"), "a").close()
            with open(os.path.join(state, "sources.list"), "w") as file:
                file.write(f"deb {f'[signed-by={keyring}] ' if keyring else ''}{uri} {suite} main\n")
            options = [option for name, value in {
                "Dir::Etc::sourcelist": f"{state}/sources.list", "Dir::Etc::sourceparts": "-", "Dir::State": state,
                "Dir::State::lists": f"{state}/lists", "Dir::State::status": f"{state}/status",
                "Dir::Cache": f"{state}/cache", "Acquire::Languages": "none", "APT::Sandbox::User": "root",
            }.items() for option in ("-o", f"{name}={value}")]

            def apt(*args):
                return subprocess.run([*args[:1], *options, *args[1:]], capture_output=True, text=True, timeout=300,
                                      cwd=os.path.join(state, "download"),
                                      env={**os.environ, **QUIETLY})
            update = apt("apt-get", "-q", "update")
            versions = [line.split("|")[1].strip() for line in apt("apt-cache", "madison", "pebble").stdout.splitlines()
                        if line.count("|") == 2]
            fitting = [version for version in versions if _is_new_enough(version)]
            if not fitting:
                tried.append(f"{uri} {suite}: " + (f"has {', '.join(versions)}" if versions else
                                                   update.stderr.strip() or "has none"))
                continue
            download = apt("apt-get", "-q", "download", f"pebble={fitting[0]}")
            packages = glob.glob(os.path.join(state, "download", "pebble_*.deb"))
            if download.returncode != 0 or not packages:
                tried.append(f"{uri} {suite}: {download.stderr.strip()}")
                continue
            # Renamed once it is whole, so that a folder with the name is always good.
            whole, unpacked = os.path.join(PEERS, f"pebble-{fitting[0]}"), os.path.join(PEERS, ".pebble.unpacking")
            shutil.rmtree(unpacked, ignore_errors=True)
            subprocess.run(["dpkg-deb", "-x", packages[0], unpacked], check=True)
            subprocess.run([os.path.join(unpacked, "usr/bin/pebble"), "-version"], check=True, capture_output=True)
            os.rename(unpacked, whole)
            shutil.rmtree(state)
            return os.path.realpath(os.path.join(whole, "usr", "bin"))
    raise Unavailable(f"no Pebble of at least {AT_LEAST} can be had: " +
                      ("; ".join(tried) or "apt knows no Debian mirror on this machine"))


if __name__ == "__main__":
    try:
        print(binaries())
    except Unavailable as error:
        sys.exit(str(error))
