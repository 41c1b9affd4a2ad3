/** What a suspended policy (`suspend: true`) makes of its rollouts. */
import { WaitingError } from '../core/errors.ts';

/** How often it is looked at whether a policy still is: when others come into force, that is looked at once. */
const LOOK_AGAIN = 60_000;

/** @returns what a rollout waits for whose policy is suspended */
export const suspension = (policy: string): WaitingError =>
  new WaitingError(`Waiting: policy "${policy}" is suspended`, LOOK_AGAIN);
