import { expect, test } from 'vitest'
import { checkAll } from '../../src/testing/index.ts'
import type { Known } from '../../torture/history.ts'
import { historyOf, totalsAreRight } from '../../torture/history.ts'
import { Publications } from '../../torture/publications.ts'

const [one, two] = [1, 2].map((number) => ({ id: `k1-${number}`, key: 'k1', number })) as [Row, Row]
type Row = { readonly id: string; readonly key: string; readonly number: number }

/** Two publishes, both told 'accepted', the first after a try that nobody heard of again; both applied, heard and charged. */
function known(change: Partial<Known['rows']> & Partial<Pick<Known, 'ledger'>> = {}): Known {
  const publications = new Publications()
  publications.of(0)
  publications.failed(0, `COMMIT_UNKNOWN unknown ${one.id}`)
  for (const { id } of [one, two]) publications.heard(0, `accepted ${id}`)
  const applied = [one, two].map((row) => ({ ...row, attempt: 1 }))
  const { ledger, ...rows } = change
  return {
    publications,
    attention: [],
    ledger: ledger ?? {
      requests: [],
      charges: [{ id: 'ch_1', reference: one.id, token: 't', request: 1, atMs: 0 }],
      voided: [],
      late: 0,
    },
    rows: {
      applied,
      heard: [one, two],
      paid: [
        { ...one, charge: 'ch_1', attempt: 1 },
        { ...two, charge: null, attempt: 1 },
      ],
      placed: [one, two],
      totals: [{ key: 'k1', orders: 2, sum: 3 }],
      ...rows,
    },
  }
}

const found = (of: Known): string[] => [
  ...new Set(checkAll(historyOf(of), { promises: { conservation: totalsAreRight } }).map(({ checker }) => checker)),
]
const charge = { id: 'ch_1', reference: one.id, token: 't', request: 1, atMs: 0 }

test('a run in which all went well: nothing is found', () => {
  expect(found(known())).toEqual([])
})

test('a publish that nobody repeats after its process was killed: its outcome stays unknown, and that is found', () => {
  const run = known()
  run.publications.interrupted(0)
  expect(found(run)).toContain('honest-unknowns')
})

test.for([
  ['a message that was acknowledged and never applied', { applied: [{ ...one, attempt: 1 }] }, 'no-loss'],
  ['an order that was applied twice', { applied: [one, one, two].map((row) => ({ ...row, attempt: 1 })) }, 'no-duplicate-effect'],
  ['a summary that was heard twice', { heard: [one, two, two] }, 'no-duplicate-effect'],
  ['a summary that never left', { heard: [one] }, 'no-loss'],
  ['orders of one key in the wrong order', { applied: [two, one].map((row) => ({ ...row, attempt: 1 })) }, 'key-order'],
  [
    'what nobody had published',
    { applied: [one, two, { ...two, id: 'k1-3' }].map((row) => ({ ...row, attempt: 1 })) },
    'no-phantom',
  ],
  ["a message without its publisher's own row", { placed: [one] }, 'one-transaction'],
  ['a total that is not the sum of its orders', { totals: [{ key: 'k1', orders: 2, sum: 4 }] }, 'conservation'],
  [
    'a second charge for one message',
    { ledger: { requests: [], charges: [charge, { ...charge, id: 'ch_2' }], voided: [], late: 0 } },
    'charged-once',
  ],
  [
    'an applied charge that the provider knows nothing of',
    { ledger: { requests: [], charges: [{ ...charge, id: 'ch_9' }], voided: [], late: 0 } },
    'call-result',
  ],
] as const)('%s: found', ([, change, checker]) => {
  expect(found(known(change))).toContain(checker)
})
