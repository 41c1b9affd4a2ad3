/** How repositories and versions are written on pages. */
import { html } from 'hono/html';
import { parseRef, shortSha } from '../../core/ref-event.ts';
import type { Rollout } from '../../core/rollout.ts';
import type { Html } from './layout.ts';

/** @returns a repository id that breaks after its slashes, where it has to */
export const repositoryName = (id: string): Html =>
  html`<bdi>${id.split('/').map((segment, index) => (index === 0 ? segment : html`/<wbr>${segment}`))}</bdi>`;

/** @returns the tag, or the branch with the commit that was its head */
export function versionOf({ ref, revision, sha }: Pick<Rollout, 'ref' | 'revision' | 'sha'>): string {
  const parsed = parseRef(ref);
  return parsed?.kind === 'branch' ? `${parsed.name} @ ${shortSha(sha)}` : revision;
}
