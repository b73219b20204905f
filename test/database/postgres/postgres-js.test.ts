import sqlOf from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { tcpProxy } from '../../support/tcp-proxy.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { rejection } from '../../support/until.ts'

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { id: (note) => note.id })
const echoes = topic<Note>('echoes', { id: (note) => note.id })

async function scene() {
  const { url, pool } = await temporaryPostgres()
  await pool.query('create table effect (id text primary key)')
  const proxy = await tcpProxy({ host: '127.0.0.1', port: Number(new URL(url).port) })
  const through = new URL(url)
  through.port = String(proxy.port)
  const sql = sqlOf(through.href, { max: 6, onnotice: () => undefined })
  onTestFinished(async () => {
    await sql.end({ timeout: 1 })
    await proxy.stop()
  })
  const app = stopAfterwards(onefold({ database: postgres(sql, { migrations: 'apply' }) }))
  const column = async (text: string): Promise<string[]> =>
    (await pool.query(text)).rows.map((row) => Object.values(row)[0] as string)
  return { app, sql, proxy, column }
}

test('a consumer writes with the transaction of postgres.js, publishes, and each message takes effect once', async () => {
  const { app, column } = await scene()
  app.consume(notes, 'g', async ({ id }, { tx, publish, attempt }) => {
    await tx`insert into effect values (${id})`
    publish(echoes, { id })
    if (id === 'b' && attempt === 1) throw new Error('not yet')
  })
  await app.start()
  for (const id of ['a', 'b', 'c', 'a']) await app.publish(notes, { id })
  await app.idle()
  expect(await column('select id from effect order by id')).toEqual(['a', 'b', 'c'])
  expect(await column("select id from onefold.message where topic = 'echoes' order by id")).toEqual(['a', 'b', 'c'])
})

test("a message joins the user's own sql.begin, and goes with it; the handle beside it is refused", async () => {
  const { app, sql, column } = await scene()
  await app.publish(notes, { id: 'first' })
  await sql.begin(async (tx) => {
    await tx`insert into effect values ('kept')`
    expect(await app.publish(notes, { id: 'kept' }, { tx })).toMatchObject({ status: 'staged' })
  })
  const undone = sql.begin(async (tx) => {
    await app.publish(notes, { id: 'undone' }, { tx })
    throw new Error('no')
  })
  expect(await rejection(undone)).toMatchObject({ message: 'no' })
  expect(await rejection(app.publish(notes, { id: 'beside' }, { tx: sql as never }))).toMatchObject({ code: 'TX_FOREIGN' })
  expect(await column('select id from onefold.log order by message')).toEqual(['first', 'kept'])
})

test('connections that break while messages are published: each is accepted once', async () => {
  const { app, proxy, column } = await scene()
  await app.publish(notes, { id: 'first' })
  const ids = Array.from({ length: 24 }, (_, number) => `n${String(number).padStart(2, '0')}`)
  for (const [number, id] of ids.entries()) {
    const cut = number % 4 === 1 ? proxy.cutAt('"onefold".publish(', number % 8 === 1 ? 'answer-lost' : 'never-sent') : undefined
    await app.publish(notes, { id }).catch(() => app.publish(notes, { id }))
    await cut
  }
  expect(await column('select id from onefold.log order by message')).toEqual(['first', ...ids])
}, 30_000)
