import type { SqlContext } from './sql-context.ts';
import { rolloutOf } from './sql-rollouts.ts';
import { addLine } from './sql-standing.ts';
import type { Report, ReportStore } from './store.ts';

export function createReportStore({ db, write, now, instance, changed }: SqlContext): ReportStore {
  return {
    async claim(limit, except = []) {
      // A try is marked as begun before it is: if this process ends in it, the next one reads the status back.
      const due = await write(async (trx) => {
        let select = trx
          .selectFrom('reports')
          .selectAll()
          .where('due_at', '<=', now())
          .where((e) => e.or([e('lease', 'is', null), e('lease', '<>', instance)]))
          .orderBy('due_at')
          .limit(limit);
        for (const forge of except) select = select.where('repository', 'not like', `${forge}:%`);
        const rows = await select.execute();
        const ids = rows.map(({ id }) => id);
        if (ids.length === 0) return [];
        await trx
          .updateTable('reports')
          .set({ lease: instance, uncertain: 1 })
          .where('id', 'in', ids)
          .execute();
        const rollouts = await trx
          .selectFrom('rollouts')
          .selectAll()
          .where(
            'id',
            'in',
            rows.map(({ rollout_id }) => rollout_id),
          )
          .execute();
        const byId = new Map(rollouts.map((row) => [row.id, rolloutOf(row)]));
        return rows.map((row) => ({ row, rollout: byId.get(row.rollout_id) }));
      });
      return due.flatMap(({ row, rollout }): Report[] =>
        rollout
          ? [
              {
                id: row.id,
                version: row.version,
                rollout,
                sent: row.sent === null ? null : JSON.parse(row.sent),
                uncertain: row.uncertain === 1,
                attempts: row.attempts,
              },
            ]
          : [],
      );
    },

    async sent(report, status) {
      await db
        .updateTable('reports')
        .set((e) => ({
          sent: JSON.stringify(status),
          uncertain: 0,
          attempts: 0,
          lease: null,
          // What changed during the write is written next.
          due_at: e.case().when('version', '=', report.version).then(null).else(e.ref('due_at')).end(),
        }))
        .where('id', '=', report.id)
        .execute();
      changed();
    },

    async postponed(report, dueAt) {
      await db
        .updateTable('reports')
        .set({ lease: null, due_at: dueAt, attempts: report.attempts + 1 })
        .where('id', '=', report.id)
        .execute();
      changed();
    },

    async refused({ id, version, attempts, rollout }, reason) {
      const message = `The status on the commit could not be written: ${reason}`;
      await write(async (trx) => {
        await trx
          .updateTable('reports')
          .set((e) => ({
            lease: null,
            // What came up meanwhile is not given up.
            due_at: e.case().when('version', '=', version).then(null).else(e.ref('due_at')).end(),
            attempts: attempts + 1,
          }))
          .where('id', '=', id)
          .execute();
        const said = await trx
          .selectFrom('transitions')
          .select('seq')
          .where('rollout_id', '=', rollout.id)
          .where('message', '=', message)
          .executeTakeFirst();
        if (said) return;
        await addLine(trx, rollout.id, message, now());
      });
      changed();
    },
  };
}
