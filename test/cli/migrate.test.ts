import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { TemporaryPostgres } from '../support/postgres.ts'
import { temporaryPostgres } from '../support/postgres.ts'
import { Place } from './run-onefold.ts'

/** The URL with a password in it: the server of the tests asks for none, and takes any. */
function withPassword(url: string): string {
  const changed = new URL(url)
  changed.password = 'sesame'
  return changed.href
}
async function opened() {
  const server = await temporaryPostgres()
  return { server, place: new Place(), env: { ONEFOLD_DB: withPassword(server.url) } }
}
const nameOf = ({ url }: TemporaryPostgres): string => {
  const { hostname, port, pathname } = new URL(url)
  return `${hostname}:${port}${pathname}`
}

describe('onefold migrate', () => {
  test('status tells what there is and what is needed, up makes it, and nothing prints the password', {
    timeout: 30_000,
  }, async () => {
    const { server, place, env } = await opened()
    const name = nameOf(server)
    const none = await place.onefold('migrate', { env })
    expect(none).toMatchObject({
      code: 1,
      stdout: `${name}, schema onefold: no tables yet; this Onefold needs version 1: onefold migrate up\n`,
      stderr: '',
    })
    expect(await place.json('migrate status', { env })).toMatchObject({
      code: 1,
      document: { database: name, schema: 'onefold', version: 0, latest: 1, upToDate: false },
    })
    const refused = await place.onefold('publish t', { env, input: '1\n' })
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/has no tables of Onefold yet\. Run `onefold migrate up --db/)
    expect(await place.onefold('migrate up', { env })).toMatchObject({ code: 0, stdout: `${name}, schema onefold: version 1\n` })
    expect(await place.onefold('migrate up', { env })).toMatchObject({
      code: 0,
      stdout: `${name}, schema onefold: nothing to do, version 1\n`,
    })
    expect(await place.json('migrate', { env })).toMatchObject({ code: 0, document: { version: 1, upToDate: true } })
    for (const each of [none, refused]) expect(each.stdout + each.stderr).not.toContain('sesame')
  })

  test('several at once: one makes the tables, and the others find them made', { timeout: 30_000 }, async () => {
    const { place, env } = await opened()
    const all = await Promise.all([1, 2, 3].map(() => place.json('migrate up', { env })))
    expect(all.map(({ code }) => code)).toEqual([0, 0, 0])
    expect(all.map(({ document }) => document.from).toSorted()).toEqual([0, 1, 1])
  })

  test('print writes SQL that makes the same tables when somebody else runs it', { timeout: 30_000 }, async () => {
    const { server, place, env } = await opened()
    const { code, stdout } = await place.onefold('migrate print --schema shop_events', { env })
    expect(code).toBe(0)
    expect((await server.pool.query("select 1 from pg_namespace where nspname like '%shop_events%'")).rows).toEqual([])
    await server.pool.query(stdout)
    await place.onefold('migrate up', { env })
    const tables = (schema: string) =>
      server.pool.query(
        'select table_name, column_name, data_type from information_schema.columns where table_schema = $1 order by 1, ordinal_position',
        [schema],
      )
    expect((await tables('shop_events')).rows).toEqual((await tables('onefold')).rows)
    expect(await place.onefold('migrate print --schema shop_events', { env })).toMatchObject({
      code: 0,
      stdout: '-- "shop_events": version 1, nothing to do\n',
    })
    expect(await place.json('publish t --schema shop_events', { env, input: '1\n' })).toMatchObject({ code: 0 })
    const { document } = await place.json('status --schema shop_events', { env })
    expect(document.database.incarnation).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('leaves tables of a newer Onefold alone', { timeout: 30_000 }, async () => {
    const { server, place, env } = await opened()
    await place.onefold('migrate up', { env })
    await server.pool.query("update onefold.meta set value = '99' where name = 'schema_version'")
    for (const action of ['up', 'print']) {
      const { document, code } = await place.json(`migrate ${action}`, { env })
      expect(code).toBe(1)
      expect(document.error.code).toBe('DATABASE_NEWER')
    }
    expect((await place.onefold('migrate', { env })).stdout).toContain('version 99, of a newer Onefold: this one knows 1')
  })

  test('is not for files, and says so', async () => {
    const place = new Place()
    const { document, code } = await place.json('migrate up --db shop.db')
    expect({ code, error: document.error.code }).toEqual({ code: 1, error: 'NOT_POSSIBLE' })
    expect(document.error.message).toContain('brought up to date when it is opened')
    expect(place.has('shop.db')).toBe(false)
  })

  test('a server that is not there is named, without the password', async () => {
    const { document, code, stdout } = await new Place().json('migrate --db postgres://shop:sesame@localhost:9/shop')
    expect({ code, error: document.error.code }).toEqual({ code: 1, error: 'DATABASE_IO' })
    expect(document.error.message).toContain('localhost:9/shop')
    expect(stdout).not.toContain('sesame')
  })

  test('names a schema that cannot be one', async () => {
    const { document } = await new Place().json(['migrate', '--db', 'postgres://localhost:9/shop', '--schema', 'Shop"; drop'])
    expect(document.error.code).toBe('OPTION_INVALID')
  })
})

describe('the client for PostgreSQL', () => {
  test('is that of the project the command is run in', async () => {
    const place = new Place()
    mkdirSync(place.path('node_modules/pg'), { recursive: true })
    place.write(
      'node_modules/pg/index.js',
      "exports.Pool = class { constructor() { throw new Error('the own one of the project') } }",
    )
    const { stderr } = await place.onefold('migrate --db postgres://localhost:9/shop')
    expect(stderr).toContain('the own one of the project')
  })

  test('is asked for by name where it is not installed', async () => {
    const place = new Place()
    const root = fileURLToPath(new URL('../..', import.meta.url))
    cpSync(join(root, 'src'), place.path('onefold/src'), { recursive: true })
    cpSync(join(root, 'package.json'), place.path('onefold/package.json'))
    mkdirSync(place.path('onefold/node_modules/@standard-schema'), { recursive: true })
    for (const module of ['@standard-schema/spec', 'croner'])
      symlinkSync(join(root, 'node_modules', module), place.path(`onefold/node_modules/${module}`))
    const main = place.path('onefold/src/cli/main.ts')
    const url = 'postgres://shop:sesame@localhost:9/shop'
    const { stderr, code } = await place.run(process.execPath, [main, 'status', '--db', url], {}).ended
    expect(code).toBe(1)
    expect(stderr.replace(/\s+/g, ' ')).toContain(`is not installed in ${place.folder}; run npm i pg there`)
    expect(stderr).not.toContain('sesame')
  })
})

describe('commands on a PostgreSQL database', () => {
  test('publish, consume, status, group, topic, attention, explain and erase work as on a file; backup says what to use', {
    timeout: 60_000,
  }, async () => {
    const { server, place, env } = await opened()
    const name = nameOf(server)
    await place.onefold('migrate up', { env })
    place.lines('in.ndjson', [
      { id: 'a', key: 'k' },
      { id: 'bad', key: 'l' },
      { id: 'a', key: 'k' },
    ])
    const published = await place.json('publish orders in.ndjson --id id --key key', { env })
    expect(published).toMatchObject({ code: 0, document: { accepted: 2, duplicate: 1 } })
    const consumed = await place.onefold(
      ['consume', 'orders', '--group', 'ship', '--until-idle', '--max-attempts', '1', '--exec', 'test "$ONEFOLD_ID" != bad'],
      { env },
    )
    expect(consumed.code).toBe(1)
    const status = await place.onefold('status', { env })
    expect(status.stdout).toMatch(new RegExp(`^${name} {2}\\S+ \\wiB, tables of version 1\\n`))
    expect(status.stdout).toMatch(/orders +2 +2 +1 +yes/)
    expect(status.stdout).not.toContain('write lock')
    expect((await place.json('group list', { env })).document.groups).toMatchObject([{ group: 'ship', lag: 0, attention: 1 }])
    expect((await place.json('topic change orders --id-reuse ignore', { env })).code).toBe(1)
    const listed = await place.json('attention list', { env })
    expect(JSON.stringify(listed.document)).toContain('"bad"')
    expect((await place.onefold('explain', { env })).stdout).toContain(`What ${name} alone can tell`)
    const erased = await place.onefold('erase orders --key k --by mia --yes', { env })
    expect(erased.stdout).toMatch(/^erased \d+ rows? of topic orders/)
    expect(erased.stdout).toContain('old versions lie in the files of the server')
    expect((await place.onefold('erase orders --key k --rewrite', { env })).stderr).toContain('--rewrite is for a database file')
    const backup = await place.json('backup copy.db', { env })
    expect(backup).toMatchObject({ code: 1, document: { error: { code: 'NOT_POSSIBLE' } } })
    expect(backup.document.error.message).toContain('pg_dump')
    for (const each of [published, consumed, status, listed, erased, backup])
      expect(each.stdout + each.stderr).not.toContain('sesame')
  })
})
