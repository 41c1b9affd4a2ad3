/**
 * Makes src/core/inference-service-<version>.json of KServe's CRD:
 *   npm run reduce-crd -- CRD.yaml src/core/inference-service-0.20.json
 * The CRD is config/crd/full/serving.kserve.io_inferenceservices.yaml of https://github.com/kserve/kserve, for
 * KServe 0.20 that of the tag v0.20.0.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';
import { reduceCrd } from '../src/core/crd.ts';

const [source, target] = process.argv.slice(2);
if (source === undefined || target === undefined) {
  process.stderr.write('usage: node scripts/reduce-crd.ts CRD.yaml OUT.json\n');
  process.exit(2);
}
const { nodes, root } = reduceCrd(parse(readFileSync(source, 'utf8')));
// A line for each node: what a newer KServe adds shows in the difference.
const lines = nodes.map((node) => JSON.stringify(node));
writeFileSync(target, `{"root":${root},"nodes":[\n${lines.join(',\n')}\n]}\n`);
