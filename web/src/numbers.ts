// Numbers as people read them: three significant digits, a true minus.

const MINUS = "\u2212";

/** Return a number with three significant digits: 0.412, −12.3, 4.1e−9. */
export function short(x: number): string {
  if (!Number.isFinite(x)) return String(x);
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text =
    size < 1e-3 || size >= 1e5 ? size.toExponential(1) : size.toPrecision(3);
  return (x < 0 ? MINUS : "") + text.replace("e+", "e").replace("e-", `e${MINUS}`);
}

/** Return a number with its sign. */
export const signed = (x: number) => (x > 0 ? "+" : "") + short(x);

/** Return a share in percent: 78 %, below 1 % with one digit. */
export function percent(share: number): string {
  const p = Math.abs(100 * share);
  const digits = p > 0 && p < 9.95 ? (p < 0.1 ? 2 : 1) : 0;
  return `${share < 0 ? MINUS : ""}${p.toFixed(digits)} %`;
}

/** Return the largest absolute number, or 1 if all are zero. */
export function largest(numbers: ArrayLike<number>): number {
  let found = 0;
  for (let i = 0; i < numbers.length; i++) found = Math.max(found, Math.abs(numbers[i]));
  return found || 1;
}
