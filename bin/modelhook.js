#!/usr/bin/env -S node --max-semi-space-size=1 --disable-warning=ExperimentalWarning
// The package ships JavaScript in dist/; in the repository the TypeScript runs as it is.
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';

if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(
    `modelhook needs Node.js 24 or newer, and this is ${process.version}. In a clone, npm install brings the right one: npm exec modelhook\n`,
  );
  process.exit(2);
}
// A second start takes half the time, and does not even load what strips the types.
nodeModule.enableCompileCache();
const source = new URL('../src/main.ts', import.meta.url);
await import(existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href);
