/** Whether a set-up failed for want of the device's memory. */
import type { SetupProblem } from "./instance.ts";

/** As PyTorch, CUDA, cuBLAS, JAX and TensorFlow say it; and vLLM, which asks what is free before it allocates. */
const WORDS = new RegExp(
  [
    "CUDA out of memory|OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED",
    "RESOURCE_EXHAUSTED|Free memory on device .*is less than desired GPU memory",
    "No available memory for the cache blocks",
  ].join("|"),
);

export function isOutOfMemory({ message, traceback }: SetupProblem): boolean {
  return WORDS.test(message) || WORDS.test(traceback);
}
