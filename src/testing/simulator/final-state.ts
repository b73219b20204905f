import { parseJson } from '../../parse-json.ts'
import type { OutsideWorld } from './outside-world.ts'
import type { Published, WorldDatabase } from './world-database.ts'

/** What is there when all is quiet, each part as sorted texts: tables, messages, attention, the outside world's ledger. */
export type FinalState = ReadonlyMap<string, readonly string[]>

export async function finalState(
  database: WorldDatabase,
  run: { readonly published: readonly Published[]; readonly outside: OutsideWorld },
  ignored: ReadonlySet<string>,
): Promise<FinalState> {
  const state = new Map(await database.userRows(ignored))
  for (const [topic, messages] of Map.groupBy(run.published, (one) => one.topic))
    state.set(`topic ${topic}`, messages.map(({ data }) => withoutFields(`topic ${topic}`, data, ignored)).sort())
  state.set(
    'attention',
    (await database.attention())
      .map(({ topic, group, kind, data }) => `${kind} ${topic}/${group} ${withoutFields(`topic ${topic}`, data, ignored)}`)
      .sort(),
  )
  state.set('the outside world', run.outside.ledger())
  return state
}

/** A message's body, or a row, without its fields that cannot be compared. */
function withoutFields(part: string, json: string, ignored: ReadonlySet<string>): string {
  const fields = fieldsOf(json)
  if (fields === undefined || !Object.keys(fields).some((field) => ignored.has(`${part}.${field}`))) return json
  return JSON.stringify(Object.fromEntries(Object.entries(fields).filter(([field]) => !ignored.has(`${part}.${field}`))))
}

function fieldsOf(json: string): Readonly<Record<string, unknown>> | undefined {
  const value: unknown = parseJson(json)
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
}

/** Columns of tables and fields of messages that differ between two runs without faults: they depend on time or chance. */
export function incomparable(one: FinalState, other: FinalState): string[] {
  const found: string[] = []
  for (const [part, rows] of one) {
    if (part === 'attention' || part === 'the outside world') continue
    const others = other.get(part) ?? []
    if (JSON.stringify(rows) === JSON.stringify(others)) continue
    const fields = new Set([...rows, ...others].flatMap((row) => Object.keys(fieldsOf(row) ?? {})))
    const values = (list: readonly string[], field: string): string =>
      JSON.stringify(list.map((row) => JSON.stringify(fieldsOf(row)?.[field]) ?? '').sort())
    found.push(...[...fields].filter((field) => values(rows, field) !== values(others, field)).map((field) => `${part}.${field}`))
  }
  return found
}

/** One sentence about the first difference; undefined when there is none. */
export function differenceOf(state: FinalState, expected: FinalState): string | undefined {
  for (const part of new Set([...expected.keys(), ...state.keys()])) {
    const rows = expected.get(part) ?? []
    const found = state.get(part) ?? []
    const extra = without(found, rows)
    const missing = without(rows, found)
    if (extra.length === 0 && missing.length === 0) continue
    const list = (some: readonly string[]): string => `${some.slice(0, 2).join(' and ')}${some.length > 2 ? ' …' : ''}`
    if (extra.length > 0 && missing.length > 0)
      return `In ${part} there is ${list(extra)} where, without faults, there is ${list(missing)}.`
    if (extra.length > 0) return `In ${part} there is ${list(extra)}, which without faults is not there.`
    return `In ${part} there is no ${list(missing)}, which without faults is there.`
  }
  return undefined
}

function without(rows: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>()
  for (const row of others) left.set(row, (left.get(row) ?? 0) + 1)
  return rows.filter((row) => {
    const times = left.get(row) ?? 0
    if (times > 0) left.set(row, times - 1)
    return times === 0
  })
}
