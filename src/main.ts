/** The command line. Each command is a file in cli/. */
import { enableCompileCache } from 'node:module';

// For those who start this file itself; bin/modelhook.js has done it already.
enableCompileCache();
// Whoever reads our output may leave early, as `head` does: that is no error of ours.
process.stdout.on('error', () => process.exit());
const { createProgram } = await import('./cli/program.ts');
await createProgram().parseAsync();
