/** What is known of an arena, as a history: its publishers' answers, the workload's own tables, and the provider's ledger. */
import type { AttentionItem } from '../src/index.ts'
import type { Operation, SnapshotOperation } from '../src/testing/index.ts'
import type { AppliedRow } from '../test/support/call-audit.ts'
import type { Ledger } from '../test/support/payment-ledger.ts'
import type { Order } from '../test/support/torture-workload.ts'
import { isPlaced } from '../test/support/torture-workload.ts'
import type { Publications } from './publications.ts'

export interface Rows {
  readonly applied: readonly (Order & { readonly attempt: number })[]
  readonly heard: readonly Order[]
  readonly paid: readonly AppliedRow[]
  readonly placed: readonly { readonly id: string }[]
  readonly totals: readonly { readonly key: string; readonly orders: number; readonly sum: number }[]
}

/** The statements that read them, on any engine. */
export const rowStatements: Readonly<Record<keyof Rows, string>> = {
  applied: 'select id, key, number, attempt from applied order by "row"',
  heard: 'select id, key, number from heard order by "row"',
  paid: 'select id, key, number, charge, attempt from paid order by "row"',
  placed: 'select id from placed',
  totals: 'select key, orders, sum from total',
}

export interface Known {
  readonly publications: Publications
  readonly rows: Rows
  /** Undefined: nobody was to be charged, and nothing to be heard. */
  readonly ledger: Ledger | undefined
  readonly attention: readonly AttentionItem[]
}

export function historyOf({ publications, rows, ledger, attention }: Known): Operation[] {
  const orders = { topic: 'orders' } as const
  const applied = { ...orders, group: 'ledger' } as const
  const paid = { ...orders, group: 'billing' } as const
  const heard = { topic: 'summaries', group: 'board' } as const
  const consumers = ledger === undefined ? [applied] : [applied, paid, heard]
  const history: Operation[] = consumers.map((consumer) => ({ op: 'consumer', ...consumer }))

  for (const { publisher, order, outcome, receipt } of publications.tries) {
    const { id, key } = order
    history.push({
      op: 'publish',
      ...orders,
      identity: id,
      key,
      producer: `publisher ${publisher}`,
      outcome,
      ...(receipt === undefined ? {} : { receipt }),
      ...(isPlaced(order) ? { fact: id } : {}),
    })
  }
  for (const { id } of rows.placed) history.push({ op: 'fact', fact: id })
  for (const { id, key, attempt } of rows.applied) {
    const emits = ledger === undefined ? {} : { emits: [{ topic: heard.topic, identity: id }] }
    history.push({ op: 'effect', ...applied, identity: id, outcome: 'happened', attempt, ...emits })
    // A summary goes by its order's id: were one order to cause two, both would be heard.
    if (ledger === undefined) continue
    history.push({
      op: 'publish',
      topic: heard.topic,
      identity: id,
      key,
      producer: applied.group,
      outcome: 'happened',
      cause: { ...applied, identity: id },
    })
  }
  for (const { id } of rows.heard) history.push({ op: 'effect', ...heard, identity: id, outcome: 'happened' })
  for (const { reference, token, status } of ledger?.requests ?? []) {
    const request = { op: 'request', ...paid, identity: reference, call: 'charge', token } as const
    if (status === 503) history.push({ ...request, outcome: 'did-not-happen', refuses: 'request' })
    else history.push({ ...request, outcome: status === 200 ? 'happened' : status === 402 ? 'did-not-happen' : 'unknown' })
  }
  for (const { id, reference, token } of ledger?.charges ?? []) {
    history.push({ op: 'charge', ...paid, identity: reference, call: 'charge', token, id })
  }
  for (const { id, charge, attempt } of rows.paid) {
    const calls = charge === null ? {} : { calls: { charge } }
    history.push({ op: 'effect', ...paid, identity: id, outcome: 'happened', attempt, ...calls })
  }
  for (const { topic, group, kind, envelope } of attention) {
    history.push({ op: 'attention', topic, group, identity: envelope.id, kind })
  }
  history.push({ op: 'snapshot', of: 'totals', state: { totals: rows.totals, applied: rows.applied } })
  history.push({ op: 'end', quiet: true })
  return history
}

/** The total of every key is that of the orders that were applied. */
export function totalsAreRight(state: unknown, _snapshot: SnapshotOperation): string | undefined {
  const { totals, applied } = state as Pick<Rows, 'totals' | 'applied'>
  const sums = new Map<string, { orders: number; sum: number }>()
  for (const { key, number } of applied) {
    const { orders, sum } = sums.get(key) ?? { orders: 0, sum: 0 }
    sums.set(key, { orders: orders + 1, sum: sum + number })
  }
  const wrong = totals.filter(({ key, orders, sum }) => sums.get(key)?.orders !== orders || sums.get(key)?.sum !== sum)
  if (wrong.length === 0 && totals.length === sums.size) return undefined
  return `the totals of ${wrong.length} keys (${wrong.slice(0, 3).map(({ key }) => key)}) are not those of the orders applied`
}
