/** A process that has a store: it stores one event in the file it is given, says so, and holds on until it is killed. */
import { createSqlStore } from '../src/store/sql.ts';

const [file = ''] = process.argv.slice(2);
const store = createSqlStore({ file });
await store.lifecycle.start();
const move = {
  repository: 'plain:ml/iris',
  projectId: null,
  ref: 'refs/tags/v1.0.0',
  before: null,
  after: 'a'.repeat(40),
};
await store.events.record(move, 'webhook', null);
process.send?.('stored');
process.on('disconnect', () => process.exit());
