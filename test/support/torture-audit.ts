/**
 * Judges a run by the workload's own tables and the receipts its publishers wrote down, never by Onefold's: told as a history, to
 * the public checkers.
 */
import { existsSync, readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { CheckerName, CheckOptions, History, Operation, Violation } from '../../src/testing/index.ts'
import { checkers, Reading } from '../../src/testing/index.ts'
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
  /** Heard of, and not applied. */
  readonly heardInVain: readonly string[]
  /** The publisher's own row and its message: both or neither. */
  readonly placedApart: readonly string[]
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
  heardInVain: [],
  placedApart: [],
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

/** Every expected order was published by a publisher that came to its end; every applied one published a summary. */
function historyOf(rows: Rows, expected: readonly Order[]): History {
  const keyOf = new Map(expected.map((order) => [order.id, order]))
  const published = (order: Order): Operation => ({
    op: 'publish',
    topic: 'orders',
    identity: order.id,
    key: order.key,
    outcome: 'happened',
    producer: 'publisher',
    order: order.number,
    ...(isPlaced(order) ? { fact: order.id } : {}),
  })
  const caused = ({ id, key, number }: Order): Operation => ({
    op: 'publish',
    topic: 'summaries',
    identity: id,
    key,
    outcome: 'happened',
    producer: 'ledger',
    order: number,
  })
  const effect = (topic: string, group: string, { id }: Order): Operation => ({
    op: 'effect',
    topic,
    group,
    identity: id,
    outcome: 'happened',
  })
  const told = rows.receipts.map((line): Operation => {
    const [receipt, id = ''] = line.split(' ') as ['accepted' | 'duplicate', string]
    const { key = '', number = 0 } = keyOf.get(id) ?? {}
    return {
      op: 'publish',
      topic: 'orders',
      identity: id,
      key,
      outcome: 'happened',
      receipt,
      producer: 'publisher',
      order: number,
    }
  })
  return [
    { op: 'consumer', topic: 'orders', group: 'ledger' },
    { op: 'consumer', topic: 'summaries', group: 'board' },
    ...expected.map(published),
    ...told,
    ...rows.placed.map((fact): Operation => ({ op: 'fact', fact })),
    ...rows.applied.map((order) => effect('orders', 'ledger', order)),
    ...rows.applied.map(caused),
    ...rows.heard.map((order) => effect('summaries', 'board', order)),
    ...totalsOf(rows),
    { op: 'end', quiet: true },
  ]
}

/** Of each key: what the table of totals says, beside the rows it counts. */
function totalsOf({ applied, totals }: Rows): Operation[] {
  const rowsOf = Map.groupBy(applied, (order) => order.key)
  const totalOf = new Map(totals.map((total) => [total.key, total]))
  return [...new Set([...rowsOf.keys(), ...totalOf.keys()])].map((key) => {
    const rows = rowsOf.get(key) ?? []
    const { orders = 0, sum = 0 } = totalOf.get(key) ?? {}
    return { op: 'snapshot', of: key, state: [orders - rows.length, sum - rows.reduce((total, { number }) => total + number, 0)] }
  })
}

const options: CheckOptions = {
  promises: { conservation: (state) => (String(state) === '0,0' ? undefined : `it is ${state} off the rows it counts`) },
}

const findings: Readonly<Record<keyof Audit, readonly [CheckerName, topic?: 'orders' | 'summaries']>> = {
  lost: ['no-loss', 'orders'],
  appliedTwice: ['no-duplicate-effect', 'orders'],
  outOfOrder: ['key-order', 'orders'],
  neverPublished: ['no-phantom', 'orders'],
  totalsWrong: ['conservation'],
  unheard: ['no-loss', 'summaries'],
  heardTwice: ['no-duplicate-effect', 'summaries'],
  heardOutOfOrder: ['key-order', 'summaries'],
  heardInVain: ['no-phantom', 'summaries'],
  placedApart: ['one-transaction', 'orders'],
  acceptedTwice: ['receipts', 'orders'],
}

export function auditRows(rows: Rows, expected: readonly Order[]): Audit {
  const history = historyOf(rows, expected)
  const reading = new Reading(history, options)
  const idOf = ({ about, evidence }: Violation): string => {
    const shown = history[evidence[0] ?? -1]
    return about?.identity ?? (shown?.op === 'snapshot' ? shown.of : '')
  }
  const found = Object.entries(findings).map(([finding, [checker, topic]]) => {
    const violations = checkers[checker](reading).filter(({ about }) => about?.topic === topic)
    return [finding, [...new Set(violations.map(idOf))]]
  })
  return Object.fromEntries(found) as Audit
}

export const audit = (folder: string, expected: readonly Order[]): Audit => auditRows(readRows(folder), expected)
