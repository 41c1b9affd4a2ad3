import { describe, expect, it } from 'vitest';
import { STYLE } from './style.ts';

/** The colours of one scheme, by name. */
function palette(block: string | undefined): Map<string, string> {
  return new Map(
    [...(block ?? '').matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map(([, name = '', hex = '']) => [name, hex]),
  );
}

/** Relative luminance (WCAG 2.2). */
function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

const [, light, dark] = STYLE.split(':root {').map((block) => block.split('}')[0]);
const onSurfaces = ['text', 'muted', 'link'].flatMap((text) =>
  ['page', 'card', 'sunken'].map((on) => [text, on]),
);
const onFills = ['success', 'running', 'waiting', 'failure', 'ended'].flatMap((tone) => [
  [tone, `${tone}-fill`],
  [tone, 'card'],
]);
const inCode = ['key', 'string', 'note'].map((text) => [text, 'sunken']);
const other = [
  ['text', 'ended-fill'],
  ['page', 'text'],
];

describe.each([
  ['light', palette(light)],
  ['dark', palette(dark)],
])('in the %s scheme', (_, colours) => {
  it.each([...onSurfaces, ...onFills, ...inCode, ...other])('%s can be read on %s', (text = '', on = '') => {
    expect(contrast(colours.get(text) ?? '', colours.get(on) ?? '')).toBeGreaterThanOrEqual(4.5);
  });
});
