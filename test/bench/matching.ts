/** How long one ref event takes to be matched against 10,000 policies, beside asking every policy. */
import { isDeepStrictEqual } from 'node:util';
import { compileGlobs } from '../../src/core/glob.ts';
import { explainMatch, type Matchable, matchPolicies } from '../../src/core/match.ts';
import { loadGood, only, policyText } from '../../src/core/policy.fixture.ts';
import type { Policy, PolicySet } from '../../src/core/policy.ts';

const POLICIES = 10_000;
/** The share of the events that are scanned too: that is what takes long. */
const SCANNED = 100;
const ROUNDS = 3;

interface Case {
  title: string;
  repositories: (index: number) => string[];
  tags?: (index: number) => string[];
  events: Matchable[];
}

const pad = (value: number): string => String(value).padStart(3, '0');
const event = (repository: string, tag = 'v1.4.2'): Matchable => ({ repository, ref: `refs/tags/${tag}` });
const team = (index: number): string => `gitlab:team-${pad(index % 400)}`;
const area = (index: number): string => ['vision', 'speech', 'ranking', 'search', 'fraud'][index % 5] ?? '';

function realistic(index: number): string[] {
  const project = `${team(index)}/${area(Math.floor(index / 400))}`;
  if (index % 1000 === 0) return ['gitlab:**', `!${project}/**`];
  if (index % 10 === 1) return [`${project}/model-${pad(Math.floor(index / 2000))}`];
  if (index % 10 === 2) return [`${project}/**`, `!${project}/**/archive`];
  if (index % 10 === 3) return [`${team(index)}/*/model-*`, `${project}/*`];
  return [`${project}/*`, `!${project}/scratch-*`];
}

const CASES: Case[] = [
  {
    title: '400 teams, their own patterns',
    repositories: realistic,
    tags: (index) =>
      index % 3 === 0 ? ['v*'] : index % 3 === 1 ? ['v*', '!v*-rc*'] : ['release-*', 'v*.*.*'],
    events: Array.from({ length: 400 }, (_, at) => [
      event(`${team(at)}/${area(at)}/model-${pad(at % 5)}`),
      event(`${team(at)}/${area(at)}/scratch-1`, 'v2-rc1'),
      event(`${team(at)}/unknown/deep/er/archive`),
      event(`github:other/model-${at}`),
    ]).flat(),
  },
  {
    title: 'one prefix, 10,000 ends',
    repositories: (index) => [`gitlab:ml/*-model-${index}`],
    events: Array.from({ length: 1000 }, (_, at) => event(`gitlab:ml/vision-model-${at * 10}`)),
  },
  {
    title: 'one prefix, 10,000 middles',
    repositories: (index) => [`gitlab:ml/*-model-${index}-*`],
    events: Array.from({ length: 1000 }, (_, at) => event(`gitlab:ml/vision-model-${at * 10}-large`)),
  },
  {
    title: 'one pattern, 10,000 exclusions',
    repositories: (index) => ['gitlab:ml/*', `!gitlab:ml/scratch-${index}-*`],
    events: Array.from({ length: 1000 }, (_, at) => event(`gitlab:ml/vision-model-${at}`)),
  },
  {
    title: 'all **, all match',
    repositories: () => ['**'],
    events: Array.from({ length: 1000 }, (_, at) => event(`gitlab:ml/vision/model-${at}`)),
  },
  {
    title: 'all **, 10,000 tag patterns',
    repositories: () => ['**'],
    tags: (index) => [`model-${index}/v*`, '!**-rc*'],
    events: Array.from({ length: 1000 }, (_, at) => event('gitlab:ml/all', `model-${at * 10}/v1.0.0`)),
  },
];

const template = only(loadGood(policyText()));

/** Not loaded from files: whether policies fight is not what is measured, and some of these would. */
function policiesOf({ repositories, tags = () => ['v*', '!v*-rc*'] }: Case): PolicySet {
  const policies = Array.from({ length: POLICIES }, (_, index): Policy => {
    const match = {
      repositories: compileGlobs(repositories(index)),
      tags: compileGlobs(tags(index)),
      branches: compileGlobs([]),
    };
    return { ...template, name: `policy-${index}`, match };
  });
  return { revision: 'bench', policies, gpuProfiles: [], runtimes: [] };
}

type Match = (set: PolicySet, event: Matchable) => readonly Policy[];
const scan: Match = ({ policies }, at) => policies.filter((policy) => explainMatch(policy, at).matches);

/** @returns microseconds for each event */
const timesOf = (match: Match, set: PolicySet, events: readonly Matchable[]): number[] =>
  events.map((at) => {
    const begun = performance.now();
    match(set, at);
    return (performance.now() - begun) * 1000;
  });

const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? 0;
const figures = (values: readonly number[]): string =>
  [0.5, 0.99, 1].map((share) => quantile(values, share).toFixed(0).padStart(6)).join(' ');

/** In microseconds, for the median of each kind of policies. */
const LIMIT = 1000;

/**
 * Prints a line for each kind of policies, and makes the process exit with 1 where a median is over the limit.
 * @throws where the index and the scan disagree
 */
export function measureMatching(say: (text: string) => void): void {
  say(
    `one event against ${POLICIES} policies, in µs: median, 99th percentile, worst; index | scan | ratio of medians`,
  );
  for (const one of CASES) {
    const set = policiesOf(one);
    const some = one.events.slice(0, SCANNED);
    const begun = performance.now();
    matchPolicies(set, one.events[0] ?? event(''));
    const built = performance.now() - begun;
    let matches = 0;
    for (const at of some) {
      const found = matchPolicies(set, at);
      matches = Math.max(matches, found.length);
      if (!isDeepStrictEqual(found, scan(set, at)))
        throw new Error(`${one.title}: the index is wrong about ${at.repository}`);
    }
    const indexed = Array.from({ length: ROUNDS }, () => timesOf(matchPolicies, set, one.events)).flat();
    const scanned = timesOf(scan, set, some);
    if (quantile(indexed, 0.5) > LIMIT) {
      process.exitCode = 1;
      say(`${one.title}: the median is above ${LIMIT} µs`);
    }
    const ratio = quantile(scanned, 0.5) / quantile(indexed, 0.5);
    say(
      `${one.title.padEnd(31)} ${figures(indexed)} | ${figures(scanned)} | ${ratio.toFixed(0)}; at most ${matches} match; built in ${built.toFixed(0)} ms`,
    );
  }
}

if (import.meta.main) measureMatching((text) => process.stdout.write(`${text}\n`));
