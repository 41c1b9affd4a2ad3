/** Looks at the token: whose it is, what it may do, and until when. */

import { fault, good, warning } from '../findings.ts';
import type { Finding } from '../forge.ts';
import type { GitLabApi, GitLabApiOptions } from './api.ts';
import { tokenSchema, type User, userSchema } from './schema.ts';

const DAY = 86_400_000;
/** Days before its end from which on a token is worth a warning. */
const SOON = 14;
const ABOUT = 'token';

interface TokenExamination {
  findings: Finding[];
  /** null where there is no token, or none that is of use. */
  user: User | null;
  /** Whether anything can be asked with it. */
  isUsable: boolean;
}

export async function examineToken(
  { name, token, now }: Pick<GitLabApiOptions, 'name' | 'token' | 'now'>,
  api: GitLabApi,
): Promise<TokenExamination> {
  if (token === null) {
    const message = `the forge "${name}" has no token, so only what is public is read, and nothing is written`;
    const fix = `make one with the scope api and the role Developer, and set forges.${name}.token`;
    return { findings: [fault(ABOUT, message, fix)], user: null, isUsable: true };
  }
  const answer = await api.ask('GET', 'user');
  if (answer.status === 401) {
    const message = 'GitLab does not accept the token: it is wrong, revoked or expired';
    return { findings: [fault(ABOUT, message, 'make a new one, and restart')], user: null, isUsable: false };
  }
  if (answer.status === 403) {
    const message = 'the token lets nobody use the API: it has neither the scope api nor read_api';
    return { findings: [fault(ABOUT, message, 'make one with the scope api')], user: null, isUsable: false };
  }
  const user = await api.read('the user of the token', answer, userSchema);
  const whose = `the token is ${kindOf(user)}`;
  // Of personal, project and group tokens alike: the latter two belong to bots.
  const self = await api.ask('GET', 'personal_access_tokens/self');
  if (!self.ok) {
    const message = `${whose}, and GitLab does not tell its scopes`;
    const fix = 'look at them where it was made: modelhook needs api';
    return { findings: [warning(ABOUT, message, fix)], user, isUsable: true };
  }
  const { scopes, expires_at } = await api.read('the token', self, tokenSchema);
  const findings = [scopesFinding(whose, scopes), ...endFinding(expires_at ?? null, now())];
  return { findings, user, isUsable: true };
}

/** The names are GitLab's own for the users it makes for such tokens. */
function kindOf({ username, bot }: User): string {
  if (/^project_\d+_bot/.test(username)) return `a project's, ${username}`;
  if (/^group_\d+_bot/.test(username)) return `a group's, ${username}`;
  return bot ? `a service account's, ${username}` : `a personal one of ${username}`;
}

function scopesFinding(whose: string, scopes: readonly string[]): Finding {
  const has = `${whose}, with the ${scopes.length === 1 ? 'scope' : 'scopes'} ${scopes.join(', ') || 'none'}`;
  if (scopes.includes('api')) return good(ABOUT, has);
  return fault(ABOUT, `${has}: nothing can be written with it`, 'make one with the scope api');
}

/** @param end the day on which it ends, in UTC, as `2026-05-01`; null: it has none */
function endFinding(end: string | null, now: number): Finding[] {
  const left = Math.floor((Date.parse(end ?? '') - now) / DAY);
  if (Number.isNaN(left) || left >= SOON) return [];
  const when = left < 1 ? 'within a day' : `in ${left} ${left === 1 ? 'day' : 'days'}`;
  return [warning(ABOUT, `the token expires ${when}, on ${end}`, 'make its successor, and restart with it')];
}
