/** An answer of the stand-in for Gitea that is not what was asked for. */
export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Who has which token: their scopes, and what they may do in every repository. */
export interface Account {
  login: string;
  scopes: readonly string[];
  role: 'none' | 'read' | 'write' | 'admin';
  /** Administrators of the whole server are told the reasons of failures. */
  isAdministrator?: true;
}

const REPOSITORY = ['write:repository', 'write:issue'];

export const TOKENS = {
  administrator: 'token-of-an-administrator',
  /** Of somebody who owns the organisations, too. */
  owner: 'token-of-an-owner',
  writer: 'token-of-a-writer',
  /** Who may say whose it is, too. */
  reviewer: 'token-of-a-reviewer',
  /** Without the scope to write. */
  reader: 'token-of-a-reader',
  /** Without the scope to comment. */
  silent: 'token-of-a-silent-writer',
  /** All scopes, of somebody who may only read. */
  visitor: 'token-of-a-visitor',
  /** All scopes, of somebody to whom nothing is shown. */
  stranger: 'token-of-a-stranger',
  /** The scope of something else. */
  misfit: 'token-of-a-misfit',
};

export const ACCOUNTS: Readonly<Record<string, Account>> = {
  [TOKENS.administrator]: {
    login: 'root',
    scopes: [...REPOSITORY, 'write:organization', 'read:user'],
    role: 'admin',
    isAdministrator: true,
  },
  [TOKENS.owner]: {
    login: 'olga',
    scopes: [...REPOSITORY, 'write:organization', 'read:user'],
    role: 'admin',
  },
  [TOKENS.writer]: { login: 'modelhook', scopes: REPOSITORY, role: 'write' },
  [TOKENS.reviewer]: { login: 'modelhook', scopes: [...REPOSITORY, 'read:user'], role: 'write' },
  [TOKENS.reader]: { login: 'modelhook', scopes: ['read:repository'], role: 'write' },
  [TOKENS.silent]: { login: 'modelhook', scopes: ['write:repository'], role: 'write' },
  [TOKENS.visitor]: { login: 'vera', scopes: [...REPOSITORY, 'write:organization'], role: 'read' },
  [TOKENS.stranger]: { login: 'sven', scopes: REPOSITORY, role: 'none' },
  [TOKENS.misfit]: { login: 'mia', scopes: ['write:user'], role: 'write' },
};

/** The number of a user; 0 of one without a token. */
export const idOf = (login: string): number =>
  [...new Set(Object.values(ACCOUNTS).map((each) => each.login))].indexOf(login) + 1;

/** @throws Refusal where the token lacks the scope, in Gitea's words: they tell those it has */
export function requireScope({ scopes }: Account, category: string, method: string): void {
  const level = method === 'GET' ? 'read' : 'write';
  const has = scopes.includes(`write:${category}`) || scopes.includes(`${level}:${category}`);
  if (has) return;
  throw new Refusal(
    403,
    `token does not have at least one of required scope(s), required=[${level}:${category}], token scope=${scopes.join(',')}`,
  );
}

export const NOT_FOUND = new Refusal(404, 'not found');
