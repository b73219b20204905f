/** Options that are checked, and waiting that ends. */

export function whole(option: string, text: string | undefined, otherwise: number, min: number, max: number): number {
  const value = text === undefined ? otherwise : Number(text)
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    console.error(`--${option}: a whole number from ${min} to ${max}, not ${text}`)
    process.exit(2)
  }
  return value
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Looks every so often; throws when it has waited for `limitMs`. Answers how long it took. */
export async function waitUntil(
  what: string,
  limitMs: number,
  everyMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<number> {
  const from = performance.now()
  while (!(await holds())) {
    if (performance.now() - from > limitMs) throw new Error(`waited for ${limitMs / 1_000} s, and still not: ${what}`)
    await pause(everyMs)
  }
  return performance.now() - from
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}
