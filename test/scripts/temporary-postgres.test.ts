import { Client, Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { makeDatabase, temporaryPostgres } from '../support/postgres.ts'
import { rejection } from '../support/until.ts'

const databases = async (pool: Pool): Promise<string[]> =>
  (await pool.query<{ datname: string }>('select datname from pg_database')).rows.map((row) => row.datname)

test('two databases of a test are apart, and one that was dropped is gone', async () => {
  const mine = await temporaryPostgres()
  const { drop, ...other } = await makeDatabase()
  await mine.pool.query('create table mine (n integer)')
  expect((await other.pool.query("select to_regclass('mine') as mine")).rows).toEqual([{ mine: null }])
  const name = new URL(other.url).pathname.slice(1)
  expect(await databases(mine.pool)).toContain(name)
  await drop()
  expect(await databases(mine.pool)).not.toContain(name)
})

test('a client of the pool that was not released, or a connection beside it, is told of, and the database dropped all the same', async () => {
  const mine = await temporaryPostgres()
  for (const leak of ['pool', 'beside']) {
    const { drop, pool, url } = await makeDatabase()
    const client = leak === 'pool' ? await pool.connect() : new Client(url)
    if (client instanceof Client && leak === 'beside') await client.connect()
    client.on('error', () => undefined)
    await client.query("select 'forgotten'")
    expect((await rejection(drop(200))).message).toBe("connections left open by the test, last busy with: select 'forgotten'")
    expect(await databases(mine.pool)).not.toContain(new URL(url).pathname.slice(1))
  }
})

test('a pool that the test has ended itself is no trouble', async () => {
  const { url, drop, pool } = await makeDatabase()
  onTestFinished(() => drop())
  const own = new Pool({ connectionString: url })
  expect((await own.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  await own.end()
  await pool.end()
})
