import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { SqliteMoveSource } from '../../src/database/sqlite/move-source.ts'
import { call, topic } from '../../src/index.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import { publishProcess } from '../support/publish-process.ts'
import { TemporaryFile } from '../support/temporary.ts'
import { until } from '../support/until.ts'

interface Note {
  readonly id: string
  readonly key?: string
}

const notes = topic<Note>('notes', { partitions: 2, id: (note) => note.id, key: (note) => note.key ?? note.id })
const to = 'db.example:5432/shop, schema onefold'
const moved = expect.objectContaining({ code: 'MOVED_TO', outcome: 'not-applied', retry: 'never' })

async function seal(file: TemporaryFile): Promise<SqliteMoveSource> {
  const source = await SqliteMoveSource.open(file.path, nodeRuntime())
  await source.seal({ id: 'a-move', to })
  return source
}

test('after the seal every write of a process that had the file open is refused and says where to, and reading goes on', async () => {
  const file = new TemporaryFile()
  const app = file.app()
  app.consume(notes, { group: 'g', maxAttempts: 1, apply: () => Promise.reject(new Error('broken')) })
  await app.start()
  await app.publish(notes, { id: 'a' })
  await until(async () => (await app.attention.list()).length === 1, 'the message is with a person')
  await app.stop()
  const open = file.app()
  await open.publish(notes, { id: 'b' })
  const [item] = await open.attention.list()
  const source = await seal(file)
  const before = file.rows('select count(*) as n, (select count(*) from onefold_identity) as ids from onefold_log')

  await expect(open.publish(notes, { id: 'c' })).rejects.toEqual(moved)
  await expect(open.publish(notes, { id: 'c' })).rejects.toMatchObject({ details: { to, file: file.path } })
  await expect(open.publish(notes, { id: 'd' }, { deliverAt: new Date(Date.now() + 60_000) })).rejects.toEqual(moved)
  await expect(open.publishMany(notes, [{ data: { id: 'e' } }])).rejects.toThrow()
  await expect(open.transaction(({ tx }) => tx.run("insert into effect values ('f', 1)"))).rejects.toEqual(moved)
  await expect(open.attention.redrive(item?.id ?? '', { by: 'Ada' })).rejects.toEqual(moved)
  await expect(open.attention.discard(item?.id ?? '', { by: 'Ada', reason: 'no' })).rejects.toEqual(moved)
  await expect(open.erase('notes', { key: 'a', by: 'Ada' })).rejects.toEqual(moved)
  await expect(open.groups.remove('notes', 'g')).rejects.toEqual(moved)
  await expect(open.topics.change('notes', { partitions: 4 })).rejects.toEqual(moved)
  const late = file.app()
  late.consume(notes, 'g', () => undefined)
  await expect(late.start()).rejects.toEqual(moved)

  expect(file.rows('select count(*) as n, (select count(*) from onefold_identity) as ids from onefold_log')).toEqual(before)
  expect(file.effects()).toEqual([])
  expect((await open.status()).database.movedTo).toBe(to)
  expect(await open.attention.list()).toHaveLength(1)
  source.close()
})

test("a publish in the user's own transaction is refused, on a handle that was open all the time", async () => {
  const file = new TemporaryFile()
  const app = file.app()
  await app.publish(notes, { id: 'a' })
  const own = new DatabaseSync(file.path)
  own.exec('begin immediate')
  await app.publish(notes, { id: 'b' }, { tx: own })
  own.exec('commit')
  const source = await seal(file)

  own.exec('begin immediate')
  own.exec("insert into effect values ('c', 1)")
  await expect(app.publish(notes, { id: 'c' }, { tx: own })).rejects.toEqual(moved)
  own.exec('rollback')
  // Its snapshot is from before the next seal: it cannot see the mark, and cannot write either.
  await source.change('a-move', 'sealed', undefined)
  own.exec('begin; select count(*) from effect')
  await source.seal({ id: 'another', to })
  await expect(app.publish(notes, { id: 'd' }, { tx: own })).rejects.toEqual(moved)
  expect(() => own.exec("insert into effect values ('d', 1)")).toThrow(/locked/)
  own.exec('rollback')
  expect(file.column('select id from onefold_log order by id')).toEqual(['a', 'b'])
  own.close()
  source.close()
})

test('consumers, schedules and the rest of an app stop by themselves and say so once; stop() has nothing to complain of', async () => {
  const file = new TemporaryFile()
  const app = file.app({ leaseMs: 400 })
  let requests = 0
  const { promise: answer, resolve: give } = Promise.withResolvers<string>()
  app.consume(notes, 'g', ({ id }, { tx }) => tx.run('insert into effect values (?, 1)', id))
  app.consume(notes, {
    group: 'calls',
    calls: {
      bank: call(() => {
        requests++
        return answer
      }),
    },
    apply: ({ id }, { tx }) => tx.run('insert into effect values (?, 2)', id),
  })
  app.schedule(notes, { name: 'tick', cron: '* * * * *', data: { id: 'tick' } })
  await app.start()
  await app.publish(notes, { id: 'a' })
  await app.publish(notes, { id: 'b' })
  await until(() => requests === 2 && file.effects().length === 2, 'the first group has applied both, and both calls are made')
  const epochs = file.rows<{ name: string; epoch: number }>('select name, epoch from onefold_lease order by name')
  const source = await seal(file)
  expect(file.rows('select name, epoch, owner from onefold_lease order by name')).toEqual(
    epochs.map(({ name, epoch }) => ({ name, epoch: epoch + 1, owner: null })),
  )
  await until(() => file.events.some(({ kind }) => kind === 'moved'), 'the app says so')
  // What else is under way comes to its end, and meets the seal as well.
  give('paid')
  await app.stop()

  expect(file.events.filter(({ kind }) => kind === 'moved')).toMatchObject([{ error: { code: 'MOVED_TO' } }])
  expect(file.events.filter(({ kind }) => kind === 'database-error')).toEqual([])
  expect(file.effects()).toEqual(['a', 'b'])
  expect(file.column('select state from onefold_call')).toEqual(['intent', 'intent'])
  source.close()
})

test("an app whose handler publishes to another app's sealed file has a failed attempt, and goes on", async () => {
  const [file, other] = [new TemporaryFile(), new TemporaryFile()]
  const elsewhere = other.app()
  await elsewhere.publish(notes, { id: 'a' })
  const source = await seal(other)
  const app = file.app()
  app.consume(notes, {
    group: 'g',
    maxAttempts: 1,
    apply: async ({ id }, { tx }) => {
      if (id === 'a') await elsewhere.publish(notes, { id: 'b' })
      tx.run('insert into effect values (?, 1)', id)
    },
  })
  await app.start()
  await app.publish(notes, { id: 'a' })
  await until(async () => (await app.attention.list()).length === 1, 'the message is with a person')
  await app.publish(notes, { id: 'c' })
  await until(() => file.effects().length === 1, 'the next one is applied')
  expect(file.events.filter(({ kind }) => kind === 'moved')).toEqual([])
  source.close()
})

test('given up, the file works again: for a process that met the seal, too', async () => {
  const file = new TemporaryFile()
  const app = file.app()
  await app.publish(notes, { id: 'a' })
  const source = await seal(file)
  await expect(app.publish(notes, { id: 'b' })).rejects.toEqual(moved)
  expect(await source.change('a-move', 'sealed', undefined)).toBe(true)
  expect(await app.publish(notes, { id: 'b' })).toMatchObject({ status: 'accepted' })
  expect((await app.status()).database).not.toHaveProperty('movedTo')
  source.close()
})

test('a process that holds the write lock is waited for, and then named as what is in the way; what it commits comes before the seal', async () => {
  const file = new TemporaryFile()
  const app = file.app()
  await app.publish(notes, { id: 'a' })
  const source = await SqliteMoveSource.open(file.path, { ...nodeRuntime(), monotonicMs: () => performance.now() * 1_000 })
  const own = new DatabaseSync(file.path)
  own.exec('begin immediate')
  await app.publish(notes, { id: 'b' }, { tx: own })
  await expect(source.seal({ id: 'a-move', to })).rejects.toMatchObject({
    code: 'DATABASE_BUSY',
    outcome: 'not-applied',
    retry: 'later',
  })
  own.exec('commit')
  own.close()
  expect(source.look().mark).toBeUndefined()
  expect(await source.seal({ id: 'a-move', to })).toMatchObject({ id: 'a-move', state: 'sealed' })
  expect(await source.seal({ id: 'another', to: 'elsewhere' })).toMatchObject({ id: 'a-move', to })
  expect(file.column('select id from onefold_log order by id')).toEqual(['a', 'b'])
  source.close()
})

test('a publisher frozen before the seal and woken after it is refused', async () => {
  const file = new TemporaryFile()
  const child = spawn(process.execPath, [publishProcess, file.path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const heard: string[] = []
  child.stdout.on('data', (chunk) => heard.push(...String(chunk).trim().split('\n')))
  const ended = once(child, 'close')
  onTestFinished(() => void child.kill('SIGKILL'))
  await until(() => heard.includes('frozen'), 'it publishes, and freezes')
  const source = await seal(file)
  const known = file.column('select id from onefold_log order by id')
  child.kill('SIGCONT')
  await ended
  const accepted = heard.filter((line) => line.startsWith('accepted')).map((line) => line.split(' ')[1])
  expect(heard.at(-1)).toBe('refused 6 MOVED_TO not-applied never')
  expect(accepted.toSorted()).toEqual(known)
  expect(file.column('select id from onefold_log order by id')).toEqual(known)
  source.close()
})
