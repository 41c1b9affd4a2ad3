/** Answers of the stand-in for GitLab, and who gets which. */
export interface Reply {
  status: number;
  /** Bytes and text are sent as they are. */
  body?: unknown;
  headers?: Record<string, string>;
}

export const message = (status: number, text: unknown): Reply => ({ status, body: { message: text } });
export const notFound = (what: string): Reply => message(404, `404 ${what} Not Found`);
export const forbidden = (): Reply => message(403, '403 Forbidden');

/** Access levels, as the API numbers them. */
export const LEVELS = { Guest: 10, Reporter: 20, Developer: 30, Maintainer: 40, Owner: 50 } as const;
export type Role = keyof typeof LEVELS;

/** What a token is. */
export interface Grant {
  user: string;
  scope: 'read_repository' | 'read_api' | 'api';
  /** In every project and group; null: it is a member of none. */
  role: Role | null;
  isBot?: boolean;
  isAdmin?: boolean;
  /** A day. */
  expiresAt?: string;
}

export const reaches = ({ role, isAdmin }: Grant, needed: Role): boolean =>
  isAdmin === true || (role !== null && LEVELS[role] >= LEVELS[needed]);

const INSUFFICIENT_SCOPE: Reply = {
  status: 403,
  body: {
    error: 'insufficient_scope',
    error_description: 'The request requires higher privileges than provided by the access token.',
    scope: 'api',
  },
};

/** @returns why a token may not do this; null: it may */
export function refusalOf(grant: Grant, method: string, role: Role): Reply | null {
  if (method !== 'GET' && grant.scope !== 'api') return INSUFFICIENT_SCOPE;
  return reaches(grant, role) ? null : forbidden();
}

export const insufficientScope = (): Reply => INSUFFICIENT_SCOPE;
