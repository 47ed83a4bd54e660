"""The pool's check of a device against drivers that are no drivers: well, wrong, failing, and unable to compile."""

import ctypes

from edgeplane_check import ADDED, COUNT, NotChecked, Sick, check, first_wrong


class Driver:
    """Answers each call with 0, and copies the numbers that the kernel would have written; `faults` by the call's
    name."""

    def __init__(self, faults=None, wrong_at=None):
        self.faults = faults or {}
        self.wrong_at = wrong_at
        self.called = []

    def __getattr__(self, name):
        def call(*arguments):
            self.called.append(name)
            if name in self.faults:
                return self.faults[name]
            if name == "cuMemcpyDtoH_v2":
                numbers = [(place * place + ADDED) & 0xFFFFFFFF for place in range(COUNT)]
                if self.wrong_at is not None:
                    numbers[self.wrong_at] ^= 1 << 20
                ctypes.memmove(arguments[0], (ctypes.c_uint32 * COUNT)(*numbers), COUNT * 4)
            return 0

        return call


def outcome(driver):
    try:
        check(driver)
    except (Sick, NotChecked) as error:
        return "{}: {}".format(type(error).__name__, error)
    return "well"


well = Driver()
assert outcome(well) == "well"
assert "cuLaunchKernel" in well.called and "cuCtxSynchronize" in well.called
assert outcome(Driver(wrong_at=77)) == "Sick: it computes wrong numbers, the first at place 77"
assert outcome(Driver({"cuCtxSynchronize": 700})) == "Sick: cuCtxSynchronize answered CUDA error 700"
assert outcome(Driver({"cuInit": 803})) == "Sick: cuInit answered CUDA error 803"
assert outcome(Driver({"cuModuleLoadData": 222})) == "NotChecked: cuModuleLoadData answered CUDA error 222"
assert outcome(Driver({"cuMemAlloc_v2": 2})) == "NotChecked: cuMemAlloc_v2 answered CUDA error 2"
assert first_wrong([7, 8, 11, 16]) is None
print("checked")
