/** Numbers as the sentences of a guarantee say them. Exact: a window that is rounded would promise too much. */

const units = [
  ['day', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const

/** In the largest unit that divides it: '7 days', '90 s', '1500 ms'. */
export function duration(ms: number): string {
  const unit = units.find(([, size]) => ms >= size && ms % size === 0)
  if (unit === undefined) return `${ms} ms`
  const count = ms / unit[1]
  return unit[0] === 'day' ? `${number(count)} ${count === 1 ? 'day' : 'days'}` : `${number(count)} ${unit[0]}`
}

const english = new Intl.NumberFormat('en-US')

export function number(value: number): string {
  return english.format(value)
}

export function times(count: number): string {
  return count === 1 ? 'once' : count === 2 ? 'twice' : `${number(count)} times`
}
