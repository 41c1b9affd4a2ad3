/** Kubernetes quantities: `500m`, `4Gi`, `1e3` (apimachinery pkg/api/resource). */

const QUANTITY = /^([+-]?(?:\d+\.?\d*|\.\d+))(m|u|n|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,3})?$/;
const SUFFIXES: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** @returns how much it is, near enough to compare; null where it is no quantity */
export function parseQuantity(text: string): number | null {
  const match = QUANTITY.exec(text);
  if (match === null) return null;
  const [, digits = '', suffix = ''] = match;
  const factor = SUFFIXES[suffix] ?? (suffix === '' ? 1 : Number(`1${suffix}`));
  return Number(digits) * factor;
}
