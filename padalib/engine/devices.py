"""Which devices and precisions can be computed with here."""

import os
import warnings
from functools import cache

import torch

# 'float32' is that, not the TF32 that cuDNN would take for convolutions; in every process.
torch.backends.cudnn.allow_tf32 = False


def asked(otherwise: str = "cpu") -> str:
    """The device that `PADALIB_DEVICE` names; where it names none, the given one."""
    return os.environ.get("PADALIB_DEVICE") or otherwise


def check_name(device: str) -> str:
    """'cpu' or 'cuda', whichever kind a device is of, here or elsewhere; ValueError for others."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f"{device!r} is no device that torch knows: pass 'cpu' or 'cuda'"
        ) from error
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported: pass 'cpu' or 'cuda'")
    return kind


def here(device: str) -> bool:
    """Whether torch sees such a device on this machine."""
    if check_name(device) == "cpu":
        return True
    numbers = range(torch.cuda.device_count())
    return torch.cuda.is_available() and torch.device(device).index in (None, *numbers)


def only(device: str) -> str:
    """The beginning of a sentence on what computes: where alone that can be done, if not here."""
    return "" if here(device) else f"On a machine with device {device!r}, "


def readable(device: str, precision: str) -> str:
    """The device, or the CPU where it cannot be used here: to look at what it has finished."""
    try:
        check_device(device, precision)
    except ValueError:
        return "cpu"
    return device


def read_by(device: str) -> bool:
    """Whether runs of a device are found as things stand; else `PADALIB_DEVICE` has to name it.

    Scales on CIFAR-10 ask for a GPU where there is one.
    """
    return asked("cuda" if torch.cuda.is_available() else "cpu") == device


def check_device(device: str, precision: str = "float32") -> None:
    """ValueError for a device that is not there, or lacks the precision; warns if it is slow."""
    kind = check_name(device)
    if not here(device):
        n = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise ValueError(
            f"device {device!r} asked for, but torch sees {f'only {n}' if n else 'no'} CUDA device"
            f"{'s' * (n > 1)}: what is finished is read without it, but this has to be computed. "
            "Do that where there is one, and bring it by `padalib pack` and `padalib unpack`; or "
            "install a torch build with CUDA and its driver; or pass device='cpu' (or unset "
            "PADALIB_DEVICE), which is another run, trained anew"
        )
    if precision == "bfloat16" and kind == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise ValueError(f"{device!r} cannot compute in bfloat16: pass precision='float32'")
    if precision == "bfloat16" and kind == "cpu":
        able = torch.cpu.get_capabilities()
        if able.get("architecture") == "x86_64" and not (
            able.get("avx512_bf16") or able.get("amx_bf16")
        ):
            _warn_of(str(able.get("cpu_name")))


@cache  # once a process, not once a run
def _warn_of(processor: str) -> None:
    warnings.warn(
        f"this processor ({processor}) has no bfloat16 instructions, so precision='bfloat16' is "
        "slower here than 'float32'",
        stacklevel=4,
    )
