"""Whether a CUDA device computes: a kernel fills memory with numbers, which are read back and compared.

Uses the driver's own library by ctypes, so that it needs neither a toolkit nor a framework. Source of the calls: CUDA
Driver API.
"""

from __future__ import annotations

import ctypes
from typing import Any, Optional

COUNT = 1 << 18
BLOCK = 256
ADDED = 7

#: Writes ``i * i + 7`` to place ``i``. Every driver since CUDA 9 compiles it for the device that it finds.
PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry squares(.param .u64 squares_out, .param .u32 squares_count)
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [squares_out];
    ld.param.u32 %r1, [squares_count];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.u32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra DONE;
    mad.lo.u32 %r6, %r5, %r5, 7;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r5, 4;
    add.s64 %rd4, %rd2, %rd3;
    st.global.u32 [%rd4], %r6;
DONE:
    ret;
}
\0"""

#: Answers that say nothing of the device: memory, or the whole of it, that others hold, and a kernel that this driver
#: can't compile.
_NOT_SICK = {1, 2, 46, 200, 209, 218, 221, 222, 223, 500, 801}


class NotChecked(Exception):
    """The device could not be judged."""


class Sick(Exception):
    """The device, or its driver, does not work."""


def load_driver() -> Any:
    """The driver's library. Raises NotChecked where there is none."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise NotChecked("the driver's library can't be loaded: {}".format(error)) from None


def _call(driver: Any, name: str, *arguments: Any) -> None:
    status = int(getattr(driver, name)(*arguments))
    if status == 0:
        return
    message = "{} answered CUDA error {}".format(name, status)
    raise NotChecked(message) if status in _NOT_SICK else Sick(message)


def check(driver: Any) -> None:
    """Judges the first device that is visible. Raises Sick or NotChecked."""
    device = ctypes.c_int()
    context, module, kernel = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    memory = ctypes.c_uint64()
    numbers = (ctypes.c_uint32 * COUNT)()
    size = ctypes.c_size_t(ctypes.sizeof(numbers))
    _call(driver, "cuInit", ctypes.c_uint(0))
    _call(driver, "cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
    _call(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    _call(driver, "cuCtxSetCurrent", context)
    _call(driver, "cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(PTX))
    _call(driver, "cuModuleGetFunction", ctypes.byref(kernel), module, ctypes.c_char_p(b"squares"))
    _call(driver, "cuMemAlloc_v2", ctypes.byref(memory), size)
    count = ctypes.c_uint32(COUNT)
    arguments = (ctypes.c_void_p * 2)(
        ctypes.cast(ctypes.byref(memory), ctypes.c_void_p),
        ctypes.cast(ctypes.byref(count), ctypes.c_void_p),
    )
    one, none = ctypes.c_uint(1), ctypes.c_uint(0)
    blocks = ctypes.c_uint((COUNT + BLOCK - 1) // BLOCK)
    _call(driver, "cuLaunchKernel", kernel, blocks, one, one, ctypes.c_uint(BLOCK), one, one, none, None, arguments, None)
    _call(driver, "cuCtxSynchronize")
    _call(driver, "cuMemcpyDtoH_v2", numbers, memory, size)
    wrong = first_wrong(numbers)
    if wrong is not None:
        raise Sick("it computes wrong numbers, the first at place {}".format(wrong))


def first_wrong(numbers: Any) -> Optional[int]:
    """The first place with another number than the kernel writes; None when all are right."""
    for place, number in enumerate(numbers):
        if number != (place * place + ADDED) & 0xFFFFFFFF:
            return place
    return None
