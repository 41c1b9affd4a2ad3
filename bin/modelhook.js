#!/usr/bin/env -S node --max-semi-space-size=1 --disable-warning=ExperimentalWarning
// The package ships JavaScript in dist/; in the repository the TypeScript runs as it is.
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';

// A second start takes half the time, and does not even load what strips the types.
enableCompileCache();
const source = new URL('../src/main.ts', import.meta.url);
await import(existsSync(source) ? source.href : new URL('../dist/main.js', import.meta.url).href);
