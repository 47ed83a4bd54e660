/** What this thread has had of a processor, in milliseconds: whatever else runs on the machine adds nothing to it. */
export function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
