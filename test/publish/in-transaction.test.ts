import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import type { BetterSqlite3 } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../src/index.ts'
import type { AppProcessConfig } from '../support/app-process.ts'
import { appProcess } from '../support/app-process.ts'
import { BetterSqlite } from '../support/better-sqlite3.ts'
import type { Context, Store } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { stopAfterwards, TemporaryFile } from '../support/temporary.ts'
import { Worker } from '../support/torture-process.ts'
import { rejection, until } from '../support/until.ts'

const steps = topic<{ id: string; key: string }>('steps', { partitions: 2, id: (step) => step.id, key: (step) => step.key })
const step = (id: string) => ({ id, key: 'k' })
const published = (file: TemporaryFile) => file.column('select id from onefold_log order by id')

describeOnEngines('app.transaction', (engine) => {
  const published = async (store: Store) => (await store.published('steps')).toSorted()

  test('rows and messages commit together; the receipt is staged', async () => {
    const store = await engine.store()
    const app = store.app()
    const answer = await app.transaction(async ({ tx, publish }) => {
      await store.write(tx, "insert into effect values ('mine', 1)")
      publish(steps, step('a'))
      const receipt = await app.publish(steps, step('b'), { tx })
      expect(await published(store)).toEqual([])
      return receipt
    })
    expect(answer).toEqual({ status: 'staged', id: 'b', source: 'steps' })
    expect(await published(store)).toEqual(['a', 'b'])
    expect(await store.effects()).toEqual(['mine'])
    expect((await app.publish(steps, step('a'))).status).toBe('duplicate')
  })

  test('thrown out of it: nothing is written, nothing published, no identity taken, and the error comes out as it was', async () => {
    const store = await engine.store()
    const app = store.app()
    const own = new Error('my own')
    await expect(
      app.transaction(async ({ tx, publish }) => {
        await store.write(tx, "insert into effect values ('mine', 1)")
        publish(steps, step('a'))
        await app.publish(steps, step('b'), { tx })
        throw own
      }),
    ).rejects.toBe(own)
    expect([await store.effects(), await published(store)]).toEqual([[], []])
    expect((await app.publish(steps, step('a'))).status).toBe('accepted')
    expect((await app.publish(steps, step('b'))).status).toBe('accepted')
  })

  test('what publish refuses undoes all of it', async () => {
    const store = await engine.store()
    const app = store.app()
    await app.publish(steps, step('a'))
    const error = await rejection(
      app.transaction(
        handler(function* ({ tx, publish }: Pick<Context, 'tx' | 'publish'>) {
          yield store.write(tx, "insert into effect values ('mine', 1)")
          publish(steps, { id: 'a', key: 'other' })
        }),
      ),
    )
    expect(error).toMatchObject({ code: 'ID_REUSED' })
    expect(await store.effects()).toEqual([])
  })

  test('tx and publish are closed afterwards: TX_CLOSED, and nothing is written', async () => {
    const store = await engine.store()
    const app = store.app()
    const kept = await app.transaction((context) => context)
    const late = async () => store.write(kept.tx, "insert into effect values ('late', 1)")
    expect(await rejection(late())).toMatchObject({ code: 'TX_CLOSED' })
    expect(() => kept.publish(steps, step('late'))).toThrow(/after its transaction had ended/)
    expect(await rejection(app.publish(steps, step('late'), { tx: kept.tx }))).toMatchObject({ code: 'TX_CLOSED' })
    await app.publish(steps, step('a'))
    expect([await store.effects(), await published(store)]).toEqual([[], ['a']])
  })

  test('refused at its commit by a deferred constraint: run once, and nothing of it is written or published', async () => {
    const store = await engine.store(
      'create table effect (id text, value integer); create table p (id integer primary key); create table c (p integer references p deferrable initially deferred)',
    )
    const app = store.app()
    let runs = 0
    const error = await rejection(
      app.transaction(
        handler(function* ({ tx, publish }: Pick<Context, 'tx' | 'publish'>) {
          runs++
          yield store.write(tx, "insert into effect values ('mine', 1)")
          yield store.write(tx, 'insert into c values (9)')
          publish(steps, step('a'))
        }),
      ),
    )
    expect(error).toMatchObject({ code: 'COMMIT_REFUSED', outcome: 'not-applied' })
    expect(runs).toBe(1)
    expect([await store.effects(), await published(store)]).toEqual([[], []])
    expect((await app.publish(steps, step('a'))).status).toBe('accepted')
  })
})

describe('app.transaction on SQLite', () => {
  test('it is never run twice, though a neighbour breaks the shared transaction or the commit is refused', async () => {
    const file = new TemporaryFile(
      "create table effect (id text, value integer); create table taken (n text primary key); insert into taken values ('x'); create table p (id integer primary key); create table c (p references p deferrable initially deferred)",
    )
    const app = file.app()
    let runs = 0
    const all = await Promise.allSettled([
      app.transaction(({ tx }) => tx.run("insert or rollback into taken values ('x')")),
      app.transaction(({ tx }) => {
        runs++
        tx.run("insert into effect values ('mine', 1)")
      }),
      app.transaction(({ tx }) => tx.run('insert into c values (9)')),
      app.publish(steps, step('a')),
    ])
    expect(all.map((each) => each.status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled'])
    expect(all[2]).toMatchObject({ reason: { code: 'COMMIT_REFUSED' } })
    expect(runs).toBe(1)
    expect(file.effects()).toEqual(['mine'])
  })

  test('that swallows the end of its own transaction publishes nothing, neither before nor after it, and offsets stay free', async () => {
    const file = new TemporaryFile("create table taken (n text primary key); insert into taken values ('x')")
    const app = file.app()
    const error = await rejection(
      app.transaction(async ({ tx, publish }) => {
        publish(steps, step('a'))
        try {
          tx.run("insert or rollback into taken values ('x')")
        } catch {
          // Believed to be harmless.
        }
        expect(await rejection(app.publish(steps, step('b'), { tx }))).toMatchObject({ code: 'TRANSACTION_ENDED' })
        publish(steps, step('c'))
      }),
    )
    expect(error).toMatchObject({ code: 'TRANSACTION_ENDED' })
    expect(published(file)).toEqual([])
    for (const id of ['a', 'b', 'c']) expect((await app.publish(steps, step(id))).status).toBe('accepted')
  })
})

interface Handle {
  exec(sql: string): unknown
}

/** A user's own handle, and the app beside it or on it. */
const ways: Record<string, (file: TemporaryFile) => { app: ReturnType<TemporaryFile['app']>; handle: Handle; close(): void }> = {
  'a node:sqlite handle of the user beside the app': (file) => {
    const handle = new DatabaseSync(file.path, { timeout: 5_000 })
    return { app: file.app(), handle, close: () => handle.close() }
  },
  'the node:sqlite handle given to sqlite()': (file) => {
    const handle = new DatabaseSync(file.path, { timeout: 5_000 })
    return { app: stopAfterwards(onefold({ database: sqlite(handle) })), handle, close: () => handle.close() }
  },
  'the better-sqlite3 handle given to sqlite()': (file) => {
    const handle: BetterSqlite3 = new BetterSqlite(file.path)
    return { app: stopAfterwards(onefold({ database: sqlite(handle) })), handle, close: () => void handle.close() }
  },
}

describe.each(Object.entries(ways))('%s', (name, make) => {
  // In one process a file is for one SQLite library: this one is looked at through the app's own.
  const made = (): { file: TemporaryFile } & ReturnType<(typeof ways)[string]> => {
    const file = new TemporaryFile(name.includes('better') ? '' : undefined)
    return { file, ...make(file) }
  }
  const prepare = async (app: ReturnType<TemporaryFile['app']>): Promise<void> =>
    void (await app.transaction(({ tx }) => tx.run('create table if not exists effect (id text, value integer)')))
  const ids = (app: ReturnType<TemporaryFile['app']>): Promise<string[]> =>
    app.transaction(({ tx }) => tx.all<{ id: string }>('select id from onefold_log order by id').map((row) => row.id))

  test('BEGIN IMMEDIATE, publish with { tx }, COMMIT: staged, then there, and a consumer is woken', async () => {
    const { app, handle, close } = made()
    await prepare(app)
    const seen: string[] = []
    app.consume(steps, 'g', ({ id }) => void seen.push(id))
    await app.start()
    await app.idle()
    handle.exec('begin immediate')
    handle.exec("insert into effect values ('mine', 1)")
    const receipts = await app.publishMany(steps, [{ data: step('a') }, { data: step('b') }], { tx: handle })
    expect(receipts.map((receipt) => receipt.status)).toEqual(['staged', 'staged'])
    handle.exec('commit')
    const startedMs = performance.now()
    await until(() => seen.length === 2, 'the consumer')
    expect(performance.now() - startedMs).toBeLessThan(1_000)
    expect(seen).toEqual(['a', 'b'])
    expect((await app.publish(steps, step('a'))).status).toBe('duplicate')
    await app.stop()
    close()
  })

  test('ROLLBACK: nothing is published, the identity is free, and offsets go on without a hole', async () => {
    const { app, handle, close } = made()
    await prepare(app)
    await app.publish(steps, step('first'))
    handle.exec('begin immediate')
    await app.publish(steps, step('a'), { tx: handle })
    handle.exec('rollback')
    expect(await ids(app)).toEqual(['first'])
    expect((await app.publish(steps, step('a'))).status).toBe('accepted')
    expect((await app.status()).topics[0]).toMatchObject({ accepted: 2, messages: 2 })
    await app.stop()
    close()
  })

  test('numbered messages: what went in through the handle is known to the app, and the other way round', async () => {
    const { app, handle, close } = made()
    await prepare(app)
    const send = async (sequence: bigint, tx?: Handle): Promise<void> => {
      handle.exec('begin immediate')
      await app.publish(steps, step(`${sequence}`), { sequence, tx })
      handle.exec('commit')
    }
    await app.publish(steps, step('1'), { sequence: 1n })
    await send(2n, handle)
    expect((await app.publish(steps, step('2'), { sequence: 2n })).status).toBe('duplicate')
    expect((await app.publish(steps, step('3'), { sequence: 3n })).status).toBe('accepted')
    await send(3n, handle)
    expect((await app.publish(steps, step('4'), { sequence: 4n })).status).toBe('accepted')
    expect(await ids(app)).toEqual(['1', '2', '3', '4'])
    await app.stop()
    close()
  })

  test('without a transaction open it is refused with TX_FOREIGN, and nothing is written', async () => {
    const { app, handle, close } = made()
    await prepare(app)
    const error = await rejection(app.publish(steps, step('a'), { tx: handle }))
    expect(error).toMatchObject({ code: 'TX_FOREIGN', message: expect.stringContaining('BEGIN IMMEDIATE') })
    expect(await ids(app)).toEqual([])
    await app.stop()
    close()
  })
})

describe('a tx that is not one of this database', () => {
  test('another file, another app, memory, a second SQLite library, or no handle at all: TX_FOREIGN, nothing written anywhere', async () => {
    const file = new TemporaryFile()
    const other = new TemporaryFile()
    const app = file.app()
    const otherApp = other.app()
    await app.publish(steps, step('first'))
    await otherApp.publish(steps, step('first'))
    const elsewhere = new DatabaseSync(other.path)
    elsewhere.exec('begin immediate')
    const memory = new DatabaseSync(':memory:')
    memory.exec('begin')
    for (const tx of [elsewhere, memory, {}, 7, 'tx', null, () => undefined]) {
      expect(await rejection(app.publish(steps, step('a'), { tx })), String(tx)).toMatchObject({
        code: 'TX_FOREIGN',
        outcome: 'not-applied',
      })
    }
    elsewhere.exec('rollback')
    elsewhere.close()
    await otherApp.transaction(async ({ tx }) => {
      expect(await rejection(app.publish(steps, step('a'), { tx }))).toMatchObject({ code: 'TX_FOREIGN' })
    })
    expect([published(file), published(other)]).toEqual([['first'], ['first']])
    for (const each of [app, otherApp]) expect((await each.publish(steps, step('a'))).status).toBe('accepted')
  })

  test('a better-sqlite3 handle beside an app that opened the file itself is refused, with the way out', async () => {
    const file = new TemporaryFile('')
    const app = file.app()
    await app.publish(steps, step('first'))
    // Of another file, so that the test itself does not do what must not be done.
    const other = new TemporaryFile('')
    const handle = new BetterSqlite(other.path)
    handle.exec('begin immediate')
    expect(await rejection(app.publish(steps, step('a'), { tx: handle }))).toMatchObject({
      code: 'TX_FOREIGN',
      message: expect.stringContaining('sqlite(handle)'),
    })
    handle.exec('rollback')
    handle.close()
  })
})

test('a better-sqlite3 handle opened by a relative name is recognised', async () => {
  const file = new TemporaryFile('')
  const { relative } = await import('node:path')
  const handle = new BetterSqlite(relative(process.cwd(), file.path))
  const app = stopAfterwards(onefold({ database: sqlite(handle) }))
  await app.publish(steps, step('first'))
  handle.exec('begin immediate')
  expect((await app.publish(steps, step('a'), { tx: handle })).status).toBe('staged')
  handle.exec('commit')
  expect((await app.status()).topics[0]).toMatchObject({ accepted: 2 })
  await app.stop()
  handle.close()
})

test("a consumer in another process wakes up after the user's own COMMIT", async () => {
  const file = new TemporaryFile()
  const config: AppProcessConfig = { at: { engine: 'sqlite', file: file.path }, partitions: 2 }
  const worker = new Worker(appProcess, config)
  await worker.until('started')
  const app = file.app()
  await app.publish(steps, step('first'))
  await until(() => file.effects().length === 1, 'the first')
  const handle = new DatabaseSync(file.path, { timeout: 5_000 })
  handle.exec('begin immediate')
  await app.publish(steps, step('a'), { tx: handle })
  handle.exec('commit')
  handle.close()
  const startedMs = performance.now()
  await until(() => file.effects().length === 2, 'the second')
  expect(performance.now() - startedMs).toBeLessThan(1_000)
  worker.child.stdin?.end()
  await worker.until('stopped')
})
