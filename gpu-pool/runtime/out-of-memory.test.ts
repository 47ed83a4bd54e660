import { expect, it } from "vitest";
import { isOutOfMemory } from "./out-of-memory.ts";

it.each([
  ["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.", true],
  ["RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", true],
  [
    "Free memory on device cuda:0 (12.18/23.56 GiB) on startup is less than desired GPU memory utilization (0.92, …)",
    true,
  ],
  [
    "Free memory on device (61.05/119.7 GiB) on startup is less than desired GPU memory utilization (0.52, 62.24 GiB).",
    true,
  ],
  ["No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.", true],
  ["Free memory on device cuda:0 could not be read", false],
  ["FileNotFoundError: no weights", false],
])("knows a device that has too little memory by %j", (message, isIt) => {
  expect(isOutOfMemory({ message, traceback: "" })).toBe(isIt);
  expect(isOutOfMemory({ message: "RuntimeError: engine", traceback: `Traceback\n${message}\n` })).toBe(isIt);
});
