/** What a look at GitHub, and a webhook made there, needs. */
import type { GitHubApi } from './api.ts';
import type { Connection } from './connection.ts';
import type { Tokens } from './tokens.ts';

export interface GitHubAdministrationOptions {
  /** Its name in modelhook.yaml. */
  forge: string;
  apiUrl: string;
  api: GitHubApi;
  connection: Connection;
  tokens: Tokens;
  /** Milliseconds since the epoch. */
  now: () => number;
}
