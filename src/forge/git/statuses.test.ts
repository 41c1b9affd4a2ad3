import { describe, expect, it } from 'vitest';
import type { CommitStatus } from '../../core/commit-status.ts';
import { withLine } from './statuses.ts';

const status = (context: string, description: string): CommitStatus => ({
  context,
  state: 'success',
  description,
  url: 'http://m/1',
});

describe('the line of a context in a note', () => {
  it('is the only one in a new note', () => {
    expect(withLine('', status('modelhook/a', 'Done'))).toBe('modelhook/a\tsuccess\tDone\thttp://m/1\n');
  });

  it('is replaced where it stands, and what others wrote stays to the letter', () => {
    const text = 'reviewed by Ada\n\nmodelhook/a\tpending\tQueued\thttp://m/0\nci/test\tone\nci/test\ttwo\n';
    expect(withLine(text, status('modelhook/a', 'Done'))).toBe(
      'reviewed by Ada\n\nmodelhook/a\tsuccess\tDone\thttp://m/1\nci/test\tone\nci/test\ttwo\n',
    );
  });

  it('comes last where there was none', () => {
    expect(withLine('ci/test\tone\n', status('modelhook/a', 'Done'))).toBe(
      'ci/test\tone\nmodelhook/a\tsuccess\tDone\thttp://m/1\n',
    );
  });

  it('is one, though somebody doubled it', () => {
    const text = 'modelhook/a\tx\nother\nmodelhook/a\ty\n';
    expect(withLine(text, status('modelhook/a', 'Done'))).toBe(
      'modelhook/a\tsuccess\tDone\thttp://m/1\nother\n',
    );
  });
});
