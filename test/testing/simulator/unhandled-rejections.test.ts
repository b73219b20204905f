import { expect, test } from 'vitest'
import type { SqliteTx } from '../../../src/database/sqlite/index.ts'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import type { App } from '../../../src/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import type { ProveOptions } from '../../../src/testing/index.ts'
import { prove } from '../../../src/testing/index.ts'
import { failureOf } from './support/failure-of.ts'

const orders = topic<{ id: string }>('orders', { id: ({ id }) => id })
const options: ProveOptions = {
  setup: (database) => database.exec('create table entry (id text primary key) strict'),
  workload: [{ topic: orders, data: { id: 'a' } }],
  deviations: 0,
  maxSchedules: 3,
}

const made = (apply: (order: { id: string }, context: { tx: SqliteTx; attempt: number }) => unknown) => (): App<SqliteTx> => {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, 'book', apply as never)
  return app
}
const enter = (tx: SqliteTx, id: string): void => void tx.run('insert into entry values (?)', id)

test('a promise that a handler leaves alone and that is rejected: a violation that names the process and the line; nobody else hears of it', async () => {
  const heard: unknown[] = []
  const listener = (reason: unknown): void => void heard.push(reason)
  process.on('unhandledRejection', listener)
  const before = process.rawListeners('unhandledRejection')
  const failure = await failureOf(
    made(({ id }, { tx }) => {
      enter(tx, id)
      void (async () => {
        await undefined
        throw new Error('nobody asked')
      })()
    }),
    options,
  )
  expect(process.rawListeners('unhandledRejection')).toEqual(before)
  process.off('unhandledRejection', listener)
  expect(failure.rule).toBe('no unhandled rejection')
  expect(failure.what).toMatch(
    /^worker \d would be ended by Node: .* \(unhandled-rejections\.test\.ts:\d+\): Error: nobody asked$/,
  )
  expect(failure.story.at(-1)?.what).toContain('is ended by Node')
  expect(heard).toEqual([])
})

test('a rejection that is waited for in a later step: Node ends the process before that; in the same step it does not', async () => {
  const waited = (later: boolean) =>
    made(async ({ id }, { tx }) => {
      const rejected = Promise.reject(new Error('soon'))
      if (later) await new Promise((resolve) => setTimeout(resolve, 5))
      else for (let turn = 0; turn < 50; turn++) await undefined
      await rejected.catch(() => undefined)
      enter(tx, id)
    })
  expect((await failureOf(waited(true), options)).rule).toBe('no unhandled rejection')
  expect((await prove(waited(false), options)).schedules).toBe(3)
})

test('a rejection of nobody in the simulation goes to whoever listened before', async () => {
  const others = process.rawListeners('unhandledRejection') as NodeJS.UnhandledRejectionListener[]
  process.removeAllListeners('unhandledRejection')
  const heard: unknown[] = []
  process.on('unhandledRejection', (reason) => void heard.push(reason))
  try {
    // Between two schedules everybody else in this process has a turn.
    const onProgress = (): void => void Promise.reject(new Error('of somebody else'))
    const { schedules } = await prove(
      made(({ id }, { tx }) => enter(tx, id)),
      { ...options, maxSchedules: 40, onProgress },
    )
    expect(schedules).toBe(40)
    await new Promise((resolve) => setImmediate(resolve))
    expect(heard.map(String)).toContain('Error: of somebody else')
  } finally {
    process.removeAllListeners('unhandledRejection')
    for (const other of others) process.on('unhandledRejection', other)
  }
})
