import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { startPostgres } from '../../scripts/engines/postgres.ts'
import { postgres } from '../../src/database/postgres/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import { stopAfterwards } from '../support/temporary.ts'
import { rejection } from '../support/until.ts'

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { id: (note) => note.id })

/**
 * A transaction's number is on disk no sooner than something that it wrote. After a crash the server gives numbers out again that were
 * not, and `pg_xact_status` speaks of whoever has them now: an app was told that its transaction had committed, and nothing of it
 * was there.
 */
test("the server crashes before COMMIT reaches it, and gives the transaction's number to another that commits: the outcome is unknown, and not success", async () => {
  const server = await startPostgres()
  onTestFinished(() => server.stop())
  const direct = new Pool({ connectionString: server.url, max: 1 })
  direct.on('error', () => {})
  const proxy = await tcpProxy({ host: '127.0.0.1', port: server.port })
  const url = new URL(server.url)
  url.port = `${proxy.port}`
  const pool = new Pool({ connectionString: url.href, max: 4 })
  onTestFinished(async () => {
    await pool.end()
    await proxy.stop()
    await direct.end()
  })
  await direct.query('create table effect (id text)')
  const app = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
  await app.publish(notes, { id: 'first' })
  await direct.query('checkpoint')

  let number: string | undefined
  const cut = proxy.cutAt('commit\0', 'held')
  const failed = rejection(
    app.transaction(async ({ tx }) => {
      const { rows } = await tx.query<{ number: string }>('select pg_current_xact_id()::text as number')
      number = rows[0]?.number
      await tx.query("insert into effect values ('ours')")
    }),
  )
  await cut
  proxy.close()
  await server.crash()
  await server.restart()
  const insert = "insert into effect values ('theirs') returning pg_current_xact_id()::text as number"
  const theirs: unknown[] = []
  while (theirs.length < 20 && !theirs.includes(number)) theirs.push((await direct.query(insert)).rows[0].number)
  // Else this shows nothing.
  expect(theirs).toContain(number)
  proxy.open()

  expect(await failed).toMatchObject({ code: 'COMMIT_UNKNOWN', outcome: 'unknown' })
  expect((await direct.query("select id from effect where id = 'ours'")).rows).toEqual([])

  // The new life has a name when the next one asks.
  await app.publish(notes, { id: 'second' })
  const lost = proxy.cutAt('commit\0', 'answer-lost')
  const done = app.transaction(async ({ tx }) => {
    await tx.query("insert into effect values ('later')")
    return 'done'
  })
  await lost
  expect(await done).toBe('done')
}, 120_000)
