import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import type { Transactions } from '../../src/database/postgres/index.ts'
import { postgres } from '../../src/database/postgres/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { App, Weakening } from '../../src/index.ts'
import { call, explainText, onefold, topic } from '../../src/index.ts'
import { BetterSqlite } from '../support/better-sqlite3.ts'
import { brokerCard } from '../support/cards.ts'
import { temporaryFolder } from '../support/temporary.ts'
import type { Order } from './app-with-calls.ts'

const made = async (): Promise<{ id: string }> => ({ id: 'made' })
const askPerson = { mail: call(made, { whenUnknown: 'ask-person' }) }

/** Nothing in it gives up anything. */
const strongest = {
  database: (): Parameters<typeof sqlite>[0] => 'never-opened.db',
  sqlite: {} as object,
  app: {} as object,
  topic: {} as object,
  consume: { calls: askPerson, apply: () => undefined } as object,
}

function build(change: Partial<typeof strongest>): App<unknown> {
  const parts = { ...strongest, ...change }
  const orders = topic<Order>('orders', { id: (order) => order.id, key: (order) => order.account, ...parts.topic })
  const app = onefold({ source: 'shop', database: sqlite(parts.database(), parts.sqlite), ...parts.app })
  app.consume(orders, { group: 'payout', ...parts.consume } as never)
  return app
}

const receive = { receive: () => undefined }
const consume = "consume('orders', 'payout')"
const topicOrders = "topic('orders')"

const pool = new Pool()

/** Every option that can give something up: what is flipped, and the entry it must make. */
const flips: readonly (readonly [string, Partial<typeof strongest>, Omit<Weakening, 'says'>, RegExp])[] = [
  ['no id', { topic: { id: undefined } }, { option: 'id', value: 'absent', where: topicOrders }, /repeats are not recognised/],
  ['reused ids ignored', { topic: { idReuse: 'ignore' } }, { option: 'idReuse', value: 'ignore', where: topicOrders }, /dropped/],
  ['no order', { topic: { order: 'none' } }, { option: 'order', value: 'none', where: topicOrders }, /any order/],
  ['no key', { topic: { key: undefined } }, { option: 'key', value: 'absent', where: topicOrders }, /no order among them/],
  [
    'at least once',
    { consume: { semantics: 'at-least-once', ...receive } },
    { option: 'semantics', value: 'at-least-once', where: consume },
    /happen again after a crash/,
  ],
  [
    'at most once',
    { consume: { semantics: 'at-most-once', ...receive } },
    { option: 'semantics', value: 'at-most-once', where: consume },
    /may never happen/,
  ],
  [
    'dead letters are passed',
    { consume: { ...strongest.consume, onExhausted: 'skip' } },
    { option: 'onExhausted', value: 'skip', where: consume },
    /gives up the order of a key after a dead letter/,
  ],
  [
    'starting at the end',
    { consume: { ...strongest.consume, startFrom: 'latest' } },
    { option: 'startFrom', value: 'latest', where: consume },
    /never handed to it/,
  ],
  [
    'a call that is repeated',
    { consume: { ...strongest.consume, calls: { mail: call(made) } } },
    { option: 'whenUnknown', value: 'repeat', where: `${consume}.calls.mail` },
    /once only where the other side honours tokens; else the window is: from the request until/,
  ],
  [
    'a call that is asked about',
    {
      consume: {
        ...strongest.consume,
        calls: { mail: call(made, { whenUnknown: () => 'did-not-happen' as const, timeoutMs: 5_000 }) },
      },
    },
    { option: 'whenUnknown', value: 'a probe', where: `${consume}.calls.mail` },
    /must mean and cannot happen any more.* from the probe's answer until that request can act no more/,
  ],
  [
    'not flushed',
    { sqlite: { synchronous: 'NORMAL' } },
    { option: 'synchronous', value: 'NORMAL', where: 'sqlite()' },
    /lost when the power fails \(not when a process is killed\)/,
  ],
  [
    'a node:sqlite handle',
    { database: () => new DatabaseSync(join(temporaryFolder(), 'app.db')) },
    { option: 'handle', value: 'your own', where: 'sqlite(handle)' },
    /cannot be revoked/,
  ],
  [
    'a better-sqlite3 handle',
    { database: () => new BetterSqlite(join(temporaryFolder(), 'app.db')) },
    { option: 'handle', value: 'your own', where: 'sqlite(handle)' },
    /cannot be revoked/,
  ],
  [
    'PostgreSQL, not flushed',
    { app: { database: postgres(pool, { durability: 'off' }) } },
    { option: 'durability', value: 'off', where: 'postgres()' },
    /lost when the power fails \(not when a process is killed\)/,
  ],
  [
    'transactions of an ORM',
    {
      app: {
        database: postgres(pool, { transactions: { library: 'an ORM', run: () => undefined } as never as Transactions<unknown> }),
      },
    },
    { option: 'transactions', value: 'an ORM', where: 'postgres()' },
    /cannot be revoked/,
  ],
  [
    'a broker that acknowledges too early',
    { app: { broker: { card: brokerCard('hasty') } } },
    { option: 'broker', value: 'hasty', where: 'onefold()' },
    /acknowledged may be lost/,
  ],
]

function weakenings(app: App<unknown>): readonly Weakening[] {
  return app.explain().consumers[0]?.weakenedBy ?? []
}

describe('what weakens a guarantee', () => {
  test('the strongest configuration gives nothing up', () => {
    expect(weakenings(build({}))).toEqual([])
  })

  test.each(flips)('%s: one entry that names option, value and place, shown in the text', (_name, change, entry, says) => {
    const app = build(change)
    const found = weakenings(app)
    expect(found).toEqual([{ ...entry, says: expect.stringMatching(says) }])
    const text = explainText(app.explain()).replace(/\s+/g, ' ')
    expect(text).toContain(`weakened by ${entry.option}: ${entry.value} in ${entry.where}: ${found[0]?.says}.`)
    expect(text).not.toMatch(/exactly.once|guaranteed delivery/i)
  })

  test('there is a flip for every entry that the code can make', () => {
    const folder = join(import.meta.dirname, '../../src/guarantee')
    const code = readdirSync(folder).filter((name) => name.startsWith('compose'))
    const made = new Set<string>(
      code.flatMap((name) =>
        [...readFileSync(join(folder, name), 'utf8').matchAll(/option: '(\w+)'/g)].map(([, option]) => option as string),
      ),
    )
    // These the databases' cards say.
    for (const option of ['synchronous', 'handle', 'durability', 'transactions']) made.add(option)
    expect(new Set(flips.map(([, , { option }]) => option))).toEqual(made)
  })

  test('docs/guarantee.md lists every option that can give something up, with its values', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/guarantee.md'), 'utf8')
    const rows = [...page.matchAll(/^\| `(\w+)`[^|]*\|([^|]*)\|/gm)].map(([, option, values]) => ({ option, values }))
    for (const [name, , { option, value }] of flips) {
      // A broker's value is its name.
      const expected = expect.stringContaining(option === 'broker' ? 'acknowledges' : value)
      expect(rows, name).toContainEqual({ option, values: expected })
    }
    expect(rows.length).toBe(new Set(flips.map(([, , { option }]) => option)).size)
  })

  test('a weakness of the topic or the database is told to each consumer, and shown once', () => {
    const app = build({ topic: { idReuse: 'ignore' } })
    const { topics, consumers } = app.explain()
    expect(consumers[0]?.weakenedBy).toEqual(topics[0]?.weakenedBy)
    expect(explainText(app.explain()).match(/weakened by/g)).toHaveLength(1)
  })
})
