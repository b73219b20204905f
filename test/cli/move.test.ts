import { describe, expect, test } from 'vitest'
import { movedTables } from '../../src/move/move-store.ts'
import { temporaryPostgres } from '../support/postgres.ts'
import { Place } from './run-onefold.ts'

/** A dozen processes one after the other. */
const slow = { timeout: 120_000 }

function withPassword(url: string): string {
  const changed = new URL(url)
  changed.password = 'sesame'
  return changed.href
}

async function shop() {
  const { url, pool } = await temporaryPostgres()
  const place = new Place()
  place.lines('in.ndjson', [
    { id: 'a', key: 'k' },
    { id: 'b', key: 'k' },
    { id: 'bad', key: 'l' },
  ])
  await place.onefold('publish orders in.ndjson --id id --key key --db shop.db')
  const exec = 'case "$ONEFOLD_ID" in bad) exit 3;; esac'
  const consume = ['consume', 'orders', '--group', 'g', '--until-idle', '--max-attempts', '1', '--exec', exec, '--db']
  await place.onefold([...consume, 'shop.db'])
  const to = withPassword(url)
  return { place, pool, to, consume, move: `move --from shop.db --to ${to}` }
}

describe('onefold move', () => {
  test(
    'seals, copies, compares; the sealed file says so and refuses; once activated the new database goes on',
    slow,
    async () => {
      const { place, pool, to, consume, move } = await shop()
      const where = `${new URL(to).host}${new URL(to).pathname}, schema onefold`
      const { code, stdout, stderr } = await place.onefold(move)
      expect({ code, stderr }).toMatchObject({ code: 0 })
      expect(stderr.trim().split('\n').slice(0, 2)).toEqual(['seal', 'copy meta'])
      for (const { name } of movedTables) expect(stdout).toMatch(new RegExp(`^ {2}${name} +\\d+ +[0-9a-f]{32} +same$`, 'm'))
      expect(stdout).toMatch(/^ {2}log +3 /m)
      expect(stdout).toContain('Now copy your own tables')

      const refused = await place.json('publish orders in.ndjson --id id --key key --db shop.db')
      expect(refused).toMatchObject({
        code: 1,
        document: { error: { code: 'MOVED_TO', outcome: 'not-applied', retry: 'never', details: { to: where } } },
      })
      expect((await place.onefold('status --db shop.db')).stdout).toContain(`moved to ${where}: sealed, only reading works here`)
      expect((await place.json('status --db shop.db')).document.database.movedTo).toBe(where)
      expect((await place.onefold('explain --db shop.db')).stdout).toContain(`It has been moved to ${where}`)
      const listed = await place.onefold('attention --db shop.db')
      expect(listed.stdout).toContain('bad')
      expect(listed.stderr).toContain(`moved to ${where}`)

      const early = await place.onefold(`status --db ${to}`)
      expect(early).toMatchObject({ code: 1, stdout: '' })
      expect(early.stderr).toMatch(/not been activated/)
      expect(await place.json(`${move} --activate`)).toMatchObject({
        code: 2,
        document: { error: { message: expect.stringMatching(/--tables-copied/) } },
      })
      const activated = await place.json(`${move} --activate --tables-copied`)
      expect(activated).toMatchObject({ code: 0, document: { state: 'activated', to: where } })
      expect(activated.document.tables.find((each: { table: string }) => each.table === 'log')).toMatchObject({
        source: { rows: 3 },
        target: { rows: 3 },
        same: true,
      })

      expect(await place.json(`publish orders in.ndjson --id id --key key --db ${to}`)).toMatchObject({
        code: 0,
        document: { duplicate: 3 },
      })
      expect((await place.json(`attention redrive --all --yes --by Ada --db ${to}`)).code).toBe(0)
      await place.onefold([...consume, to])
      const { document } = await place.json(`status --db ${to}`)
      expect(document.groups).toMatchObject([{ group: 'g', lag: 0, applied: 2, attention: 1 }])
      expect(await place.onefold(`${move} --unseal`)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/can never be used again/),
      })
      for (const text of [stdout, stderr, early.stderr, refused.stdout, JSON.stringify(activated)])
        expect(text).not.toContain('sesame')
      await pool.end()
    },
  )

  test('a consumer that runs meanwhile ends, and says where its messages are now', slow, async () => {
    const { place, pool, move } = await shop()
    const consumer = place.start('consume orders --group other --db shop.db')
    await consumer.until(() => consumer.stdout.includes('"bad"'), 'it has all messages')
    expect(await place.json(move)).toMatchObject({ code: 0 })
    const { code, stderr } = await consumer.ended
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^onefold: .*has been moved to .*schema onefold/),
    })
    expect(stderr).toMatch(/code MOVED_TO: nothing was changed/)
    await pool.end()
  })

  test('--unseal gives it up: the file works again, and nothing is left in the new database', slow, async () => {
    const { place, pool, move } = await shop()
    expect(await place.json(move)).toMatchObject({ code: 0, document: { state: 'copied' } })
    expect(await place.json('backup copy.db --db shop.db')).toMatchObject({ code: 0 })
    // A backup of a sealed file is sealed, and not what was moved.
    const copied = await place.onefold(`${move.replace('shop.db', 'copy.db')} --unseal`)
    expect(copied).toMatchObject({ code: 1, stderr: expect.stringMatching(/is a copy of/) })
    expect(await place.json(`${move} --unseal`)).toMatchObject({ code: 0, document: { state: 'given-up' } })
    expect(await place.json(`${move} --unseal`)).toMatchObject({ code: 0, document: { state: 'nothing-to-give-up' } })
    expect((await pool.query('select count(*)::int as n from onefold.log')).rows).toEqual([{ n: 0 }])
    expect(await place.json('publish orders in.ndjson --id id --key key --db shop.db')).toMatchObject({ code: 0 })
    await pool.end()
  })

  test.each([
    ['move --from a.db', 'move needs --to postgres://'],
    ['move --from a.db --to b.db', '--to takes the URL of a PostgreSQL database'],
    ['move --from a.db --db b.db --to postgres://h/d', '--from and --db both name the source'],
    ['move --from postgres://h/d --to postgres://h/e', '--from takes a database file'],
    ['move --from a.db --to postgres://h/d --tables-copied', '--tables-copied is for --activate'],
    ['move --from a.db --to postgres://h/d --activate --unseal', '--activate ends the move and --unseal gives it up'],
    ['move --from a.db --to postgres://h/d', 'there is no database at a.db'],
  ])('%s: %s', async (words, message) => {
    const place = new Place()
    const { code, stderr } = await place.onefold(words)
    expect(code).toBeGreaterThan(0)
    expect(stderr).toContain(message)
    expect(place.has('a.db')).toBe(false)
  })
})
