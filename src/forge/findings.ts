/** What all looks at a forge have in common (`modelhook doctor`). */
import { messageOf, WaitingError } from '../core/errors.ts';
import type { Finding } from './forge.ts';

export const good = (about: string, message: string): Finding => ({
  about,
  state: 'good',
  message,
  fix: null,
});

export const warning = (about: string, message: string, fix: string): Finding => ({
  about,
  state: 'warning',
  message,
  fix,
});

export const fault = (about: string, message: string, fix: string): Finding => ({
  about,
  state: 'fault',
  message,
  fix,
});

/** What one look throws says nothing of the others. */
export async function guarded(about: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof WaitingError) return [warning(about, error.message, 'look again later')];
    // Messages of errors end with what to do.
    const [reason = '', ...fix] = messageOf(error).split('; ');
    return [fault(about, reason, fix.join('; ') || 'look again, and at the network between here and there')];
  }
}

/** @returns whether two addresses of webhooks lead to the same place, however they are spelled */
export const isSameAddress = (one: string, other: string): boolean => normalised(one) === normalised(other);

function normalised(address: string): string {
  // Forges hide parts of some addresses, which are none then.
  if (!URL.canParse(address)) return address;
  const { origin, pathname, search } = new URL(address);
  return `${origin}${pathname.replace(/\/+$/, '')}${search}`;
}
