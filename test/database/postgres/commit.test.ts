import { Pool } from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import type { Runtime } from '../../../src/runtime.ts'
import { hurriedRuntime } from '../../support/hurried-runtime.ts'
import type { TemporaryPostgres } from '../../support/postgres.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { tcpProxy } from '../../support/tcp-proxy.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { rejection, until } from '../../support/until.ts'

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { id: (note) => note.id })
/** As it goes over the wire: BEGIN says READ COMMITTED. */
const commit = 'commit\0'

/** An app that reaches its database through a proxy, and the database itself. */
async function behindProxy(options: { runtime?: Runtime } = {}) {
  const direct: TemporaryPostgres = await temporaryPostgres()
  const url = new URL(direct.url)
  const proxy = await tcpProxy({ host: url.hostname, port: Number(url.port) })
  onTestFinished(() => proxy.stop())
  url.port = String(proxy.port)
  const pool = new Pool({ connectionString: url.href, max: 4 })
  onTestFinished(() => pool.end())
  await direct.pool.query('create table effect (id text)')
  const app = stopAfterwards(
    onefold({ database: postgres(pool, { migrations: 'apply', idleInTransactionMs: 1_000 }), ...options }),
  )
  // Opens, and makes the topic.
  await app.publish(notes, { id: 'first' })
  const effects = async (): Promise<string[]> =>
    (await direct.pool.query('select id from effect order by id')).rows.map((row) => row.id)
  const published = async (): Promise<string[]> =>
    (await direct.pool.query('select id from onefold.log order by message')).rows.map((row) => row.id)
  return { app, proxy, effects, published }
}

describe('COMMIT of app.transaction, when the connection breaks', () => {
  const write = (id: string, runs: string[]) => ({
    work: async ({
      tx,
      publish,
    }: {
      tx: { query(text: string, values: unknown[]): Promise<unknown> }
      publish: (t: typeof notes, n: Note) => void
    }) => {
      runs.push(id)
      await tx.query('insert into effect values ($1)', [id])
      publish(notes, { id })
      return 'done'
    },
  })

  test('the server never saw it: nothing was written, and the error says so', async () => {
    const { app, proxy, effects, published } = await behindProxy()
    const runs: string[] = []
    const cut = proxy.cutAt(commit, 'never-sent')
    const error = await rejection(app.transaction(write('a', runs).work as never))
    await cut
    expect(error).toMatchObject({ code: 'DATABASE_IO', outcome: 'not-applied', retry: 'later' })
    expect(await effects()).toEqual([])
    expect(await published()).toEqual(['first'])
    expect(runs).toEqual(['a'])
  })

  test('its answer was lost: the server is asked, and the transaction succeeds with its result; the work ran once', async () => {
    const { app, proxy, effects, published } = await behindProxy()
    const runs: string[] = []
    const cut = proxy.cutAt(commit, 'answer-lost')
    expect(await app.transaction(write('a', runs).work as never)).toBe('done')
    await cut
    expect(await effects()).toEqual(['a'])
    expect(await published()).toEqual(['first', 'a'])
    expect(runs).toEqual(['a'])
  })

  test('it is still on its way: the server is asked until it has arrived, and the transaction succeeds', async () => {
    const { app, proxy, effects } = await behindProxy()
    const runs: string[] = []
    const cut = proxy.cutAt(commit, 'held')
    const result = app.transaction(write('a', runs).work as never)
    const held = await cut
    expect(await effects()).toEqual([])
    held.release()
    expect(await result).toBe('done')
    expect(await effects()).toEqual(['a'])
    expect(runs).toEqual(['a'])
  })

  test('it never arrives: the server ends the transaction, and the error says that nothing was written', async () => {
    const { app, proxy, effects } = await behindProxy()
    const runs: string[] = []
    const cut = proxy.cutAt(commit, 'held')
    const failed = rejection(app.transaction(write('a', runs).work as never))
    await cut
    expect(await failed).toMatchObject({ code: 'DATABASE_IO', outcome: 'not-applied' })
    expect(await effects()).toEqual([])
  })

  test('the server cannot be asked for long: the outcome is unknown, and the error says so', async () => {
    const { app, proxy, effects } = await behindProxy({ runtime: hurriedRuntime(Date.now(), 60) })
    const runs: string[] = []
    const cut = proxy.cutAt(commit, 'answer-lost')
    const failed = rejection(app.transaction(write('a', runs).work as never))
    const gone = cut.then(() => proxy.close())
    const error = await failed
    await gone
    expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN', outcome: 'unknown' })
    proxy.open()
    expect(await effects()).toEqual(['a'])
  })
})

describe('app.publish, which is one statement that commits by itself, when the connection breaks', () => {
  const publish = '"onefold".publish('

  test.each([
    ['the server never saw it', 'never-sent'],
    ['its answer was lost', 'answer-lost'],
  ] as const)('%s: the receipts are those of the first time, and each message is there once', async (_, how) => {
    const { app, proxy, published } = await behindProxy()
    const cut = proxy.cutAt(publish, how)
    const receipts = await app.publishMany(
      notes,
      ['a', 'first', 'b', 'a'].map((id) => ({ data: { id } })),
    )
    await cut
    expect(receipts.map(({ status }) => status)).toEqual(['accepted', 'duplicate', 'accepted', 'duplicate'])
    expect(await published()).toEqual(['first', 'a', 'b'])
    expect((await app.publish(notes, { id: 'a' })).status).toBe('duplicate')
  })

  test('the server goes away with the answer and comes back: the message is there once, and publish has waited', async () => {
    const { app, proxy, published } = await behindProxy()
    const cut = proxy.cutAt(publish, 'answer-lost')
    const receipt = app.publish(notes, { id: 'a' })
    await cut
    await proxy.close()
    setTimeout(() => proxy.open(), 300)
    expect(await receipt).toMatchObject({ status: 'accepted', id: 'a' })
    expect(await published()).toEqual(['first', 'a'])
  })

  test('the server cannot be reached for long: the outcome is unknown, and the error says so', async () => {
    const { app, proxy, published } = await behindProxy({ runtime: hurriedRuntime(Date.now(), 60) })
    const cut = proxy.cutAt(publish, 'answer-lost')
    const gone = cut.then(() => proxy.close())
    const error = await rejection(app.publish(notes, { id: 'a' }))
    await gone
    expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN', outcome: 'unknown' })
    proxy.open()
    expect(await published()).toEqual(['first', 'a'])
    expect((await app.publish(notes, { id: 'a' })).status).toBe('duplicate')
  })
})

test('connections that break while messages are applied: each is applied once, none is lost', async () => {
  const { app, proxy, effects } = await behindProxy()
  app.consume(notes, 'g', async ({ id }, { tx }) => {
    await tx.query('insert into effect values ($1)', [id])
  })
  await app.start()
  const ids = Array.from({ length: 60 }, (_, number) => `n${String(number).padStart(2, '0')}`)
  for (const [number, id] of ids.entries()) {
    await app.publish(notes, { id }).catch(() => app.publish(notes, { id }))
    if (number % 6 === 3) void proxy.cutAt(commit, number % 4 === 3 ? 'answer-lost' : 'never-sent')
  }
  await until(async () => (await effects()).length >= ids.length + 1, 'all are applied', 20_000)
  expect(await effects()).toEqual(['first', ...ids])
}, 30_000)
