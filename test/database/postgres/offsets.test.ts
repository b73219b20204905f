import type { PoolClient } from 'pg'
import { Pool } from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { seededRandom } from '../../../src/testing/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'

interface Note {
  readonly id: string
  readonly by?: string
}

const notes = topic<Note>('notes', { partitions: 1, id: (note) => note.id })

async function scene() {
  const { pool, url } = await temporaryPostgres()
  const app = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
  await app.publish(notes, { id: 'first' })
  const clients = new Pool({ connectionString: url, max: 12 })
  onTestFinished(() => clients.end())
  /** A transaction of a user's own, with a message in it. */
  const begin = async (id: string, by?: string): Promise<PoolClient> => {
    const client = await clients.connect()
    await client.query('begin')
    await app.publish(notes, by === undefined ? { id } : { id, by }, { tx: client })
    return client
  }
  const end = async (client: PoolClient, how: 'commit' | 'rollback'): Promise<void> => {
    await client.query(how)
    client.release()
  }
  /** What a consumer that has read everything so far would have seen next, and where. */
  const read = async (after = 0): Promise<[number, string][]> =>
    (await pool.query('select "offset", id from onefold.read_log(1, $1, 1000, 1000000, true)', [after])).rows.map((row) => [
      Number(row.offset),
      row.id,
    ])
  const readAll = async (): Promise<[number, string][]> => {
    const all: [number, string][] = []
    for (let more = await read(); more.length > 0; more = await read(all.length)) all.push(...more)
    return all
  }
  return { pool, begin, end, read, readAll }
}

describe('offsets', () => {
  test('a transaction that commits late holds up nobody, and its message is delivered after its commit', async () => {
    const { begin, end, read } = await scene()
    const late = await begin('late')
    await end(await begin('a'), 'commit')
    expect(await read()).toEqual([
      [1, 'first'],
      [2, 'a'],
    ])
    await end(await begin('b'), 'commit')
    expect(await read(2)).toEqual([[3, 'b']])
    await end(late, 'commit')
    expect(await read(3)).toEqual([[4, 'late']])
    expect(await read(4)).toEqual([])
  })

  test('what is rolled back leaves no hole', async () => {
    const { begin, end, read, readAll } = await scene()
    const [lost, kept] = [await begin('lost'), await begin('kept')]
    await read()
    await end(lost, 'rollback')
    await end(kept, 'commit')
    expect(await readAll()).toEqual([
      [1, 'first'],
      [2, 'kept'],
    ])
  })

  test('a savepoint is part of its transaction', async () => {
    const { begin, end, read, pool } = await scene()
    const client = await begin('outer')
    await client.query('savepoint s')
    await client.query("insert into onefold.log (partition, source, id, time_ms, data) values (1, 's', 'inner', 0, '{}')")
    await client.query('release s')
    await read()
    await end(client, 'commit')
    expect((await read(1)).map(([, id]) => id)).toEqual(['outer', 'inner'])
    expect((await pool.query('select count(distinct xid)::int as n from onefold.log where id <> $1', ['first'])).rows).toEqual([
      { n: 1 },
    ])
  })

  test('transactions that overlap as they like, and several readers: each committed message has one offset, in the order of one producer, none of them ever changes', async () => {
    const { begin, end, read, readAll, pool } = await scene()
    const random = seededRandom(20_260_101)
    const committed: string[] = []
    const seen = new Map<number, string>()
    const moved: string[] = []
    let over = false
    const reader = async (): Promise<void> => {
      while (!over) {
        for (const [offset, id] of await read(Math.max(0, seen.size - 5))) {
          const before = seen.get(offset)
          if (before !== undefined && before !== id) moved.push(`${offset}: ${before}, then ${id}`)
          seen.set(offset, id)
        }
      }
    }
    const producer = async (name: string): Promise<void> => {
      for (let number = 0; number < 25; number++) {
        const id = `${name}-${number}`
        const client = await begin(id, name)
        for (let pauses = Math.floor(random() * 4); pauses > 0; pauses--) await client.query('select pg_sleep(0.002)')
        const how = random() < 0.25 ? 'rollback' : 'commit'
        await end(client, how)
        if (how === 'commit') committed.push(id)
      }
    }
    const readers = [reader(), reader(), reader()]
    await Promise.all(['p', 'q', 'r', 's', 't', 'u'].map(producer))
    over = true
    await Promise.all(readers)
    const all = await readAll()
    expect(moved).toEqual([])
    expect(all.map(([offset]) => offset)).toEqual(Array.from({ length: committed.length + 1 }, (_, index) => index + 1))
    expect(all.map(([, id]) => id).toSorted()).toEqual(['first', ...committed].toSorted())
    for (const name of ['p', 'q', 'r', 's', 't', 'u'])
      expect(all.map(([, id]) => id).filter((id) => id.startsWith(`${name}-`))).toEqual(
        committed.filter((id) => id.startsWith(`${name}-`)),
      )
    for (const [offset, id] of seen) expect(all[offset - 1]).toEqual([offset, id])
    expect((await pool.query('select head::int from onefold.partition')).rows).toEqual([{ head: committed.length + 1 }])
  }, 60_000)
})
