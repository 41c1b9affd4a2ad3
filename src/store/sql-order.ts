/**
 * In which order the rollouts of a target count: that of their events. A retry, a rollback, a replay or a change of the policies
 * came later, and still says nothing about what was pushed since the rollout or event that it is about.
 */
import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { RolloutsTable } from './schema.ts';

type Placed = Pick<Selectable<RolloutsTable>, 'seq' | 'place'>;

/** @returns the place of a rollout: its own `seq`, or that of the rollout whose turn it takes once more */
export const placeInOrder = ({ place, seq }: Placed): number => place ?? seq;

/** For `order by`, before `seq`: of two with one place, the one that was asked for later counts. */
export const PLACE = sql<number>`coalesce(place, seq)`;

/** @returns the condition that a row of `rollouts` counts after another */
export const isAfter = (one: Placed): RawBuilder<boolean> =>
  // Said twice, for SQLite: by the first the index on targets finds where to begin.
  sql`(coalesce(place, seq) >= ${placeInOrder(one)} and (coalesce(place, seq), seq) > (${placeInOrder(one)}, ${one.seq}))`;

/** @returns the condition that a row of `rollouts` counts before another */
export const isBefore = (one: Placed): RawBuilder<boolean> =>
  sql`(coalesce(place, seq), seq) < (${placeInOrder(one)}, ${one.seq})`;

/** Compares as the database does. */
export const compareInOrder = (one: Placed, other: Placed): number =>
  placeInOrder(one) - placeInOrder(other) || one.seq - other.seq;
