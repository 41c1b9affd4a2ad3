import { beforeEach, describe, expect, it } from 'vitest';
import { createCommentKeeper, type KeptComment, markerOf } from './kept-comment.ts';

const MARKER = '<!-- modelhook policies -->';
const TEXT = `${MARKER}\n\nThe plan.`;
const REPOSITORY = 'fake:platform/policies';

describe('a kept comment', () => {
  let comments: KeptComment[];
  let asked: string[];
  let failure: Error | null;
  let keep: ReturnType<typeof createCommentKeeper>;
  beforeEach(() => {
    [comments, asked, failure] = [[], [], null];
    keep = createCommentKeeper({
      async *list() {
        for (const comment of comments) {
          asked.push(`list ${comment.id}`);
          yield comment;
        }
      },
      get: async (_repository, _number, id) => {
        asked.push(`get ${id}`);
        return comments.find((each) => each.id === id) ?? null;
      },
      edit: async (_repository, _number, id, text) => {
        asked.push(`edit ${id}`);
        Object.assign(comments.find((each) => each.id === id) ?? {}, { text });
      },
      add: async (_repository, number, text) => {
        asked.push('add');
        const thrown = failure;
        failure = null;
        if (thrown) throw thrown;
        const id = `${number}-${comments.length}`;
        comments.push({ id, text, isOurs: true });
        return id;
      },
    });
  });
  const others = (...texts: string[]) =>
    comments.push(...texts.map((text, index) => ({ id: `other-${index}`, text, isOurs: false })));

  it('is looked for once, and then asked for by its id', async () => {
    others('a', 'b');
    for (const text of [TEXT, `${TEXT} More.`]) await keep(REPOSITORY, 1, text);
    expect(asked).toEqual(['list other-0', 'list other-1', 'add', 'get 1-2', 'edit 1-2']);
  });

  it('is written only where its text differs, whatever the forge did to line ends and blanks', async () => {
    comments.push({ id: 'ours', text: `${TEXT.replaceAll('\n', '\r\n')}  \r\n`, isOurs: true });
    await keep(REPOSITORY, 1, TEXT);
    expect(asked).toEqual(['list ours']);
  });

  it('ends the search when it is found', async () => {
    comments.push({ id: 'ours', text: TEXT, isOurs: true });
    others('a', 'b');
    await keep(REPOSITORY, 1, TEXT);
    expect(asked).toEqual(['list ours']);
  });

  it('is looked for again, and made again, where it is not there any more', async () => {
    await keep(REPOSITORY, 1, TEXT);
    comments.length = 0;
    await keep(REPOSITORY, 1, TEXT);
    expect(asked).toEqual(['add', 'get 1-0', 'add']);
  });

  it('is another one where what has its id does not begin with the marker any more', async () => {
    await keep(REPOSITORY, 1, TEXT);
    Object.assign(comments[0] ?? {}, { text: 'Somebody wrote over it.' });
    await keep(REPOSITORY, 1, TEXT);
    expect(comments.map(({ text }) => text)).toEqual(['Somebody wrote over it.', TEXT]);
  });

  it('is one where several ask at once, and says what the last of them wants', async () => {
    await Promise.all([1, 2, 3].map((n) => keep(REPOSITORY, 1, `${TEXT} ${n}`)));
    expect(comments.map(({ text }) => text)).toEqual([`${TEXT} 3`]);
  });

  it('is written after one that failed, and the failure is told to who asked for it', async () => {
    failure = new Error('502');
    const first = keep(REPOSITORY, 1, TEXT);
    const second = keep(REPOSITORY, 1, `${TEXT} More.`);
    await expect(first).rejects.toThrow('502');
    await second;
    expect(comments.map(({ text }) => text)).toEqual([`${TEXT} More.`]);
  });

  it('of another request waits for nothing', async () => {
    const never = keep(REPOSITORY, 1, TEXT);
    await keep(REPOSITORY, 2, TEXT);
    await never;
    expect(comments.map(({ id }) => id).toSorted()).toEqual(['1-0', '2-1']);
  });

  it('is found again among very many requests, of which not all are remembered', async () => {
    for (let number = 1; number <= 1001; number += 1) await keep(REPOSITORY, number, `<!-- ${number} -->`);
    await keep(REPOSITORY, 1, '<!-- 1 --> again');
    expect(comments).toHaveLength(1001);
    expect(asked.slice(-2)).toEqual(['list 1-0', 'edit 1-0']);
  });

  it('without a marker is a bug of ours', async () => {
    for (const text of ['', 'The plan.', ` ${MARKER}`, '<!-- never ends', '<!-- over\nlines -->'])
      await expect(keep(REPOSITORY, 1, text)).rejects.toBeInstanceOf(TypeError);
    expect(markerOf(`${MARKER} <!-- b -->`)).toBe(MARKER);
  });
});
