"""How much memory this process may still take."""

import pathlib

MEMINFO = pathlib.Path("/proc/meminfo")
CGROUP = pathlib.Path("/sys/fs/cgroup")  # version 2, as containers see their own


def available():
    """Bytes that can be taken without swapping, within the container's limit; None where the system doesn't tell.

    Known on Linux: what the kernel calls available counts files' pages that it can drop.
    """
    if not MEMINFO.exists():
        return None
    found = [1024 * _value(MEMINFO, "MemAvailable:")]
    limit = CGROUP / "memory.max"
    if limit.exists() and limit.read_text().strip() != "max":
        used = int((CGROUP / "memory.current").read_text()) - _value(CGROUP / "memory.stat", "inactive_file")
        found.append(max(0, int(limit.read_text()) - used))
    return min(found)


def _value(file, key):
    """The number after a key in a file of lines "key number ..."."""
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.split()[0] == key)
