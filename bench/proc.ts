/** CPU time and memory of processes and their children, from /proc. Linux only. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const TICKS_A_SECOND = 100; // of /proc, whatever the kernel's own (USER_HZ, proc(5))

/** The process and all that descend from it. */
export function processTree(pid: number): number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
  const children = all.filter((candidate) => readStat(candidate)?.[1] === String(pid));
  return [pid, ...children.flatMap(processTree)];
}

/** User and system time of a process and its children since their start, in seconds. */
export function cpuSeconds(pid: number): number {
  const times = processTree(pid).map(readStat).map((stat) =>
    Number(stat?.[11]) + Number(stat?.[12])
  );
  return times.reduce((sum, time) => sum + (time || 0), 0) / TICKS_A_SECOND;
}

/** The fields of /proc/PID/stat after the name, which may have spaces and brackets in it. */
function readStat(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined; // it has just ended
  }
}

/** The most memory that a process and its children had, each by itself. */
export const peakMiB = (pid: number): number => statusMiB(pid, "VmHWM");

/** The memory that a process and its children have; what they share counts for each. */
export const residentMiB = (pid: number): number => statusMiB(pid, "VmRSS");

/** From now on peaks are those after now. */
export function resetPeaks(pid: number): void {
  for (const one of processTree(pid)) writeFileSync(`/proc/${one}/clear_refs`, "5");
}

function statusMiB(pid: number, field: "VmRSS" | "VmHWM"): number {
  const values = processTree(pid).map((one) => {
    const status = readFileSync(`/proc/${one}/status`, "latin1");
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  });
  return values.reduce((sum, value) => sum + value, 0) / 1024;
}

/** How many files a process may have open: those that this one starts may have as many. */
export function openFilesLimit(): number {
  const limits = readFileSync("/proc/self/limits", "latin1");
  const [, soft = "0"] = /^Max open files +(\d+|unlimited)/m.exec(limits) ?? [];
  return soft === "unlimited" ? Infinity : Number(soft);
}
