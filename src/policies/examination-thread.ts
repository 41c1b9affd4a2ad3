/**
 * Examines in a thread of its own: files that nobody has reviewed may take long to read, and much memory, and the
 * controller goes on meanwhile. What comes back is bounded too, except where a command asks for all of it.
 */
import { parentPort, Worker, workerData } from 'node:worker_threads';
import type { CommentPlace } from '../core/review-comment.ts';
import { conclude, type Reviewed } from '../core/review-report.ts';
import type { Examination } from '../core/review-text.ts';
import {
  type ExaminationInput,
  examine,
  examineForReport,
  fewerFaults,
  type Revision,
} from './examination.ts';

interface Bounds {
  /** Milliseconds after which it is given up. */
  time: number;
  /** Megabytes of heap. */
  memory: number;
}

/** 10,000 good policies take four seconds. */
const OF_EXAMINATION: Bounds = { time: 60_000, memory: 1024 };
/** What is found good is loaded once more outside of the thread, and takes as long there. */
const OF_LOADING: Bounds = { time: 15_000, memory: 512 };

type Task =
  | { kind: 'examine'; input: ExaminationInput }
  | { kind: 'review'; input: ExaminationInput; place: CommentPlace | null }
  | { kind: 'judge'; input: ExaminationInput };

/**
 * @param time milliseconds after which it is given up
 * @returns the whole examination; where the files cannot be examined within bounds, that is their fault
 * @throws Error where something else went wrong in the thread
 */
export const examineApart = (input: ExaminationInput, time = OF_EXAMINATION.time): Promise<Examination> =>
  apart({ kind: 'examine', input }, { ...OF_EXAMINATION, time }, tooMuch);

/** The same, as much of it as is needed for a review and for a merge. */
export const reviewApart = (input: ExaminationInput, place: CommentPlace | null): Promise<Reviewed> =>
  apart({ kind: 'review', input, place }, OF_EXAMINATION, (what) => conclude(tooMuch(what), place));

/**
 * Only tells whether policies are good and quick to load, by tighter bounds. Nothing is compared.
 * @param time milliseconds after which it is given up
 * @returns the faults people will read; null: there are none. `exceeded`: it was given up, and another time may go well
 */
export async function judgeApart(
  after: Revision,
  known: ExaminationInput['known'],
  time = OF_LOADING.time,
): Promise<Extract<Examination, { kind: 'faults' }> | null> {
  const input = { before: null, after, known, deployed: [], refs: [] };
  const found = await apart<Examination>({ kind: 'judge', input }, { ...OF_LOADING, time }, tooMuch);
  return found.kind === 'faults' ? found : null;
}

const tooMuch = (what: string): Examination => ({
  kind: 'faults',
  exceeded: true,
  faults: [{ file: '.', line: 1, column: 1, message: `the policies ${what}; make them fewer or smaller` }],
});

function apart<Answer>(
  task: Task,
  { time, memory }: Bounds,
  exceeded: (what: string) => Answer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL(import.meta.url), {
      workerData: { task },
      resourceLimits: { maxOldGenerationSizeMb: memory },
      // Secrets are in there.
      env: {},
    });
    const timer = setTimeout(() => {
      resolve(exceeded(`take more than ${time / 1000} s to read`));
      void thread.terminate();
    }, time);
    thread.once('message', resolve);
    thread.once('error', (error: Error & { code?: string }) => {
      if (error.code === 'ERR_WORKER_OUT_OF_MEMORY')
        resolve(exceeded(`need more than ${memory} MiB of memory to be read`));
      else reject(error);
    });
    thread.once('exit', (code) => {
      clearTimeout(timer);
      // Without effect where there was an answer.
      reject(new Error(`the examination of policies ended with code ${code} and no answer`));
    });
  });
}

/** What the thread itself does. */
function perform(task: Task): Examination | Reviewed {
  const { kind, input } = task;
  if (kind === 'examine') return examine(input);
  if (kind === 'review') return conclude(examineForReport(input), task.place);
  const found = examine(input);
  if (found.kind === 'faults') return { ...found, faults: fewerFaults(found.faults) };
  return { ...found, warnings: [] };
}

const { task }: { task?: Task } = workerData ?? {};
if (task) parentPort?.postMessage(perform(task));
