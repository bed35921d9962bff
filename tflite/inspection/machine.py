"""Description of the machine that a latency was measured on."""

import datetime
import importlib.metadata
import os
import pathlib
import platform


def surroundings():
    """What a latency depends on besides the model: date, machine, versions."""
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine(),
        "python": platform.python_version(),
        "litert": importlib.metadata.version("ai-edge-litert"),
    }


# Instruction sets that decide how fast int8, bfloat16 and float convolutions are.
INSTRUCTIONS = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),  # x86
    *("asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),  # Arm
)


def machine():
    """The processor's name, which INSTRUCTIONS it has, how many cores, the system; from /proc/cpuinfo where it is."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = [line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line] if cpuinfo.exists() else []
    facts = {key.strip(): value.strip() for key, value in lines}
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return {
        "processor": facts.get("model name") or facts.get("Hardware") or platform.processor() or platform.machine(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "cores": os.cpu_count(),
        "system": platform.platform(),
    }
