/**
 * A repeatable source of numbers in [0, 1) (mulberry32): the same seeds give the same sequence on every machine.
 * For tests and simulations, never for secrets.
 *
 * @example
 * const random = seededRandom(7, 'payments', '0')
 */
export function seededRandom(...seeds: readonly (number | string)[]): () => number {
  let state = hash(seeds.join('\u0000'))
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value
}
