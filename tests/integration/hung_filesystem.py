"""A file system that takes every question and answers none, as a network one does whose server went away.

    unshare --mount python3 hung_filesystem.py FOLDER PROGRAM [ARGUMENT...]

mounts it at FOLDER (FUSE, as root), runs PROGRAM to the end of its output, and ends as it did; 77 where such a thing
cannot be mounted. A thread that asks it anything stays in the kernel until then: no signal ends it.
"""

import ctypes
import os
import struct
import subprocess
import sys
import threading

INIT = 26
ANSWER = struct.Struct("<IiQ")           # length, error, number of the request
REQUEST = struct.Struct("<IIQ")          # length, operation, number
LARGEST = 1 << 21                        # of a request


def mount(folder):
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if ctypes.CDLL(None, use_errno=True).mount(b"hung", folder.encode(), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount")
    request = os.read(device, LARGEST)
    _, operation, number = REQUEST.unpack_from(request)
    assert operation == INIT, operation
    about = struct.pack("<IIIIHHI", 7, 31, 0, 0, 0, 0, 1 << 16) + bytes(40)
    os.write(device, ANSWER.pack(ANSWER.size + len(about), 0, number) + about)
    return device


def main():
    try:
        device = mount(sys.argv[1])
    except OSError as error:
        print(error, file=sys.stderr)
        return 77

    def take():
        while True:
            os.read(device, LARGEST)

    threading.Thread(target=take, daemon=True).start()
    done = subprocess.run(sys.argv[2:], capture_output=True, check=False, timeout=120)
    sys.stdout.buffer.write(done.stdout)
    sys.stderr.buffer.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
