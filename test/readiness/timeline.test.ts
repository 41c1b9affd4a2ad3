import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { timelineOf } from './timeline.ts';
import { episodesOf, readTrace } from './traces.ts';

describe('docs/readiness.md', () => {
  it('shows what was really seen of a slow update, and what is said to that', () => {
    const update = episodesOf(readTrace('update-slow-ready')).at(-1);
    if (update === undefined) throw new Error('the trace has no update');
    const page = readFileSync(new URL('../../docs/readiness.md', import.meta.url), 'utf8');
    expect(page).toContain(timelineOf(update));
  });
});
