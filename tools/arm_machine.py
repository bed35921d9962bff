"""ARM emulation: an arm64 Python with NumPy and LiteRT in a folder, and QEMU's user mode to run it on a chosen CPU.

Debian's packages and PyPI's wheels are downloaded and unpacked; nothing is installed, and root is not needed. The
folder keeps the downloads, and SHA256SUMS lists them: apt checks Debian's signatures, LiteRT and NumPy have the
versions that run here.
"""

import dataclasses
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

from absl import logging

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.data.system.progress import heartbeat

PACKAGES = ("python3", "libstdc++6", "libgcc-s1", "zlib1g", "libatomic1", "libgomp1")  # for arm64
WHEELS = ("ai-edge-litert", "numpy")  # in the versions of this environment; pip adds what they need
PLATFORMS = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 37)))  # Debian 12 has glibc 2.36

# A package list of its own, so that the machine's is left alone.
APT = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; "{host}"; }};
APT::Sandbox::User "root";
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""

# Without one QEMU 7.2 shows the machine's own, and LiteRT crashes on an x86 processor's.
CPUINFO = """\
processor\t: 0
BogoMIPS\t: 100.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part}
CPU revision\t: 4

"""


@dataclasses.dataclass(frozen=True)
class Cpu:
    """qemu: what QEMU calls it. part, features: as /proc/cpuinfo of such a CPU has them; XNNPACK chooses by both."""

    qemu: str
    part: str
    features: str


ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
ARMV82 = f"{ARMV8} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
CPUS = {
    "cortex-a53": Cpu("cortex-a53", "0xd03", ARMV8),  # ARMv8.0: XNNPACK multiplies by SMLAL
    "cortex-a76": Cpu("cortex-a76", "0xd0b", ARMV82),  # by SDOT
    # All that QEMU has, under Neoverse N2's number: by SMMLA (i8mm). QEMU 7.2 computes SME wrongly.
    "max": Cpu("max,sme=off,pauth-impdef=on", "0xd49", f"{ARMV82} sve sve2 svei8mm i8mm bf16"),
}


def is_prepared(folder: pathlib.Path) -> bool:
    """Whether prepare has filled the folder, with LiteRT and NumPy in the versions of this environment."""
    sums = folder / "SHA256SUMS"
    text = sums.read_text() if sums.is_file() else ""
    return all(f"/{name.replace('-', '_')}-{importlib.metadata.version(name)}-" in text for name in WHEELS)


def prepare(folder: pathlib.Path) -> None:
    """Download and unpack what run needs, unless it is there: 80 MB, and 250 MB on the disk.

    Raises UserError when a tool is missing, and StoppedError when a download fails.
    """
    if is_prepared(folder):
        return
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise UserError(
                f"{tool} is needed, for Debian's QEMU and arm64 Python; run this on Debian, or in its container"
            )
    logging.info("downloading QEMU and an arm64 Python with LiteRT into %s, once", folder)
    shutil.rmtree(folder, ignore_errors=True)  # half of an earlier try
    with heartbeat("downloading"):
        packages = _download_packages(folder / "apt")
        for package in packages:
            target = folder / ("qemu" if package.name.startswith("qemu-user") else "root")
            _call(["dpkg-deb", "--extract", str(package), str(target)])
        wheels = _download_wheels(folder)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    # LiteRT 2.3.0 loads it for CompiledModel on any device, and it aborts where there is no LSE (before ARMv8.1).
    (folder / "site/ai_edge_litert/libLiteRtWebGpuAccelerator.so").unlink(missing_ok=True)
    for path in (folder / "qemu/usr/bin").iterdir():
        if not path.name.startswith("qemu-aarch64"):  # 30 more processors
            path.unlink()
    sums = [f"{files.sha256(path)}  {path.relative_to(folder)}\n" for path in sorted([*packages, *wheels])]
    files.write_text(folder / "SHA256SUMS", "".join(sums))


def run(folder: pathlib.Path, cpu: Cpu, words: list) -> subprocess.CompletedProcess:
    """Run the arm64 Python with words on a CPU; folder is what prepare filled. Output is captured as text."""
    root = (folder / "root").absolute()
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(CPUINFO.format(part=cpu.part, features=cpu.features))
    qemu, python = min((folder / "qemu/usr/bin").glob("qemu-aarch64*")), _python(folder)
    # The path without this environment's own, and one thread: that of OpenBLAS take long to start here.
    environment = {"PYTHONPATH": str((folder / "site").absolute()), "OPENBLAS_NUM_THREADS": "1", "HOME": os.sep}
    command = [qemu.absolute(), "-cpu", cpu.qemu, "-L", root, python.absolute(), *words]
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)


def version(folder: pathlib.Path) -> str:
    """QEMU's version."""
    qemu = min((folder / "qemu/usr/bin").glob("qemu-aarch64*"))
    return subprocess.run([qemu, "--version"], capture_output=True, text=True).stdout.split()[2]


def _python(folder):
    (python,) = (path for path in (folder / "root/usr/bin").glob("python3.*") if path.name[8:].isdigit())
    return python


def _download_packages(folder):
    """[.deb file] of PACKAGES and all that they need for arm64, and QEMU for this machine."""
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    host = _call(["dpkg", "--print-architecture"]).strip()
    (folder / "apt.conf").write_text(APT.format(folder=folder.absolute(), host=host))
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    _call(["apt-get", "update"], environment)
    wanted = [*PACKAGES, f"qemu-user-static:{host}"]
    _call(["apt-get", "--yes", "--no-install-recommends", "--download-only", "install", *wanted], environment)
    shutil.rmtree(folder / "lists")  # 80 MB
    return sorted((folder / "archives").glob("*.deb"))


def _download_wheels(folder):
    """[.whl file] of WHEELS and all that they need, for arm64."""
    wheels = [f"{name}=={importlib.metadata.version(name)}" for name in WHEELS]
    platforms = [f"--platform={name}_aarch64" for name in PLATFORMS]
    python = _python(folder).name.removeprefix("python")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", f"--python-version={python}"]
    _call([*pip, *platforms, f"--dest={folder / 'wheels'}", *wheels])
    return sorted((folder / "wheels").glob("*.whl"))


def _call(command, environment=None):
    """Output of a command. Raises StoppedError with the last of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise StoppedError(f"{' '.join(command[:3])} ... failed: {'; '.join(said)}")
    return done.stdout
