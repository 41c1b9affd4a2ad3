import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linesOf } from './lines.ts';

async function* chunksOf(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const size of sizes) {
    yield bytes.subarray(from, from + size);
    from += size;
  }
  yield bytes.subarray(from);
}

async function all(lines: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

describe('lines of a stream', () => {
  it('are the same however it is cut, in the middle of a character too', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme' })),
        fc.array(fc.nat(7)),
        async (texts, sizes) => {
          const lines = texts.map((text) => text.replace(/\n/g, ' '));
          const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(''));
          const found = await all(linesOf(chunksOf(bytes, sizes)));
          expect(found).toEqual(lines.filter((line) => line.trim() !== ''));
        },
      ),
    );
  });

  it('end with a line end: what comes after the last is no line', async () => {
    const bytes = new TextEncoder().encode('{"a":1}\n{"b"');
    expect(await all(linesOf(chunksOf(bytes, [3])))).toEqual(['{"a":1}']);
  });

  it('that do not end are not kept for ever', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield new Uint8Array(1024 * 1024).fill(97);
    }
    await expect(all(linesOf(endless()))).rejects.toThrow(RangeError);
  });
});
