/**
 * How fast others are beside transactions that stay open is measured by bench/ledger/latency.ts; here it is shown that nobody waits for them.
 * ONEFOLD_OPEN_SECONDS says how long they stay open: 5, so that everybody can run it; 60 is what is promised.
 *
 *   ONEFOLD_OPEN_SECONDS=60 npx vitest run --project full test/torture/open-transactions.test.ts
 */
import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { postgres } from '../../src/database/postgres/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { temporaryPostgres } from '../support/postgres.ts'
import { stopAfterwards } from '../support/temporary.ts'
import { sleep, until } from '../support/until.ts'

interface Note {
  readonly id: string
  readonly key: string
}

const notes = topic<Note>('notes', { partitions: 4, id: (note) => note.id, key: (note) => note.key })
const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
/** Of the message whose transaction stays open. */
const lateKey = 'c'
const openMs = Number(process.env.ONEFOLD_OPEN_SECONDS ?? 5) * 1_000
const gapMs = 20
/** For a message to be applied, on a machine that has much else to do. The transactions stay open meanwhile. */
const boundMs = 20_000

test(
  'transactions stay open, in another database and with a message of the same topic: every other message is applied meanwhile, and the late one after its commit, in the order of becoming visible',
  async () => {
    const [{ pool, url }, elsewhere] = [await temporaryPostgres(), await temporaryPostgres()]
    await pool.query('create table effect (position bigint generated always as identity, id text primary key, key text not null)')
    // Two programs, so that partitions of both are watched.
    const apps = [1, 2].map(() => {
      const own = new Pool({ connectionString: url, max: 4 })
      onTestFinished(() => own.end())
      const app = stopAfterwards(onefold({ source: 'shop', database: postgres(own, { migrations: 'apply' }) }))
      app.consume(notes, 'g', async ({ id, key }, { tx }) => {
        await tx.query('insert into effect (id, key) values ($1, $2)', [id, key])
      })
      return app
    })
    const [app] = apps as [(typeof apps)[0], (typeof apps)[0]]
    for (const one of apps) await one.start()
    await app.publish(notes, { id: 'before', key: lateKey })

    const [other, publishing] = [await elsewhere.pool.connect(), await pool.connect()]
    let publishingIsOpen = true
    let otherIsOpen = true
    onTestFinished(async () => {
      if (publishingIsOpen) await publishing.query('rollback')
      if (otherIsOpen) await other.query('rollback')
      publishing.release()
      other.release()
    })
    for (const client of [other, publishing]) await client.query('begin')
    // It has a number, and holds up what waits for all transactions of the server.
    await other.query('select pg_current_xact_id()')
    expect(await app.publish(notes, { id: 'late', key: lateKey }, { tx: publishing })).toMatchObject({ status: 'staged' })

    const applied = async (id: string): Promise<boolean> =>
      (await pool.query('select from effect where id = $1', [id])).rowCount === 1
    const sent: string[] = []
    const unapplied = async (): Promise<string[]> =>
      (
        await pool.query('select s.id from unnest($1::text[]) s (id) where not exists (select from effect e where e.id = s.id)', [
          sent,
        ])
      ).rows.map(({ id }) => id)
    const endsAt = performance.now() + openMs
    for (let n = 0; performance.now() < endsAt; n++) {
      const id = `n${String(n).padStart(6, '0')}`
      await app.publish(notes, { id, key: keys[n % keys.length] as string })
      sent.push(id)
      // Those of a moment ago are applied long before anything is committed.
      if (n % 50 === 49)
        await until(
          async () => (await unapplied()).length === 0,
          async () => `not applied: ${await unapplied()}`,
          boundMs,
        )
      await sleep(gapMs)
    }
    await until(
      async () => (await unapplied()).length === 0,
      async () => `not applied: ${await unapplied()}`,
      boundMs,
    )
    expect(sent.length).toBeGreaterThan(keys.length)
    expect(await applied('before')).toBe(true)
    expect(await applied('late')).toBe(false)

    await publishing.query('commit')
    publishingIsOpen = false
    await app.publish(notes, { id: 'after', key: lateKey })
    // The other one is still open.
    await until(() => applied('late'), 'the late message is applied after its commit', boundMs)
    await until(() => applied('after'), 'so is what was published after it', boundMs)
    await other.query('commit')
    otherIsOpen = false

    for (const one of apps) await one.idle()
    const order = async (key: string): Promise<string[]> =>
      (await pool.query('select id from effect where key = $1 order by position', [key])).rows.map(({ id }) => id)
    for (const [index, key] of keys.entries()) {
      const ofKey = sent.filter((_, n) => n % keys.length === index)
      expect(await order(key)).toEqual(key === lateKey ? ['before', ...ofKey, 'late', 'after'] : ofKey)
    }
    expect(await app.attention.list()).toEqual([])
  },
  openMs + 120_000,
)
