import { describe } from 'vitest';
import { describeFileTarget } from './contract.ts';
import { createFakeTarget } from './target.fake.ts';

describe('the fake delivery target', () => {
  describeFileTarget(async () => {
    const target = createFakeTarget('fleet');
    return {
      target,
      read: async (path) => target.files.get(path) ?? null,
      put: async (path, text) => {
        target.files.set(path, text);
      },
    };
  });
});
