import { describe, expect, test } from 'vitest'
import { Conflicts } from '../../../src/database/postgres/conflicts.ts'
import { postgres } from '../../../src/database/postgres/index.ts'
import { Turns } from '../../../src/database/postgres/turns.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { sleep } from '../../support/until.ts'

interface Transfer {
  readonly id: string
  readonly from: number
  readonly to: number
}

const transfers = topic<Transfer>('transfers', { partitions: 8, id: ({ id }) => id, key: ({ id }) => id })

test('handlers of eight partitions that write the same rows in any order: each message takes effect once at its first attempt', async () => {
  const { pool } = await temporaryPostgres()
  await pool.query('create table account (id int primary key, balance int not null, moves int not null)')
  await pool.query('insert into account select n, 0, 0 from generate_series(0, 9) n')
  const events: string[] = []
  const app = stopAfterwards(
    onefold({
      database: postgres(pool, { migrations: 'apply' }),
      onEvent: ({ kind, message }) =>
        void (kind === 'assigned' || kind === 'released' ? undefined : events.push(`${kind}: ${message}`)),
    }),
  )
  app.consume(transfers, 'accounts', async ({ from, to }, { tx, attempt }) => {
    if (attempt > 1) events.push(`attempt ${attempt}`)
    await tx.query('update account set balance = balance - 1, moves = moves + 1 where id = $1', [from])
    await tx.query('update account set balance = balance + 1, moves = moves + 1 where id = $1', [to])
  })
  const all = Array.from({ length: 600 }, (_, n) => ({ id: `t${n}`, from: (n * 7) % 10, to: (n * 3 + 1 + (n % 5)) % 10 }))
  await app.publishMany(
    transfers,
    all.map((data) => ({ data })),
  )
  await app.start()
  await app.idle()
  const expected = Array.from({ length: 10 }, (_, id) => ({
    id,
    balance: all.filter(({ to }) => to === id).length - all.filter(({ from }) => from === id).length,
    moves: all.filter(({ to }) => to === id).length + all.filter(({ from }) => from === id).length,
  }))
  expect((await pool.query('select id, balance, moves from account order by id')).rows).toEqual(expected)
  expect(events).toEqual([])
}, 60_000)

describe('batches that meet', () => {
  test('take turns after a conflict, and become smaller only when they meet others all the same', async () => {
    const conflicts = new Conflicts()
    const first = await conflicts.begin()
    expect(first).toMatchObject({ alone: false })
    conflicts.end(first, 'conflict', 100)
    const second = await conflicts.begin()
    expect(second).toEqual({ ...first, alone: true })
    conflicts.end(second, 'conflict', 100)
    const third = await conflicts.begin()
    expect(third).toMatchObject({ alone: true, mostMessages: 25 })
    conflicts.end(third, 'conflict', 0)
    const single = await conflicts.begin()
    expect(single).toEqual({ alone: true, mostMessages: 1, lockTimeoutMs: undefined })
    conflicts.end(single, 'done', 1)
  })

  test('overlap again, and with as many messages as before, after many without a conflict', async () => {
    const conflicts = new Conflicts()
    const before = await conflicts.begin()
    conflicts.end(before, 'conflict', 10)
    const alone = await conflicts.begin()
    conflicts.end(alone, 'conflict', 4)
    for (let n = 0; n < 49; n++) {
      const plan = await conflicts.begin()
      expect(plan.alone).toBe(true)
      conflicts.end(plan, n % 10 === 9 ? 'failed' : 'done', 10)
    }
    for (let n = 0; n < 10; n++) conflicts.end(await conflicts.begin(), 'done', 10)
    expect(await conflicts.begin()).toEqual(before)
  })
})

describe('turns', () => {
  test('who wants to be alone waits for all that run, and all that come later wait for it', async () => {
    const turns = new Turns()
    const log: string[] = []
    const run = async (name: string, alone: boolean, until: Promise<void>): Promise<void> => {
      await turns.take(alone)
      log.push(`${name} begins`)
      await until
      log.push(`${name} ends`)
      turns.release(alone)
    }
    const [a, b, c, d] = [1, 2, 3, 4].map(() => Promise.withResolvers<void>())
    const all = [
      run('a', false, a!.promise),
      run('b', false, b!.promise),
      run('c', true, c!.promise),
      run('d', false, d!.promise),
    ]
    await sleep(0)
    expect(log).toEqual(['a begins', 'b begins'])
    b!.resolve()
    d!.resolve()
    await sleep(0)
    expect(log).toEqual(['a begins', 'b begins', 'b ends'])
    a!.resolve()
    await sleep(0)
    expect(log.slice(3)).toEqual(['a ends', 'c begins'])
    c!.resolve()
    await Promise.all(all)
    expect(log.slice(5)).toEqual(['c ends', 'd begins', 'd ends'])
  })
})
