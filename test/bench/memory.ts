import { readFileSync } from 'node:fs';

/** Resident memory of a process now and at most so far, where the system tells. */
export function memory(pid: number | undefined): string {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const megabytes = (field: string) =>
      Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
    return `${megabytes('VmRSS')} MB resident, at most ${megabytes('VmHWM')} MB`;
  } catch {
    return 'resident memory unknown';
  }
}
