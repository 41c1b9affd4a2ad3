/**
 * Makes test/traces/ of recordings of a cluster with KServe (test/readiness/traces.ts says of what shape):
 *   npm run reduce-traces -- DIR
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reduceTrace } from '../test/readiness/traces.ts';

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  process.stderr.write('usage: node scripts/reduce-traces.ts DIR\n');
  process.exit(2);
}
const target = new URL('../test/traces/', import.meta.url);
for (const file of readdirSync(directory).filter((name) => name.endsWith('.jsonl')))
  writeFileSync(new URL(file, target), reduceTrace(readFileSync(join(directory, file), 'utf8')));
