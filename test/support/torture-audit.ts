/** Judges a run by the workload's own tables and the receipts its publishers wrote down, never by Onefold's. */
import { existsSync, readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Order } from './torture-workload.ts'
import { appFile, isPlaced, receiptsFile } from './torture-workload.ts'

export interface Audit {
  readonly lost: readonly string[]
  readonly appliedTwice: readonly string[]
  /** Applied before an earlier one of its key. */
  readonly outOfOrder: readonly string[]
  readonly neverPublished: readonly string[]
  readonly totalsWrong: readonly string[]
  /** Summaries: exactly one per applied order, in order per key. */
  readonly unheard: readonly string[]
  readonly heardTwice: readonly string[]
  readonly heardOutOfOrder: readonly string[]
  /** The publisher's own row and its message: both or neither. */
  readonly placedApart: readonly string[]
  /** Acknowledged to the publisher, and not applied. */
  readonly acknowledgedAndLost: readonly string[]
  /** Two publishes of one identity that were both told 'accepted'. */
  readonly acceptedTwice: readonly string[]
}

export const clean: Audit = {
  lost: [],
  appliedTwice: [],
  outOfOrder: [],
  neverPublished: [],
  totalsWrong: [],
  unheard: [],
  heardTwice: [],
  heardOutOfOrder: [],
  placedApart: [],
  acknowledgedAndLost: [],
  acceptedTwice: [],
}

export interface Rows {
  readonly applied: readonly (Order & { readonly attempt?: number })[]
  readonly heard: readonly Order[]
  readonly totals: readonly { readonly key: string; readonly orders: number; readonly sum: number }[]
  readonly placed: readonly string[]
  /** 'accepted id' or 'duplicate id', in the order written. */
  readonly receipts: readonly string[]
}

export function readRows(folder: string): Rows {
  const database = new DatabaseSync(appFile(folder))
  try {
    const all = <R>(sql: string): R[] => database.prepare(sql).all() as R[]
    return {
      applied: all<Order & { attempt: number }>('select id, key, number, attempt from applied order by row'),
      heard: all<Order>('select id, key, number from heard order by row'),
      totals: all('select key, orders, sum from total'),
      placed: all<{ id: string }>('select id from placed').map((row) => row.id),
      receipts: existsSync(receiptsFile(folder)) ? readFileSync(receiptsFile(folder), 'utf8').split('\n').filter(Boolean) : [],
    }
  } finally {
    database.close()
  }
}

export function auditRows(rows: Rows, expected: readonly Order[]): Audit {
  const wanted = new Set(expected.map((order) => order.id))
  const applied = new Set(rows.applied.map((order) => order.id))
  const heard = new Set(rows.heard.map((order) => order.id))
  const placed = new Set(rows.placed)
  const receipts = rows.receipts.map((line) => line.split(' ') as [string, string])
  const sums = new Map<string, { orders: number; sum: number }>()
  for (const { key, number } of rows.applied) {
    const sum = sums.get(key) ?? { orders: 0, sum: 0 }
    sums.set(key, { orders: sum.orders + 1, sum: sum.sum + number })
  }
  const totals = new Map(rows.totals.map((row) => [row.key, row]))
  const wrong = [...new Set([...sums.keys(), ...totals.keys()])].filter(
    (key) => sums.get(key)?.orders !== totals.get(key)?.orders || sums.get(key)?.sum !== totals.get(key)?.sum,
  )
  return {
    lost: [...wanted].filter((id) => !applied.has(id)),
    appliedTwice: repeated(rows.applied.map((order) => order.id)),
    outOfOrder: disordered(rows.applied),
    neverPublished: [...applied].filter((id) => !wanted.has(id)),
    totalsWrong: wrong,
    unheard: [...applied].filter((id) => !heard.has(id)),
    heardTwice: repeated(rows.heard.map((order) => order.id)),
    heardOutOfOrder: disordered(rows.heard),
    placedApart: expected
      .filter((order) => isPlaced(order) && placed.size > 0 && placed.has(order.id) !== applied.has(order.id))
      .map((order) => order.id),
    acknowledgedAndLost: receipts.map(([, id]) => id).filter((id) => !applied.has(id)),
    acceptedTwice: repeated(receipts.filter(([status]) => status === 'accepted').map(([, id]) => id)),
  }
}

export const audit = (folder: string, expected: readonly Order[]): Audit => auditRows(readRows(folder), expected)

function repeated(ids: readonly string[]): string[] {
  const seen = new Set<string>()
  const twice = new Set<string>()
  for (const id of ids) (seen.has(id) ? twice : seen).add(id)
  return [...twice]
}

/** Repeats are judged elsewhere: here only the first of each counts. */
function disordered(rows: readonly Order[]): string[] {
  const last = new Map<string, number>()
  const seen = new Set<string>()
  return rows
    .filter(({ id, key, number }) => {
      if (seen.has(id)) return false
      seen.add(id)
      const early = number < (last.get(key) ?? 0)
      last.set(key, Math.max(number, last.get(key) ?? 0))
      return early
    })
    .map((row) => row.id)
}
