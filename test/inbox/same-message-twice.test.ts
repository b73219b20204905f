import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { postgres } from '../../src/database/postgres/index.ts'
import type { App, AppEvent, Broker, Envelope } from '../../src/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { emptyHeaders } from '../../src/message.ts'
import { brokerCard } from '../support/cards.ts'
import { temporaryPostgres } from '../support/postgres.ts'
import { stopAfterwards } from '../support/temporary.ts'
import { until } from '../support/until.ts'

/**
 * One identity from two producers, at the same moment, on the engine where two transactions run beside each other. (On SQLite one
 * waits for the other before it looks.)
 */

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { partitions: 2, id: (note) => note.id })
const ids = Array.from({ length: 3_000 }, (_, number) => `n${number}`)
/** So many that two statements that claim them meet halfway. */
const batchSize = 500
const batches = Array.from({ length: ids.length / batchSize }, (_, index) =>
  ids.slice(index * batchSize, (index + 1) * batchSize),
)

const envelope = (id: string): Envelope => ({
  id,
  source: 'producers',
  type: 'note',
  timeMs: Date.now(),
  headers: emptyHeaders,
  json: JSON.stringify({ id }),
})

/** Of two, who comes first waits for the other; once one has left, nobody waits any more. */
class Meeting {
  #waiting: (() => void) | undefined
  #over = false

  leave(): void {
    this.#over = true
    this.#waiting?.()
  }

  async come(): Promise<void> {
    if (this.#over) return
    const other = this.#waiting
    this.#waiting = undefined
    if (other === undefined) await new Promise<void>((resolve) => (this.#waiting = resolve))
    else other()
  }
}

/** A broker that has what one producer sent in a partition of its own, and hands each batch over when the other has one to hand over, too. */
function partitionOf(partition: string, sent: readonly Envelope[], meeting: Meeting): Broker {
  const left = [...sent]
  return {
    card: brokerCard('two producers'),
    open: async () => {},
    close: async () => {},
    publish: async (_topic, all) => all.map(({ id, source }) => ({ status: 'accepted' as const, id, source })),
    async *subscribe(subscribed, group, { signal }) {
      const ended = (of: AbortSignal): Promise<void> =>
        new Promise((resolve) => of.addEventListener('abort', () => resolve(), { once: true }))
      yield {
        subscription: { topic: subscribed.name, group },
        partition,
        revoked: new AbortController().signal,
        lost: new AbortController().signal,
        next: async (limit, end) => {
          if (left.length === 0) {
            meeting.leave()
            return void (await ended(end))
          }
          await meeting.come()
          return left.splice(0, limit).map((each) => ({ envelope: each, redelivered: 'unknown' as const }))
        },
        settle: async () => {},
        drained: async () => left.length === 0,
        released: async () => {},
      }
      await ended(signal)
    },
  }
}

async function twoWorkers(options: (worker: number) => { broker?: Broker } = () => ({})) {
  const { url, pool } = await temporaryPostgres()
  await pool.query('create table effect (id text, worker integer)')
  const events: AppEvent[] = []
  const apps = [1, 2].map((worker) => {
    const own = new Pool({ connectionString: url, max: 4 })
    onTestFinished(() => own.end())
    const database = postgres(own, { migrations: 'apply' })
    return stopAfterwards(onefold({ database, onEvent: (event) => void events.push(event), ...options(worker) }))
  })
  /** What the server has counted, once all that ran has reported it. */
  const deadlocks = async (): Promise<number> => {
    const { rows } = await pool.query('select deadlocks::integer from pg_stat_database where datname = current_database()')
    return rows[0].deadlocks
  }
  const rows = async (sql: string) => (await pool.query(sql)).rows
  return { apps: apps as [App<never>, App<never>], events, rows, deadlocks }
}

test.for([
  ['in the same order', ids],
  ['in opposite orders', batches.flatMap((batch) => batch.toReversed())],
] as const)(
  'two workers get the same ids from two producers, %s, at the same moment: each applied once, once suppressed, and nothing of it surfaces',
  { timeout: 60_000 },
  async ([, second]) => {
    const meeting = new Meeting()
    const { apps, events, rows, deadlocks } = await twoWorkers((worker) => ({
      broker: partitionOf(`${worker}`, (worker === 1 ? ids : second).map(envelope), meeting),
    }))
    for (const [index, app] of apps.entries()) {
      app.consume(notes, {
        group: 'g',
        batchSize,
        apply: async ({ id }, { tx }) => {
          const sql = tx as { query(text: string, values?: unknown[]): Promise<unknown> }
          await sql.query('insert into effect values ($1, $2)', [id, index + 1])
        },
      })
    }
    await Promise.all(apps.map((app) => app.start()))
    const handled = async (): Promise<{ applied: number; suppressed: number }> =>
      (
        await rows(
          'select coalesce(sum(applied), 0)::integer as applied, coalesce(sum(suppressed), 0)::integer as suppressed from onefold.checkpoint',
        )
      )[0]
    await until(
      async () => {
        const { applied, suppressed } = await handled()
        return applied + suppressed >= 2 * ids.length
      },
      async () => `all are handled: ${JSON.stringify(await handled())}`,
      20_000,
    )
    expect(await handled()).toEqual({ applied: ids.length, suppressed: ids.length })
    expect((await rows('select id from effect')).map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
    expect(events.filter(({ kind }) => kind !== 'assigned' && kind !== 'released')).toEqual([])
    await Promise.all(apps.map((app) => app.stop()))
    expect(await deadlocks()).toBe(0)
  },
)

test('two producers publish the same ids at the same moment, in opposite orders: each accepted once and once a duplicate', async () => {
  const { apps, events, rows, deadlocks } = await twoWorkers()
  const [one, two] = apps
  // Both are open, and the topic is there.
  for (const app of apps) await app.publish(notes, { id: 'first' })
  for (const batch of batches) {
    const [ours, theirs] = await Promise.all([
      one.publishMany(
        notes,
        batch.map((id) => ({ data: { id } })),
      ),
      two.publishMany(
        notes,
        batch.toReversed().map((id) => ({ data: { id } })),
      ),
    ])
    const receipts = new Map(theirs.map(({ id, status }) => [id, status]))
    for (const { id, status } of ours) expect([status, receipts.get(id)].toSorted()).toEqual(['accepted', 'duplicate'])
  }
  expect((await rows('select id from onefold.log order by message')).map(({ id }) => id).toSorted()).toEqual(
    ['first', ...ids].toSorted(),
  )
  expect(events).toEqual([])
  expect(await deadlocks()).toBe(0)
}, 60_000)
