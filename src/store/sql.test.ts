import { describeStore } from './contract.ts';
import { createSqlStore } from './sql.ts';

describeStore('the store in memory', async () => {
  const clock = { now: 0 };
  const store = createSqlStore({ file: ':memory:', now: () => clock.now });
  await store.lifecycle.start();
  return { store, clock, end: () => store.lifecycle.stop() };
});
