/**
 * Setup of each test file: it begins as if it were alone, though the process has run others before. Modules are
 * evaluated anew, and clocks and mocks are the real things again.
 */
import { vi } from "vitest";

vi.useRealTimers();
vi.restoreAllMocks();
vi.unstubAllGlobals();
vi.resetModules();
