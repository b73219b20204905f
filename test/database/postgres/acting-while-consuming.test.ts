import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, TerminalError, topic } from '../../../src/index.ts'
import { seededRandom } from '../../../src/testing/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

interface Step {
  readonly id: string
  readonly key: string
}
const steps = topic<Step>('steps', { partitions: 3, id: (step) => step.id, key: (step) => step.key })
const messages = 400
const keys = 4

/** Runs `statement` at the COMMIT of a transaction that has parked messages behind others, once for each. */
async function whenParkedCommits(pool: Pool, statement: string): Promise<void> {
  await pool.query(
    `create function parked_commits() returns trigger language plpgsql as $$ begin ${statement}; return null; end $$`,
  )
  await pool.query(`create constraint trigger parked_commits after insert on onefold.parked deferrable initially deferred
    for each row when (new.state = 'behind') execute function parked_commits()`)
}

test.each(['discard', 'discardAll'] as const)(
  '%s of the message that holds a key, while the commit that parks another behind it is under way: it waits for that, and lets it go',
  async (how) => {
    const { pool } = await temporaryPostgres()
    const app = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
    const applied: string[] = []
    app.consume(steps, {
      group: 'g',
      maxAttempts: 1,
      apply: ({ id }) => {
        if (id === 'head') throw new TerminalError('no')
        applied.push(id)
      },
    })
    await app.start()
    await app.publish(steps, { id: 'head', key: 'a' })
    await app.idle()
    await whenParkedCommits(pool, 'perform pg_advisory_xact_lock(1)')
    const gate = await pool.connect()
    try {
      await gate.query('select pg_advisory_lock(1)')
      const waiting = async (): Promise<number> =>
        (
          await gate.query(
            'select 1 from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0',
          )
        ).rows.length
      await app.publish(steps, { id: 'next', key: 'a' })
      await until(async () => (await waiting()) === 1, 'the owner is in its COMMIT')
      const [head] = await app.attention.list()
      const discarded =
        how === 'discard'
          ? app.attention.discard(head!.id, { by: 'mia', reason: 'why' })
          : app.attention.discardAll({ group: 'g' }, { by: 'mia', reason: 'why' }).then(({ done }) => done === 1)
      let ended = false
      void discarded.then(() => {
        ended = true
      })
      await until(async () => ended || (await waiting()) === 2, 'the person waits for the owner')
      await gate.query('select pg_advisory_unlock(1)')
      expect(await discarded).toBe(true)
    } finally {
      gate.release()
    }
    await until(() => applied.includes('next'), 'the one that waited')
    await app.idle()
    expect((await app.status()).groups).toMatchObject([{ applied: 1, parked: 0, attention: 0 }])
  },
  30_000,
)

test('people discard, redrive and erase while two processes consume and fail: nobody waits behind nobody, all come to an end', async () => {
  const random = seededRandom(7)
  const { pool } = await temporaryPostgres()
  const problems: string[] = []
  let failing = true
  const process = () => {
    const app = stopAfterwards(
      onefold({
        database: postgres(pool, { migrations: 'apply' }),
        onEvent: ({ kind, message }) => void (kind === 'database-error' && problems.push(message)),
      }),
    )
    app.consume(steps, {
      group: 'g',
      maxAttempts: 1,
      batchSize: 8,
      apply: async ({ id }, { tx }) => {
        await tx.query('insert into effect values ($1)', [id])
        if (failing && random() < 0.3) throw new TerminalError('not now')
      },
    })
    return app
  }
  await pool.query('create table effect (id text primary key)')
  const [one, other] = [process(), process()]
  await Promise.all([one.start(), other.start()])
  // Between the parking of a message and its COMMIT others have time to act.
  await whenParkedCommits(pool, 'perform pg_sleep(0.004)')
  const discarded = new Set<string>()
  let published = 0
  const publishing = (async () => {
    for (; published < messages; published += 20)
      await one.publishMany(
        steps,
        Array.from({ length: 20 }, (_, n) => ({ data: { id: `m${published + n}`, key: `k${Math.floor(random() * keys)}` } })),
      )
  })()
  const by = { by: 'mia', reason: 'test' }
  const act = async (): Promise<void> => {
    for (let turn = 0; published < messages || turn < 40; turn++) {
      const app = random() < 0.5 ? one : other
      const [item] = await app.attention.list({ limit: 1 + Math.floor(random() * 5) })
      if (item === undefined) continue
      if (random() < 0.5) {
        if (await app.attention.discard(item.id, by)) discarded.add(item.envelope.id)
      } else if (random() < 0.6) await app.attention.redrive(item.id)
      else await app.attention.redriveAll({ group: 'g' })
    }
  }
  await Promise.all([publishing, act(), act(), act()])
  const erased = await one.erase(steps, { key: 'k0', ...by })
  failing = false
  await until(
    async () => {
      await other.attention.redriveAll({ group: 'g' })
      const { groups } = await one.status()
      const [{ lag, parked, attention } = { lag: 1, parked: 1, attention: 1 }] = groups
      return lag === 0 && parked === 0 && attention === 0
    },
    async () => JSON.stringify((await pool.query('select id, lane, state, due_ms from onefold.parked order by parked')).rows),
    15_000,
  )
  const { rows } = await pool.query('select id from effect')
  const applied = new Set(rows.map(({ id }) => id as string))
  const gone = await pool.query("select id from onefold.log where type = 'onefold.erased'")
  expect(gone.rows).toHaveLength(erased.messages)
  const accounted = new Set([...applied, ...discarded, ...gone.rows.map(({ id }) => id as string)])
  expect(accounted.size).toBe(messages)
  for (const id of discarded) expect(applied.has(id), id).toBe(false)
  expect(problems).toEqual([])
}, 60_000)
