/** The command line. Each command is a file in cli/. */
import { createProgram } from './cli/program.ts';

await createProgram().parseAsync();
