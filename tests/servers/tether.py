"""Becomes a server program that dies with the process that asked for it.

Run as a script: ``tether.py PARENT_PID SIGNAL USER PROGRAM [ARG…]``; an empty USER keeps the present one.
A program of its own because both steps belong between fork and exec, where the code of a test runner
with threads must not run; and in this order, since a change of user clears the death signal.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, signum, user, program, *arguments = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if user:
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if sys.platform == "linux" and libc.prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0) != 0:
        sys.exit(f"tether: prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):  # it died before the signal was armed
        sys.exit("tether: the test runner is gone")
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main()
