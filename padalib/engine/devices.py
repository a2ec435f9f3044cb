"""Which devices and precisions can be computed with here."""

import os
import warnings

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


def check_device(device: str, precision: str = "float32") -> None:
    """ValueError for a device that is not there, or lacks the precision; warns if it is slow."""
    kind = check_name(device)
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {device!r} asked for, but torch sees no CUDA device: pass device='cpu' (or "
            "unset PADALIB_DEVICE), or install a torch build with CUDA and its driver"
        )
    if precision == "bfloat16" and kind == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise ValueError(f"{device!r} cannot compute in bfloat16: pass precision='float32'")
    if precision == "bfloat16" and kind == "cpu":
        able = torch.cpu.get_capabilities()
        if able.get("architecture") == "x86_64" and not (
            able.get("avx512_bf16") or able.get("amx_bf16")
        ):
            warnings.warn(
                f"this processor ({able.get('cpu_name')}) has no bfloat16 instructions, so "
                "precision='bfloat16' is slower here than 'float32'",
                stacklevel=2,
            )
