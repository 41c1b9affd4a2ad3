/**
 * What a real KServe did, event by event, reduced to what readiness looks at. `npm run reduce-traces -- DIR` makes
 * test/traces/ of recordings: files of one JSON object a line, `{t, kind, type, object}` with `t` in milliseconds, `kind`
 * and `type` of the watch event, and steps `{t, kind: 'Step', object: {manifest, accepted, error}}` for what was done.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { numberIn, textIn } from '../../src/core/cluster-fields.ts';
import { projectObject } from '../../src/core/cluster-objects.ts';
import type { ClusterKind, ClusterObject } from '../../src/core/cluster-views.ts';
import { DEPLOYMENT_MODE, SPEC_HASH } from '../../src/core/inference-service.ts';
import type { Json } from '../../src/core/json.ts';
import { type DeploymentMode, modeOfName } from '../../src/core/kserve.ts';
import type { Wanted } from '../../src/core/readiness-cause.ts';

/** A manifest was applied. */
export interface Step {
  specHash: string;
  minReplicas: number;
  maxReplicas: number;
  mode: DeploymentMode;
  canaryTrafficPercent: number | null;
  accepted: boolean;
}

export type TraceLine =
  | { t: number; step: Step }
  | { t: number; type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: ClusterObject };

const KINDS: readonly string[] = [
  'InferenceService',
  'Deployment',
  'ReplicaSet',
  'Pod',
  'Event',
  'KnativeService',
  'Revision',
] satisfies ClusterKind[];

const isKind = (kind: string): kind is ClusterKind => KINDS.includes(kind);

/** @returns a key that is the same for all states of one object */
export const keyOf = ({ kind, uid }: ClusterObject): string => `${kind}/${uid}`;

/**
 * Reduces a recording. What did not change to readiness is left out.
 * @param text the recording
 */
export function reduceTrace(text: string): string {
  const last = new Map<string, string>();
  const lines = text.split('\n').filter((line) => line !== '');
  return lines
    .flatMap((line) => reduceLine(JSON.parse(line)))
    .filter((line) => {
      if ('step' in line) return true;
      const state = JSON.stringify([line.type === 'DELETED', line.object]);
      const isNew = last.get(keyOf(line.object)) !== state;
      last.set(keyOf(line.object), state);
      return isNew;
    })
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');
}

interface Recorded {
  t: number;
  kind: string;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: Json;
}

function reduceLine({ t, kind, type, object }: Recorded): TraceLine[] {
  if (kind === 'Step') return [{ t, step: stepIn(object) }];
  if (!isKind(kind)) return [];
  const projected = projectObject(kind, object);
  return projected === null ? [] : [{ t, type, object: projected }];
}

function stepIn(object: Json): Step {
  const predictor = ['manifest', 'spec', 'predictor'];
  return {
    specHash: textIn(object, ...predictor, 'annotations', SPEC_HASH) ?? '',
    minReplicas: numberIn(object, ...predictor, 'minReplicas') ?? 1,
    maxReplicas: numberIn(object, ...predictor, 'maxReplicas') ?? 0,
    mode:
      modeOfName(textIn(object, 'manifest', 'metadata', 'annotations', DEPLOYMENT_MODE) ?? '') ?? 'Standard',
    canaryTrafficPercent: numberIn(object, ...predictor, 'canaryTrafficPercent'),
    accepted: textIn(object, 'error') === null,
  };
}

const DIRECTORY = new URL('../traces/', import.meta.url);

/** The names of all scenarios, in order. */
export const traceNames = (): string[] =>
  readdirSync(DIRECTORY)
    .filter((file) => file.endsWith('.jsonl'))
    .map((file) => file.slice(0, -'.jsonl'.length))
    .sort();

export const readTrace = (name: string): TraceLine[] =>
  readFileSync(new URL(`${name}.jsonl`, DIRECTORY), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line): TraceLine => JSON.parse(line));

/** One apply of a trace, and what is judged of it: until the next one. */
export interface Episode {
  step: Step;
  t: number;
  /** What was seen before it. */
  before: TraceLine[];
  lines: TraceLine[];
}

/** @returns the applies that the API server accepted */
export function episodesOf(lines: readonly TraceLine[]): Episode[] {
  const starts = lines.flatMap((line, index) => ('step' in line ? [index] : []));
  return starts.flatMap((start, number) => {
    const line = lines[start];
    if (line === undefined || !('step' in line) || !line.step.accepted) return [];
    const rest = lines.slice(start + 1, starts[number + 1] ?? lines.length);
    return [{ step: line.step, t: line.t, before: lines.slice(0, start), lines: rest }];
  });
}

/** Milliseconds since the epoch of the recordings' zero: the judge's clock need not be the cluster's. */
export const EPOCH = Date.parse('2026-11-21T07:00:00Z');

const MINUTE = 60_000;

/** What the pipeline would want of an episode. */
export const wantedOf = ({ step, t }: Episode, via: Wanted['via']): Wanted => ({
  target: { cluster: 'prod', namespace: 'trace', name: 'iris' },
  specHash: step.specHash,
  minReplicas: step.minReplicas,
  maxReplicas: step.maxReplicas,
  mode: step.mode,
  via,
  heals: false,
  commit: via === 'gitops' ? '1a2b3c4' : null,
  deliveredAt: EPOCH + t,
  readiness: {
    timeout: 30 * MINUTE,
    grace: { imagePull: MINUTE, unschedulable: 10 * MINUTE, invalidSpec: MINUTE / 2, restarts: 3 },
  },
});

/** The objects there are, as watches keep them. */
export class Objects {
  readonly #objects = new Map<string, ClusterObject>();

  see(line: TraceLine): void {
    if ('step' in line) return;
    if (line.type === 'DELETED') this.#objects.delete(keyOf(line.object));
    else this.#objects.set(keyOf(line.object), line.object);
  }

  all(): ClusterObject[] {
    return [...this.#objects.values()];
  }
}
