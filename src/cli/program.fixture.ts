/** Runs the program in tests, and gathers what it writes. */
import { createProgram } from './program.ts';

export interface Ran {
  code: string | number;
  out: string;
  err: string;
}

/** @param argv what follows `modelhook` */
export async function run(...argv: string[]): Promise<Ran> {
  const out: string[] = [];
  const err: string[] = [];
  const { stdout, stderr } = process;
  const [writeOut, writeErr] = [stdout.write, stderr.write];
  stdout.write = (text) => out.push(String(text)) > 0;
  stderr.write = (text) => err.push(String(text)) > 0;
  process.exitCode = undefined;
  try {
    await createProgram().parseAsync(argv, { from: 'user' });
    return { code: process.exitCode ?? 0, out: out.join(''), err: err.join('') };
  } finally {
    Object.assign(stdout, { write: writeOut });
    Object.assign(stderr, { write: writeErr });
    process.exitCode = undefined;
  }
}
