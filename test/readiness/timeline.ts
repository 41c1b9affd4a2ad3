/** A recorded update as a table: what was seen, what KServe said of it, and what we say. docs/readiness.md shows one. */
import { collectSeen } from '../../src/core/cluster-objects.ts';
import type { ClusterObject, Seen } from '../../src/core/cluster-views.ts';
import { judge } from '../../src/core/readiness.ts';
import type { Since } from '../../src/core/readiness-cause.ts';
import { EPOCH, type Episode, Objects, wantedOf } from './traces.ts';

interface Row {
  /** Milliseconds after the apply. */
  after: number;
  what: string;
  kserve: string;
  ours: string;
}

/**
 * @returns a table in Markdown, with a row for whatever changed KServe's word or ours, and for each pod that became ready
 * or went
 */
export function timelineOf(episode: Episode): string {
  const wanted = wantedOf(episode, 'apply');
  const objects = new Objects();
  for (const line of episode.before) objects.see(line);
  const first = collectSeen(wanted.target.name, objects.all());
  const rows: Row[] = [{ after: 0, what: 'the new manifest is applied', kserve: wordsOf(first), ours: '' }];
  let since: Since = {};
  for (const line of episode.lines) {
    objects.see(line);
    if ('step' in line) continue;
    const seen = collectSeen(wanted.target.name, objects.all());
    const judged = judge(wanted, seen, since, EPOCH + line.t);
    since = judged.since;
    const { state, message } = judged.verdict;
    const row = {
      after: line.t - episode.t,
      what: whatOf(line.object, line.type === 'DELETED'),
      kserve: wordsOf(seen),
      ours: `${state}: ${message}`,
    };
    const last = rows.at(-1);
    const isWord = row.kserve !== last?.kserve || row.ours !== last?.ours;
    if (isWord || isTurn(line.object, line.type)) rows.push(row);
    if (state === 'ready') break;
  }
  const cells = rows.map(({ after, what, kserve, ours }) => [
    `${(after / 1000).toFixed(2)} s`,
    what,
    kserve,
    ours,
  ]);
  const table = [
    ['after', 'what was seen', 'KServe says', 'modelhook says'],
    ['---', '---', '---', '---'],
    ...cells,
  ];
  return table.map((row) => `| ${row.join(' | ')} |\n`).join('');
}

const isTurn = (object: ClusterObject, type: string): boolean =>
  object.kind === 'Pod' && (type === 'DELETED' || object.ready || object.deleting);

function wordsOf({ inferenceService }: Seen): string {
  const { ready, transitionStatus } = inferenceService ?? {};
  return `Ready=${ready?.status ?? 'unset'}, ${transitionStatus ?? 'no transition'}`;
}

function whatOf(object: ClusterObject, isGone: boolean): string {
  const told = isGone ? 'is gone' : stateOf(object);
  return `${object.kind} ${object.name} ${told}`;
}

function stateOf(object: ClusterObject): string {
  if (object.kind === 'Pod') {
    if (object.deleting) return 'is ending';
    if (object.ready) return 'is ready';
    return object.containers.some(({ state }) => state === 'running') ? 'runs' : 'is made';
  }
  if (object.kind !== 'Deployment') return 'changes';
  const { generation, observedGeneration, updated, available, total } = object;
  const seen =
    observedGeneration < generation ? `generation ${generation}, of which it knows nothing yet` : '';
  return `has ${seen || `${total} ${total === 1 ? 'pod' : 'pods'}: ${updated} new, ${available} available`}`;
}
