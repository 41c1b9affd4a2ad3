import { defineConfig } from 'vitest/config';

/** Hours where `npm test` has minutes: the same checks, many more times. */
export default defineConfig({
  test: { include: ['test/soak/**/*.test.ts'], testTimeout: 7_200_000, hookTimeout: 600_000 },
});
