import type { Guarantee } from './guarantee.ts'

/** What is for people, or differs between two runs of one program: not part of a snapshot. */
const left: ReadonlySet<string> = new Set(['version', 'says', 'holds', 'doesNotHold', 'failureModel'])

export interface Difference {
  /** Elements of lists by their name: `consumers[orders/mail].calls[receipt].rule`. */
  readonly path: string
  /** As JSON; undefined where it is not there. */
  readonly was: string | undefined
  readonly is: string | undefined
}

/**
 * The facts of a guarantee, to be kept beside the code and compared in CI: no sentences (they may be worded better some
 * day), no versions, paths or times. The same configuration always gives the same text.
 */
export function snapshotOf(guarantee: Guarantee): string {
  return `${JSON.stringify(guarantee, (key, value: unknown) => (left.has(key) ? undefined : value), 2)}\n`
}

/** What changed between two snapshots, as they parse; empty when nothing did. The order of keys and elements does not count. */
export function differencesOf(was: unknown, is: unknown, path = ''): Difference[] {
  if (isRecord(was) && isRecord(is)) {
    const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])]
    return keys.flatMap((key) => differencesOf(was[key], is[key], path === '' ? key : `${path}.${key}`))
  }
  if (Array.isArray(was) && Array.isArray(is)) {
    const before = named(was)
    const after = named(is)
    const names = [...new Set([...before.keys(), ...after.keys()])]
    return names.flatMap((name) => differencesOf(before.get(name), after.get(name), `${path}[${name}]`))
  }
  const [before, after] = [JSON.stringify(was) as string | undefined, JSON.stringify(is) as string | undefined]
  return before === after ? [] : [{ path, was: before, is: after }]
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function named(elements: readonly unknown[]): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const [index, element] of elements.entries()) {
    const name = nameOf(element) ?? String(index)
    // A hand-edited file may name two alike.
    found.set(found.has(name) ? `${name} ${index}` : name, element)
  }
  return found
}

function nameOf(element: unknown): string | undefined {
  if (!isRecord(element)) return undefined
  const { name, topic, group, option, where } = element
  if (typeof option === 'string') return `${option} in ${String(where ?? `${String(topic)}/${String(group)}`)}`
  if (typeof group === 'string') return `${String(topic)}/${group}`
  return typeof name === 'string' ? name : undefined
}
