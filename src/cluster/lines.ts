/** Lines of a stream. */

/** No object in a cluster is larger: etcd takes 1.5 MiB. */
const LONGEST = 16 * 1024 * 1024;

/**
 * Splits what comes into lines, each given at once when its end has come.
 * @returns lines without their ends, and without empty ones; what comes after the last end is no line
 * @throws {RangeError} a line does not end
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  // Joined once a line is whole: a large object comes in many pieces.
  let begun: string[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    const parts = decoder.decode(chunk, { stream: true }).split('\n');
    const rest = parts.pop() ?? '';
    for (const part of parts) {
      begun.push(part);
      const line = begun.join('');
      begun = [];
      size = 0;
      if (line.trim() !== '') yield line;
    }
    if (rest === '') continue;
    begun.push(rest);
    size += rest.length;
    if (size > LONGEST) throw new RangeError(`a line is longer than ${LONGEST} characters`);
  }
}
