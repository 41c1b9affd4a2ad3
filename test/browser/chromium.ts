/** Finds a browser to look at the pages with. Nothing is downloaded. */
import { existsSync } from 'node:fs';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

export type Browser = { path: string; missing: null } | { path: null; missing: string };

/**
 * @returns the browser that CHROMIUM_PATH names, else the first one installed, else why tests with one are skipped
 * @throws Error where CHROMIUM_PATH names nothing: whoever sets it wants the tests to run
 */
export function findChromium(): Browser {
  const wanted = process.env['CHROMIUM_PATH'];
  if (wanted) {
    if (existsSync(wanted)) return { path: wanted, missing: null };
    throw new Error(`CHROMIUM_PATH is ${wanted}, and there is no such file`);
  }
  const path = PLACES.find((place) => existsSync(place));
  return path
    ? { path, missing: null }
    : { path: null, missing: 'no Chromium or Chrome is installed, and CHROMIUM_PATH is not set' };
}

/** For containers without user namespaces or network, and for a browser that talks to nobody but us. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
