import { copyFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { postgres } from '../../src/database/postgres/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { OnefoldOptions } from '../../src/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { activate, move } from '../../src/move/move.ts'
import type { Point } from '../../src/points.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import { endsOf } from '../support/move-scene.ts'
import { temporaryPostgres } from '../support/postgres.ts'
import { QueueBroker } from '../support/queue-broker.ts'
import { stopAfterwards, temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const notes = topic<{ readonly id: string }>('t', { partitions: 1, id: (note) => note.id, key: () => 'k' })

const dies = (point: Point): void => {
  if (point === 'relay:sent') throw new Error('dead')
}

type Database = OnefoldOptions<never>['database']
const on = (file: string): Database => sqlite(file) as unknown as Database

function program(database: Database, broker: QueueBroker, lives = true) {
  const events: string[] = []
  const runtime = lives ? nodeRuntime() : { ...nodeRuntime(), reached: dies }
  const app = stopAfterwards(onefold({ database, broker, runtime, onEvent: ({ message }) => void events.push(message) }))
  return { app, events }
}

async function leave(database: Database, broker: QueueBroker, ...ids: string[]): Promise<void> {
  const { app } = program(database, broker)
  await app.transaction(({ publish }) => {
    for (const id of ids) publish(notes, { id })
  })
  await app.stop()
}

async function sends(database: Database, broker: QueueBroker): Promise<void> {
  const { app } = program(database, broker)
  await app.start()
  await app.idle()
  await app.stop()
}

/** The broker gets them, and the process dies before it can remove the rows. */
async function diesAfterSending(database: Database, broker: QueueBroker): Promise<void> {
  const { app, events } = program(database, broker, false)
  await app.start()
  await until(() => events.some((message) => message.includes('dead')), 'it is dead')
  await app.stop()
}

/** By series, shortened to the order in which they were met. */
function numbers(broker: QueueBroker): string[] {
  const met: string[] = []
  return broker.numbers().map(([id, number]) => {
    const series = number?.series ?? ''
    if (!met.includes(series)) met.push(series)
    return `${id}: ${met.indexOf(series)}/${number?.number}`
  })
}

test('a file is moved with an outbox half sent: what was numbered keeps its number, what was not is numbered anew', {
  timeout: 60_000,
}, async () => {
  const file = join(temporaryFolder(), 'app.db')
  const broker = new QueueBroker()
  await leave(on(file), broker, 'a', 'b')
  await diesAfterSending(on(file), broker)
  const sent = broker.taken.length
  await leave(on(file), broker, 'c', 'd')
  const { pool } = await temporaryPostgres()
  const ends = await endsOf(file, pool)
  await move(ends)
  await activate(ends)
  ends.close()
  await sends(postgres(pool) as unknown as Database, broker)
  expect(new Set(numbers(broker).slice(0, sent))).toEqual(new Set(['a: 0/1', 'b: 0/2']))
  expect(numbers(broker).slice(sent)).toEqual(['a: 0/1', 'b: 0/2', 'c: 1/1', 'd: 1/2'])
  await leave(postgres(pool) as unknown as Database, broker, 'e')
  await sends(postgres(pool) as unknown as Database, broker)
  expect(numbers(broker).at(-1)).toBe('e: 1/3')
})

test('a backup goes on in a series of its own; what it has numbered already it sends with the number of the original', async () => {
  const file = join(temporaryFolder(), 'app.db')
  const broker = new QueueBroker()
  await leave(on(file), broker, 'a')
  await diesAfterSending(on(file), broker)
  const sent = broker.taken.length
  await leave(on(file), broker, 'b')
  const copy = join(dirname(file), 'copy.db')
  const { app } = program(on(file), broker)
  await app.backup(copy)
  await app.stop()
  await sends(on(file), broker)
  await sends(on(copy), broker)
  expect(numbers(broker).slice(sent)).toEqual(['a: 0/1', 'b: 0/2', 'a: 0/1', 'b: 1/1'])
})

test('a file that was put back to an older state, so that it gives numbers twice: nothing it sends is lost without a word', async () => {
  const file = join(temporaryFolder(), 'app.db')
  const older = `${file}.older`
  const broker = new QueueBroker()
  const receiver = program(on(join(temporaryFolder(), 'receiver.db')), broker).app
  const received: string[] = []
  receiver.consume(notes, 'g', ({ id }) => void received.push(id))
  await receiver.start()
  await leave(on(file), broker, 'a')
  await sends(on(file), broker)
  copyFileSync(file, older)
  await leave(on(file), broker, 'b')
  await sends(on(file), broker)
  copyFileSync(older, file)
  await leave(on(file), broker, 'c', 'd')
  await sends(on(file), broker)
  await until(async () => (await receiver.attention.list()).length === 1, 'a person hears of it')
  expect(await receiver.attention.list()).toMatchObject([
    { envelope: { id: 'c' }, errorMessage: expect.stringMatching(/older state/) },
  ])
  expect(received).toEqual(['a', 'b'])
  const [item] = await receiver.attention.list()
  await receiver.attention.redrive(item?.id ?? '')
  await until(() => received.length === 4, 'it is applied, and what waited behind it')
  expect(received).toEqual(['a', 'b', 'c', 'd'])
})

test('a life of a PostgreSQL server may have lost the last numbers it gave: the next one begins series of its own', async () => {
  const { pool } = await temporaryPostgres()
  const database = (): Database => postgres(pool, { migrations: 'apply' }) as unknown as Database
  const broker = new QueueBroker()
  await leave(database(), broker, 'a')
  await sends(database(), broker)
  await pool.query('update onefold.server_life set life = gen_random_uuid()::text')
  await leave(database(), broker, 'b')
  await sends(database(), broker)
  expect(numbers(broker)).toEqual(['a: 0/1', 'b: 1/1'])
})
