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
const keys = 12

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
